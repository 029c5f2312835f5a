"""States in files: written atomically, nothing pickled, refused where they do not fit."""

import io
import json
import os

import numpy as np
import torch

from accent_lib.errors import AccentError, shown
from accent_lib.files import atomic
from accent_lib.gate import read_bytes
from accent_lib.training.state import State

#: The most bytes of a checkpoint. What we write is not packed: unpacked, it has hardly more bytes.
LARGEST, UNPACKED = 2**34, 2**26


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

    Raises
    ------
    AccentError
        If a parameter is not finite, so that a training that diverged never replaces a good model; or if the
        file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "model.npz"
    >>> save_checkpoint(path, State({"weight": torch.ones(2)}), "abc", start=7)
    >>> load_checkpoint(path)[1]
    {'fingerprint': 'abc', 'start': 7}
    """
    for name, value in state.parameters.items():
        if not bool(torch.isfinite(value).all()):
            raise AccentError(
                f"The parameter {name} is not finite after training, so {path} stays what it was: take a "
                "smaller learning rate, and train again."
            )
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
    advice = "delete it and train anew"
    if not os.path.lexists(path):
        raise AccentError(f"There is no checkpoint {path}: run notebook 02_training first.")
    content = read_bytes(path, advice, LARGEST)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            unpacked = sum(member.file_size for member in file.zip.infolist())
            if unpacked > max(UNPACKED, 2 * len(content)):
                raise ValueError(f"it unpacks to {unpacked:,} bytes")
            metadata = json.loads(str(file["header"]))
            arrays = {name: file[name] for name in file.files if name != "header"}
    # Whatever a file that is cut or forged makes of its readers.
    except Exception as error:
        told = " ".join(str(error).split()) or type(error).__name__
        raise AccentError(f"Checkpoint {path} cannot be read ({told:.100}): {advice}.") from error
    if not isinstance(metadata, dict) or not isinstance(metadata.get("fingerprint"), str):
        raise AccentError(f"Checkpoint {path} does not say what it was made from: {advice}.")
    if fingerprint is not None and metadata["fingerprint"] != fingerprint:
        raise AccentError(
            f"Checkpoint {path} was made from other data, settings or numerics (fingerprint"
            f" {metadata['fingerprint']}, not {fingerprint}): delete it and train again."
        )
    return _state(path, arrays, advice), metadata


def _state(path, arrays, advice):
    """Parameters and moments of named arrays, if they are such."""
    state = State({}, {})
    for name, array in arrays.items():
        kind, _, rest = name.partition("/")
        parameter, _, key = rest.rpartition("/") if kind == "moments" else (rest, "", "")
        fault = ""
        if kind not in ("parameters", "moments") or not parameter or (kind == "moments") != bool(key):
            fault = "is no name of a parameter"
        elif array.dtype.kind not in "fiub":
            fault = f"holds {array.dtype}, not real numbers"
        elif not np.isfinite(array).all():
            fault = "is not finite"
        elif kind == "moments":
            owner = arrays.get(f"parameters/{parameter}")
            shape = () if key == "step" else getattr(owner, "shape", None)
            if array.shape != shape or (key == "step" and array < 0):
                fault = "does not fit its parameter"
        if fault:
            raise AccentError(f"Checkpoint {path} cannot be used, {shown(name)} {fault}: {advice}.")
        value = torch.from_numpy(array)
        if kind == "parameters":
            state.parameters[parameter] = value
        else:
            state.moments.setdefault(parameter, {})[key] = value
    kept = {frozenset(memory) for memory in state.moments.values()}
    if not state.parameters or len(kept) > 1 or any("step" not in keys for keys in kept):
        raise AccentError(
            f"Checkpoint {path} lacks parameters, or what the optimiser keeps of them: {advice}."
        )
    return state
