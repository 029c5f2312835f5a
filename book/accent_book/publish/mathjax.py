"""MathJax for pages that work without a network, from the installed wheel of ``sphinx-mathjax-offline``."""

import importlib.util
import shutil
from pathlib import Path

from accent_lib.errors import AccentError

# Only what the pages can ask for: the bundle, its fonts, TeX extensions and what screen readers need.
PARTS = ["tex-chtml.js", "output/chtml/fonts", "input/tex/extensions", "a11y", "ui"]
SPEECH_RULES = ["base.json", "en.json", "nemeth.json"]


def installed(package, folder) -> Path:
    """Return a folder of an installed package that need not be importable.

    Raises
    ------
    AccentError
        If the package is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise AccentError(
            f"The package {package.replace('_', '-')} is missing: install what is in requirements.lock."
        )
    return Path(spec.origin).parent / folder


def copy_mathjax(target) -> None:
    """Copy MathJax into a folder, so that it need not be committed and nothing points a browser elsewhere.

    Parameters
    ----------
    target : path
        The folder that gets ``tex-chtml.js``.
    """
    source, target = installed("sphinx-mathjax-offline", "static/mathjax"), Path(target)
    for part in PARTS + [f"sre/mathmaps/{name}" for name in SPEECH_RULES]:
        (target / part).parent.mkdir(parents=True, exist_ok=True)
        if (source / part).is_dir():
            shutil.copytree(source / part, target / part, dirs_exist_ok=True)
        else:
            shutil.copyfile(source / part, target / part)
