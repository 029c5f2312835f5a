"""Imported by every Python that finds it: counts file operations where the environment asks for it."""

import os

if "ACCENT_CRASH" in os.environ:
    import hook

    hook.install(**__import__("json").loads(os.environ["ACCENT_CRASH"]))
