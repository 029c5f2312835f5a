"""Imported by every Python that finds it: counts file operations where the environment asks for it."""

import json
import os

if "ACCENT_FAULT" in os.environ:
    import hook

    hook.install(**json.loads(os.environ["ACCENT_FAULT"]))
