"""States in files: written atomically, nothing pickled, refused where they do not fit."""

import json

import numpy as np
import torch

from accent_lib.errors import AccentError
from accent_lib.files import atomic
from accent_lib.training.state import State


def save_checkpoint(path, state: State, fingerprint: str, **metadata) -> None:
    """Write a state atomically, as plain arrays (NumPy's ``.npz``, nothing pickled).

    Parameters
    ----------
    path : path-like
    state : State
    fingerprint : str
        Of everything that made it; :func:`load_checkpoint` refuses any other.
    **metadata
        JSON-able facts to keep beside it.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "model.npz"
    >>> save_checkpoint(path, State({"weight": torch.ones(2)}), "abc", start=7)
    >>> load_checkpoint(path)[1]
    {'fingerprint': 'abc', 'start': 7}
    """
    arrays = {f"parameters/{name}": value.numpy() for name, value in state.parameters.items()}
    for name, moments in state.moments.items():
        arrays |= {f"moments/{name}/{key}": value.numpy() for key, value in moments.items()}
    header = json.dumps({"fingerprint": fingerprint, **metadata})
    with atomic(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, header=np.array(header), **arrays)


def load_checkpoint(path, fingerprint: str | None = None) -> tuple[State, dict]:
    """Read what :func:`save_checkpoint` wrote.

    Returns
    -------
    state : State
    metadata : dict
        With the ``fingerprint``.

    Raises
    ------
    AccentError
        If the file is missing, unreadable, or made by something other than ``fingerprint``.

    Examples
    --------
    >>> load_checkpoint("nowhere.npz")
    Traceback (most recent call last):
        ...
    accent_lib.errors.AccentError: There is no checkpoint nowhere.npz: run notebook 02_training first.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            metadata = json.loads(str(file["header"]))
            arrays = {name: torch.from_numpy(file[name]) for name in file.files if name != "header"}
    except FileNotFoundError:
        raise AccentError(f"There is no checkpoint {path}: run notebook 02_training first.") from None
    except Exception as error:
        raise AccentError(f"Checkpoint {path} cannot be read ({error}): delete it and train anew.") from error
    if fingerprint is not None and metadata["fingerprint"] != fingerprint:
        raise AccentError(
            f"Checkpoint {path} was made from other data, settings or numerics (fingerprint"
            f" {metadata['fingerprint']}, not {fingerprint}): delete it and train again."
        )
    state = State({}, {})
    for name, value in arrays.items():
        kind, parameter, *key = name.split("/")
        if kind == "parameters":
            state.parameters[parameter] = value
        else:
            state.moments.setdefault(parameter, {})[key[0]] = value
    return state, metadata
