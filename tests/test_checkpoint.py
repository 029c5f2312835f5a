"""A checkpoint holds what training knows, for the model that it is of, or a sentence says what is wrong."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from accent_book import runs
from accent_book.runs.folder import Run
from accent_lib.errors import AccentError
from accent_lib.models import NCF, RCF
from accent_lib.training import State, load_checkpoint, save_checkpoint

ABOUT = json.dumps({"fingerprint": "abc", "start": 0})


class Two(nn.Module):
    def __init__(self, n_users=4):
        super().__init__()
        self.user_table, self.item_table = nn.Embedding(n_users, 3), nn.Embedding(5, 3)


def moments_of(state):
    return {
        name: {"step": torch.tensor(7.0), "exp_avg": value.clone(), "exp_avg_sq": value**2}
        for name, value in state.parameters.items()
    }


@pytest.fixture
def kept(tmp_path):
    """A checkpoint, and its arrays by name."""
    state = State.of(Two())
    state.moments = moments_of(state)
    path = tmp_path / "ncf.npz"
    save_checkpoint(path, state, "abc", start=0)
    with np.load(path) as file:
        return path, {name: file[name] for name in file.files}


def test_what_was_saved_comes_back(kept):
    state, about = load_checkpoint(kept[0], "abc")
    assert about == {"fingerprint": "abc", "start": 0} and state.steps() == 7
    assert state.into(Two()).user_table.weight.shape == (4, 3)


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("moments/user_table.weight/exp_avg", lambda a: a[:2], "exp_avg' does not fit its parameter"),
        ("moments/user_table.weight/exp_avg_sq", lambda a: a.reshape(3, 4), "does not fit its parameter"),
        ("moments/user_table.weight/exp_avg", lambda a: a.sum(), "does not fit its parameter"),
        ("moments/user_table.weight/step", lambda a: np.ones(3), "does not fit its parameter"),
        ("moments/user_table.weight/step", lambda a: -a, "does not fit its parameter"),
        ("moments/user_table.weight/exp_avg", lambda a: a * np.nan, "is not finite"),
        ("moments/nobody/exp_avg", lambda a: np.ones(3), "does not fit its parameter"),
        ("moments/item_table.weight/exp_avg", None, "lacks parameters, or what the optimiser keeps"),
        ("moments/item_table.weight/step", None, "lacks parameters, or what the optimiser keeps"),
        ("parameters/user_table.weight", lambda a: a * np.nan, "is not finite"),
        ("parameters/user_table.weight", lambda a: a + np.float32(np.inf), "is not finite"),
        ("parameters/user_table.weight", lambda a: a.astype(complex), "holds complex128, not real numbers"),
        ("parameters/user_table.weight", lambda a: a.astype(str), "not real numbers"),
        ("parameters/user_table.weight", lambda a: a.astype(object), "cannot be read"),
        ("user_table.weight", lambda a: np.ones(3), "is no name of a parameter"),
        ("header", lambda a: np.array("{"), "cannot be read"),
        ("header", lambda a: np.array("[]"), "does not say what it was made from"),
        ("header", lambda a: np.array('{"fingerprint": 7}'), "does not say what it was made from"),
        ("header", None, "cannot be read"),
    ],
)
def test_arrays_that_do_not_belong_in_a_checkpoint_are_named(kept, name, change, sentence):
    path, arrays = kept
    arrays = {key: value for key, value in arrays.items() if key != name or change}
    if change:
        arrays[name] = change(arrays.get(name))
    np.savez(path, **arrays)
    with pytest.raises(AccentError, match=sentence) as error:
        load_checkpoint(path)
    assert "delete it and train anew" in str(error.value)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda a: a[:1], r"has user_table.weight of shape \(1, 3\), not \(4, 3\)"),  # broadcast in silence
        (lambda a: a[:, :1], r"has user_table.weight of shape \(4, 1\), not \(4, 3\)"),
        (lambda a: np.concatenate([a, a]), r"has user_table.weight of shape \(8, 3\), not \(4, 3\)"),
        (lambda a: a.astype(int), "has user_table.weight of torch.int64, not torch.float32"),
        (lambda a: a > 0, "has user_table.weight of torch.bool, not torch.float32"),
        (None, "lacks the parameter user_table.weight"),
    ],
)
def test_weights_of_another_model_are_not_loaded(kept, change, sentence):
    path, arrays = kept
    arrays = {name: array for name, array in arrays.items() if not name.startswith("moments")}
    weights = arrays.pop("parameters/user_table.weight")
    if change:
        arrays["parameters/user_table.weight"] = change(weights)
    np.savez(path, **arrays)
    model = Two()
    before = State.of(model).digest()
    with pytest.raises(AccentError, match=f"ncf.npz in runs {sentence}, and so is of another model"):
        load_checkpoint(path)[0].into(model, "ncf.npz in runs")
    assert State.of(model).digest() == before


def test_a_file_of_one_model_is_none_of_the_other(sample, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCENT_RUNS", str(tmp_path))
    run = Run("03_influence", {"run": "sample"})
    ncf, rcf = (State.of(kind(sample)) for kind in (NCF, RCF))
    for name, state in {"ncf": rcf, "rcf": ncf}.items():
        save_checkpoint(run.path(f"{name}.npz"), state, "abc", data=sample.fingerprint, start=0)
        with pytest.raises(
            AccentError, match=rf"{name}\.npz in .* and so is of another model than this {name.upper()}"
        ):
            runs.trained_model(run, name, sample)
    for about, sentence in {
        "start": ({"data": sample.fingerprint}, "does not say from which start"),
        "text": ({"data": sample.fingerprint, "start": "0"}, "does not say from which start"),
        "data": ({"start": 0}, "was trained on other data"),
    }.values():
        save_checkpoint(run.path("ncf.npz"), ncf, "abc", **about)
        with pytest.raises(AccentError, match=sentence):
            runs.trained_model(run, "ncf", sample)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("everywhere", [True, False])
def test_a_training_that_diverged_replaces_no_good_model(kept, value, everywhere):
    path, _ = kept
    before, state = path.read_bytes(), load_checkpoint(path)[0]
    weights = state.parameters["item_table.weight"]
    weights[:] = value if everywhere else weights
    weights[2, 1] = value
    with pytest.raises(
        AccentError, match="item_table.weight is not finite after training, so .* stays what it was"
    ):
        save_checkpoint(path, state, "abc")
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


def test_a_checkpoint_does_not_unpack_to_gigabytes(tmp_path, monkeypatch):
    from accent_lib.training import checkpoint

    for limit in ("LARGEST", "UNPACKED"):
        monkeypatch.setattr(checkpoint, limit, 2**20)
    arrays = {"parameters/weight": np.zeros(2**20, np.float32), "header": np.array(ABOUT)}
    np.savez_compressed(tmp_path / "ncf.npz", **arrays)
    with pytest.raises(AccentError, match="cannot be read .it unpacks to 4,194,"):
        load_checkpoint(tmp_path / "ncf.npz")
    np.savez(tmp_path / "ncf.npz", **arrays)
    with pytest.raises(AccentError, match="holds more than 1 MiB"):
        load_checkpoint(tmp_path / "ncf.npz")
