"""Training without a set of ratings, to see whether an explanation holds."""

import copy
import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from accent_lib.arguments import refused, whole
from accent_lib.errors import AccentError, AccentWarning, shown
from accent_lib.front.fitted import seed_of
from accent_lib.models import Wrapped
from accent_lib.retraining.engine import observe, retrain
from accent_lib.retraining.memory import stack_bytes
from accent_lib.retraining.worlds import World, world_of
from accent_lib.training import Recipe
from accent_lib.training.stack import usable
from accent_lib.wording import counted

if TYPE_CHECKING:
    from accent_lib.front.explained import Counterfactual

#: Orders of the batches of verification, apart from those of training.
FIRST_ORDER = 500_000
#: Each is two trainings at least: more than that is a slip of the keyboard.
MOST_ORDERS = 1000


@dataclass(frozen=True, eq=False, repr=False)
class Verification:
    """What was recommended after training without a set, and after training with all ratings (the control).

    Attributes
    ----------
    explanation : Counterfactual
    table : DataFrame
        For each order of the batches (``order``) and each ``world`` (``without`` the set, or ``control``):
        the scores of ``recommendation`` and ``replacement``, whether the replacement ``passed`` it, the id of
        the ``top`` item of all and its ``top_title``, and whether the replacement ``led`` them all.

    Examples
    --------
    >>> from accent_lib.datasets import load
    >>> from accent_lib.front import NCF, explain, verify
    >>> from accent_lib.front.settings import Setting
    >>> from accent_lib.training import Recipe, Round
    >>> recipe = Recipe(steps=300, learning_rate=0.01, batch_size=256)
    >>> model = NCF(load("sample"), Setting({}, (Round(1, recipe),), recipe)).fit()
    >>> explained = (explain(model, user, k=5) for user in model.data.user_ids)
    >>> explanation = next(each for each in explained if each.found)
    >>> verification = verify(explanation, orders=1)
    >>> verification.table["world"].tolist(), verification.held <= verification.orders
    (['without', 'control'], True)
    """

    explanation: "Counterfactual"
    table: pd.DataFrame

    @property
    def orders(self) -> int:
        """How many orders of the batches there were."""
        return self.table["order"].nunique()

    @property
    def held(self) -> int:
        """In how many orders the replacement passed the recommendation, as the paper asks."""
        return self._count("without", "passed")

    @property
    def led(self) -> int:
        """In how many it then came out first of all items, which is what the sentence says."""
        return self._count("without", "led")

    @property
    def held_in_control(self) -> int:
        """In how many it passed the recommendation although nothing was left out."""
        return self._count("control", "passed")

    def _count(self, world, column):
        return int(self.table.loc[self.table["world"] == world, column].sum())

    def __repr__(self):
        return (
            f"held in {self.held} of {counted(self.orders, 'order')}, as first of all items in {self.led}; "
            f"the control in {self.held_in_control} of {self.orders}"
        )


def verify(
    explanation: "Counterfactual",
    orders: int = 3,
    *,
    recipe: Recipe | None = None,
    fit: Callable[[np.ndarray, int], Any] | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> Verification:
    """Train without the set of an explanation, and with all ratings beside it.

    Parameters
    ----------
    explanation : Counterfactual
        With a set.
    orders : int
        Orders of the batches, each with a control of its own.
    recipe : Recipe, optional
        Default: that of the model's setting.
    fit : callable, optional
        Your own training: ``fit(keep, seed)`` trains anew, each action weighted by ``keep``, shape
        ``(n_actions,)``, 0 for what is left out and else 1, and returns the trained module or its state dict.
        Rows of ``keep`` are those of ``model.actions``.
    seed : int
        Other orders for another seed.
    device : str
        Where to train.

    Raises
    ------
    AccentError
        If the explanation has no set, or memory is short.

    Warns
    -----
    AccentWarning
        Once, if retraining starts from a net of one's own that had been trained before; if your own training
        does not heed what is left out.

    Examples
    --------
    >>> from accent_lib.datasets import load
    >>> from accent_lib.front import NCF, explain, verify
    >>> from accent_lib.front.settings import Setting
    >>> from accent_lib.training import Recipe, Round
    >>> recipe = Recipe(steps=300, learning_rate=0.01, batch_size=256)
    >>> model = NCF(load("sample"), Setting({}, (Round(1, recipe),), recipe)).fit()
    >>> explained = (explain(model, user, k=5) for user in model.data.user_ids)
    >>> explanation = next(each for each in explained if each.found)
    >>> verify(explanation, orders=1)
    held in ... of 1 order, as first of all items in ...; the control in ... of 1
    """
    orders, seed = whole(orders, "orders", 1, MOST_ORDERS), seed_of(seed)
    if not hasattr(explanation, "closeup"):
        raise AccentError(
            f"What is verified is an explanation, as explain() gives it, not {type(explanation).__name__}."
        )
    if not explanation.found:
        raise AccentError(f"There is no set to leave out: {explanation.sentence()}")
    model, user = explanation.model, explanation.closeup.user
    network, slate = model.fitted(), {user: explanation.closeup.items}
    world = world_of(user, explanation.closeup.explanation.removed)
    fit, recipe = checked_training(fit, recipe)
    fit, recipe = fit or model.own_fit, recipe or model.setting.retraining
    device = usable(device)
    state = model.start if model.setting.from_scratch else model.state
    if fit is None:
        model.look_at_start()
        model.check_memory(stack_bytes(network, recipe, 2, device or "cpu"), device, "Verifying")
    rows = []
    for order in range(orders):
        number = FIRST_ORDER + orders * seed + order
        if fit is None:
            trained = retrain(network, recipe, state, [world, World()], number, device)
            networks = (each.into(copy.deepcopy(network)) for each in trained)
        else:
            networks = [put(fit(each.keep(network), number), network) for each in (world, World())]
            if order == 0 and _same(*networks):
                warnings.warn(
                    "`fit` gave the same net with the set and without it, so that nothing is verified: let "
                    "it weight the loss of each action by `keep`.",
                    AccentWarning,
                    stacklevel=3,
                )
        for name, each, here in zip(("without", "control"), (world, World()), networks, strict=True):
            (outcome,) = observe(here, each, [user], slate)
            if outcome.status == "failed":
                raise AccentError(f"Training {name} diverged in order {order}: a score is not finite.")
            rows.append({"order": order, "world": name, **_row(model, explanation, outcome)})
    return Verification(explanation, pd.DataFrame(rows))


def checked_training(fit, recipe):
    """Somebody's own training and a recipe, each None where it was not given."""
    if fit is not None:
        if not callable(fit):
            raise refused(fit, "fit", "a function fit(keep, seed) that trains anew")
        try:
            inspect.signature(fit).bind("keep", "seed")
        except TypeError:
            raise AccentError(
                f"`fit` is {shown(fit)}, but must be a function fit(keep, seed) that trains anew."
            ) from None
        except ValueError:  # of some functions that are not written in Python nothing is known
            pass
    if recipe is not None and not isinstance(recipe, Recipe):
        raise AccentError(f"`recipe` is {shown(recipe)}, but must be a Recipe of accent_lib.training.")
    return fit, recipe


def put(trained, network):
    """A copy of a network with what somebody's own training gave: a module, or its state dict."""
    state, here = trained.state_dict() if isinstance(trained, nn.Module) else trained, copy.deepcopy(network)
    if not isinstance(state, Mapping):
        raise AccentError(f"`fit` must return a module or a state dict, not {type(trained).__name__}.")
    whole = not isinstance(here, Wrapped) or state.keys() == here.state_dict().keys()
    inside = here if whole else here.net
    try:
        inside.load_state_dict(state)
    except RuntimeError as error:
        what = str(error).splitlines()[-1].strip()
        raise AccentError(f"What `fit` returned does not fit {type(inside).__name__}: {what}") from error
    return here.eval()


def _same(first, second):
    """Whether two networks have the same parameters."""
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


def _row(model, explanation, outcome):
    scores = model.in_unit(np.array(outcome.scores))
    rival, data = explanation.closeup.rival, model.data
    return {
        "recommendation": scores[0],
        "replacement": scores[rival],
        "passed": bool(scores[rival] > scores[0]),
        "top": data.item_ids[outcome.top],
        "top_title": data.titles[outcome.top],
        "led": outcome.top == explanation.closeup.items[rival],
    }
