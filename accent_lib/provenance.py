"""Fingerprints: short names of everything that a number depends on."""

import hashlib
import json
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def fingerprint(**parts) -> str:
    """Short name of everything that a result depends on.

    Parameters
    ----------
    **parts
        Numbers, text, booleans, ``None``, paths, NumPy arrays and scalars, and lists, tuples, sets and
        dictionaries of these. A tuple counts as a list; ``1`` and ``1.0`` differ.

    Returns
    -------
    str
        The first 16 hexadecimal digits of the SHA-256 of the parts as canonical JSON.

    Raises
    ------
    TypeError
        If a part is of another type, whose content could not be told apart reliably.

    Examples
    --------
    >>> fingerprint(seed=1, steps=100) == fingerprint(steps=100, seed=1)
    True
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=plain)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:16]


def plain(part) -> str | float | list | dict:
    """Turn what JSON cannot hold into what it can: the ``default`` of ``json.dumps``.

    A path becomes text, a set a sorted list, a NumPy scalar a number, an array its type, shape and hash.

    Examples
    --------
    >>> plain(Path("runs") / "sample"), plain({3, 1})
    ('runs/sample', [1, 3])
    """
    if isinstance(part, Path):
        return part.as_posix()
    if isinstance(part, set | frozenset):
        return sorted(part)
    if hasattr(part, "tobytes") and not part.dtype.hasobject:  # an array or a scalar of NumPy
        if part.ndim == 0:
            return part.item()
        return {"array": [str(part.dtype), list(part.shape), hashlib.sha256(part.tobytes()).hexdigest()]}
    raise TypeError(f"a fingerprint cannot cover a {type(part).__name__}: {part!r:.80}")
