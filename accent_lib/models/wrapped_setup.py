"""What is found out about a net as it is wrapped, by trying it; what does not fit is refused."""

import copy
import inspect
import warnings
from collections import Counter
from collections.abc import Mapping

import numpy as np
import torch
from torch import Size, Tensor, nn
from torch.autograd import grad
from torch.func import functional_call, vmap
from torch.nn.parameter import is_lazy

from accent_lib.arguments import number
from accent_lib.errors import AccentError, shown
from accent_lib.wording import counted

READS = ("nothing", "graph", "history")
#: Parameters of a block at most: its Hessian has a row and a column for each.
LARGEST = 4096


def reads_of(net: nn.Module) -> str:
    """What a net reads, by how the parameters of its ``forward`` are called."""
    names = list(inspect.signature(net.forward).parameters)
    if len(names) < 2 or names[0].startswith("item"):
        raise AccentError(
            "The net's `forward` must take (users, items), (users, items, keep) or (histories, items), but "
            f"takes ({', '.join(names)})."
        )
    if names[0].startswith(("hist", "seq")):
        return "history"
    return "graph" if names[2:3] == ["keep"] else "nothing"


def names_of(net, named) -> list[str]:
    """Names of parameters of a net, as a list."""
    if not isinstance(net, nn.Module):
        what = f"the class {net.__name__}" if isinstance(net, type) else f"of type {type(net).__name__}"
        raise AccentError(f"The net is {what}, but must be a torch.nn.Module that has been made.")
    if isinstance(net, torch.jit.ScriptModule):
        raise AccentError("The net was compiled by torch.jit; wrap the module that it was made from.")
    sparse = [name for name, module in net.named_modules() if getattr(module, "sparse", False)]
    if sparse:
        raise AccentError(
            f"Tables with sparse gradients ({', '.join(sparse[:3]):.60}) cannot be differentiated twice; "
            "make them with sparse=False."
        )
    if isinstance(net, nn.DataParallel):
        raise AccentError(
            "The net is inside nn.DataParallel, in which no parameter can be replaced; wrap its `module`."
        )
    short = [name for name, module in net.named_modules() if getattr(module, "max_norm", None) is not None]
    if short:
        raise AccentError(
            f"Tables with `max_norm` ({', '.join(short[:3]):.60}) change their rows whenever they are read, "
            "which is no function of them; make them without it, and hold them by weight decay."
        )
    unmade = [name for name, value in net.named_parameters() if is_lazy(value) or value.is_meta]
    if unmade:
        raise AccentError(
            f"Parameters of the net ({', '.join(unmade[:3]):.60}) have no values yet; call the net once, or "
            "make it elsewhere than on the device 'meta'."
        )
    names = [named] if isinstance(named, str) or named is None else named
    if not isinstance(names, list | tuple):
        raise AccentError(
            f"Parameters are given by their names, such as 'users.weight', not by {type(named).__name__}."
        )
    names = [name for name in names if name is not None]
    for name in names:
        if not isinstance(name, str):
            raise AccentError(
                f"Parameters are given by their names, such as 'users.weight', not by {shown(name)}."
            )
    made = [name for name, value in net.named_parameters() if value.is_inference()]
    if made:
        raise AccentError(
            f"Parameters of the net ({', '.join(made[:3])}) were made inside torch.inference_mode(), which "
            "no gradient passes; make the net outside of it."
        )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise AccentError(f"The parameter {shown(twice)} is named twice; name it once.")
    return names


def decays_of(net: nn.Module, weight_decay: float | Mapping[str, float]) -> dict[str, float]:
    """Weight decay of each parameter of a net, by name."""
    names = [name for name, _ in net.named_parameters()]
    if not isinstance(weight_decay, Mapping):
        weight_decay = dict.fromkeys(names, weight_decay)
    weight_decay = {name: number(decay, "weight_decay", 0) for name, decay in weight_decay.items()}
    for name in weight_decay:
        if name not in names:
            raise AccentError(f"`weight_decay` names {name!r}, but the net has {', '.join(names)}.")
    return {name: weight_decay.get(name, 0.0) for name in names}


def settings_of(net: nn.Module) -> dict:
    """What a net is beside parameters and buffers: classes of its modules, their numbers and words."""
    settings = {}
    for name, module in net.named_modules():
        plain = {
            key: value
            for key, value in vars(module).items()
            if isinstance(value, str | int | float) and not key.startswith("_") and key != "training"
        }
        kind = type(module)
        settings[name] = [f"{kind.__module__}.{kind.__qualname__}", getattr(kind, "revision", 1), plain]
    return settings


def shapes_of(model) -> list[Size]:
    """Shapes of the parts of a block, by the names that were given for it."""
    parameters, n = dict(model.net.named_parameters()), model.n_users
    tables = [name for name, value in parameters.items() if value.dim() and len(value) == n]
    with_rows = f"with {counted(n, 'row')}, one a user: {', '.join(tables) or 'none'}"
    if not model.names:
        raise AccentError(
            f"Influence has nothing to move: name the parameters of users (`user_parameters`; {with_rows}), "
            "or, where they have none, a shared one (`block`), such as the weights of the last layer."
        )
    for name in model.names:
        if name not in (parameters if model.shared else tables):
            has = ", ".join(parameters) if model.shared else f"those {with_rows}"
            if name in parameters and parameters[name].dim():
                has += f" ({name!r} has {counted(len(parameters[name]), 'row')})"
            raise AccentError(f"The net has no parameter {shown(name)} of this kind; it has {has}.")
    if model.reads == "history" and not model.shared:
        raise AccentError(
            "A net that reads the history is not told the user, so that no row is hers; give a shared "
            "`block`, such as the weights of the last layer, instead of `user_parameters`."
        )
    again = _modules_again(model.net)
    for name in model.names:
        if name.rpartition(".")[0] in again:
            raise AccentError(
                f"The module of {name!r} stands in the net under two names, of which torch restores one "
                "alone when it puts other values in; let the net keep it once."
            )
    shapes = [parameters[name].shape[0 if model.shared else 1 :] for name in model.names]
    size = sum(shape.numel() for shape in shapes)
    if size > LARGEST:
        raise AccentError(
            f"The block has {size:,} parameters, and its Hessian a row for each; name smaller ones, up to "
            f"{LARGEST:,} in all, such as the bias of a layer."
        )
    return shapes


def _modules_again(net) -> set[str]:
    """Names of modules that stand in a net more than once."""
    every = list(net.named_modules(remove_duplicate=False))
    count = Counter(id(module) for _, module in every)
    return {name for name, module in every if count[id(module)] > 1}


def _kept(net) -> dict[tuple[str, int], Tensor]:
    """Tensors of a net that are attributes, or in a list or a dict of it; no parameters and no buffers."""
    kept = {}
    for name, module in net.named_modules():
        for key, value in vars(module).items():
            inside = [value]
            if isinstance(value, Mapping) and not key.startswith("_"):  # those of torch hold its parameters
                inside = value.values()
            elif isinstance(value, list | tuple):
                inside = value
            tensors = [each for each in inside if isinstance(each, Tensor)]
            kept |= {(f"{name}.{key}".lstrip("."), place): each for place, each in enumerate(tensors)}
    return kept


def check_scores(model) -> None:
    """Refuse a net that cannot score some pairs, the last user and the last item among them, or not train."""
    rows = torch.unique(torch.tensor([0, 1, int(model.items.argmax()), model.n_actions - 1]))
    rows = rows[rows < model.n_actions]
    items = model.items[rows][:, None].repeat(1, 2)
    try:
        before = _kept(model.net)
        scores = model.pair_scores({}, model.users[rows], model.read(rows, model.ones), items)
    except AccentError:
        raise
    except Exception as error:
        raise AccentError(
            f"The net, which is to read {model.reads}, could not score items {items[:, 0].tolist()} for "
            f"users {model.users[rows].tolist()} ({_reason(error)}); see `reads`, and how many rows its "
            "tables have."
        ) from error
    if scores.dtype not in (torch.float32, torch.float64):
        raise AccentError(
            f"The net gives scores of {scores.dtype}, which is too coarse to be differentiated twice; let it "
            "give float32 or float64, for example by net.float()."
        )
    if not scores.requires_grad:
        raise AccentError(
            "The scores of the net have no gradient: let parameters take one (`requires_grad`), and let "
            "`forward` neither detach() nor round nor run in no_grad()."
        )
    if not scores.isfinite().all() and all(value.isfinite().all() for value in model.net.parameters()):
        raise AccentError(
            f"The net gives scores that are not finite, such as {scores[~scores.isfinite()][0].item()}, "
            "though its parameters are; look for a division, a root or a logarithm in `forward`."
        )
    kept = [
        name for (name, place), value in _kept(model.net).items() if before.get((name, place)) is not value
    ]
    if kept:
        raise AccentError(
            f"`forward` keeps a tensor in the net ({', '.join(kept[:3]):.60}), which cannot be copied "
            "in training; let it keep none."
        )
    if callable(model.loss):
        _check_loss(model, scores[:, 0], model.ratings[rows])


def _check_loss(model, scores, ratings):
    """Refuse a function that does not give one loss, with a gradient, for each rating."""
    try:
        losses = model.loss(scores, ratings)
    except Exception as error:
        raise AccentError(
            f"`loss` could not be called with scores and ratings of shape {tuple(ratings.shape)} "
            f"({_reason(error)}); correct the function."
        ) from error
    if not isinstance(losses, Tensor) or losses.shape != ratings.shape:
        given = f"a tensor of shape {tuple(losses.shape)}" if isinstance(losses, Tensor) else repr(losses)
        raise AccentError(
            f"`loss` gives {given:.60} for {counted(len(ratings), 'rating')}; let it give one loss for "
            "each, for example by reduction='none'."
        )
    if not losses.requires_grad:
        raise AccentError("`loss` gives losses without a gradient; let it neither detach() nor round.")


def _reason(error):
    return f"{type(error).__name__}: {' '.join(str(error).split()):.200}"


def may_have_one_row(model) -> bool:
    """Whether tables of one row and a user 0 score as all rows do: work for one user, not for all."""
    if model.shared or model.reads != "nothing":
        return False
    trial, generator = copy.deepcopy(model), torch.Generator().manual_seed(0)
    with torch.no_grad():  # rows that are all alike would hide that another table is looked up, too
        for value in trial.parameters():
            value.copy_(torch.randn(value.shape, generator=generator))
        items = torch.tensor(np.unique(model.items)[:8])
        try:
            for user in np.unique(np.linspace(0, model.n_users - 1, 8).astype(int)).tolist():
                trial._one_row = False
                by_all = trial.scores(trial.block(user), user, items)
                trial._one_row = True
                torch.testing.assert_close(trial.scores(trial.block(user), user, items), by_all)
        except Exception:
            return False
    return True


class _Loss(nn.Module):
    """Gives ``functional_call`` a ``forward`` that is the loss of a batch."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, batch, keep):
        return self.model.batch_loss(batch, keep)


@torch.no_grad()
def training_needs(model) -> tuple[tuple[str, ...], bool, bool]:
    """Buffers that training changes, whether it draws at random, and whether copies must be trained apart."""
    batch = next(iter(model.batches(64, None)))
    trial, keep = copy.deepcopy(model), torch.ones(2, model.n_actions).to(model.ones)
    plain, before = trial.batch_loss(batch), {name: each.clone() for name, each in trial.net.named_buffers()}
    draws = not torch.equal(plain, trial.train().batch_loss(batch))
    changed = tuple(
        f"net.{name}" for name, each in trial.net.named_buffers() if not torch.equal(each, before[name])
    )
    frozen = not all(value.requires_grad for value in model.parameters())
    if changed or frozen or _modules_again(model.net):
        return changed, draws and not changed, True
    for value in trial.parameters():
        value.mul_(1.5).add_(0.01)
    keep[:, batch.rows[0]] = 0
    here = copy.deepcopy(model).train()
    losses = torch.stack([each.batch_loss(batch, keep[0]) for each in (here, trial)])

    def loss(parameters: dict[str, Tensor], keep: Tensor) -> Tensor:
        return functional_call(_Loss(here), parameters, (batch, keep))

    there = dict(trial.named_parameters())
    both = {f"model.{name}": torch.stack([each, there[name]]) for name, each in model.named_parameters()}
    try:  # a recurrent layer may leave out parameters that are put in, and say nothing
        together = vmap(loss, randomness="same")
        torch.testing.assert_close(together(both, keep), losses)
        here.eval()._draws = draws  # as it is trained
        with torch.enable_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some layers, such as attention, have no gradient then
            values = [value.requires_grad_() for value in both.values()]
            grad(together(both, keep).sum(), values, allow_unused=True)
    except Exception:
        return (), draws, True
    return (), draws, False
