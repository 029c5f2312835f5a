"""Settings by name: how a model is built, trained and retrained, scaled to the data at hand."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from accent_lib.arguments import flag, instance, refused
from accent_lib.datasets import Interactions
from accent_lib.errors import AccentError, shown
from accent_lib.training import ANNEALED, PAPER, Recipe, Round, recipes


class Smooth(NamedTuple):
    """A smooth NCF that is stopped early; weight decay is as strong as some of a user's ratings.

    Attributes
    ----------
    width, epochs : int
    share : float
        Weight decay, as a share of the ratings that a user has in the mean.
    most : float
        At most so many ratings.

    Examples
    --------
    >>> Smooth(32, 19, 0.05, 6).most
    6
    """

    width: int
    epochs: int
    share: float
    most: float


#: What a smooth NCF may be made for.
SMOOTH = {
    "generalising": Smooth(width=32, epochs=19, share=1 / 20, most=6),
    "accurate": Smooth(width=64, epochs=40, share=1 / 4, most=32),
}
#: Its rate at the start.
RATE = 2.5e-3
#: Steps in which an epoch is cut, where the data are few.
STEPS = 64


@dataclass(frozen=True)
class Setting:
    """How a model is built, trained and retrained.

    Attributes
    ----------
    network : mapping
        Arguments of the network.
    rounds : tuple of Round
        Of the search over starts.
    retraining : Recipe
        For verification.
    from_scratch : bool
        Whether retraining starts where training did; else it starts from the trained parameters.
    influence : mapping
        Options of :func:`~accent_lib.influence.fast_influence`.
    why : str
        These, in words.

    Examples
    --------
    >>> Setting({}, (Round(4, ANNEALED),), ANNEALED).influence
    {'variant': 'paper'}
    """

    network: Mapping = field(default_factory=dict)
    rounds: tuple[Round, ...] = (Round(1, ANNEALED),)
    retraining: Recipe = recipes.NCF_RETRAINING
    from_scratch: bool = False
    influence: Mapping = field(default_factory=lambda: {"variant": "paper"})
    why: str = "as the paper ran it"

    def __post_init__(self):
        for name in ("network", "influence"):
            instance(getattr(self, name), name, Mapping, "a mapping of names to values")
        if "variant" not in self.influence:
            raise refused(self.influence, "influence", "a mapping with a 'variant', such as 'objective'")
        rounds = instance(self.rounds, "rounds", tuple, "a tuple of Round, one at least")
        for each in rounds or [rounds]:
            instance(each, "rounds", Round, "a tuple of Round, one at least")
        instance(self.retraining, "retraining", Recipe, "a Recipe")
        flag(self.from_scratch, "from_scratch")


def of_dict(facts: Mapping) -> Setting:
    """A setting from what :func:`dataclasses.asdict` makes of one, such as a file has it.

    Raises
    ------
    AccentError
        If it is none.

    Examples
    --------
    >>> from dataclasses import asdict
    >>> of_dict(asdict(Setting())) == Setting()
    True
    """
    try:
        rounds = tuple(Round(each["starts"], Recipe(**each["recipe"])) for each in facts["rounds"])
        return Setting(**{**facts, "rounds": rounds, "retraining": Recipe(**facts["retraining"])})
    except (TypeError, KeyError) as error:
        raise AccentError(f"{shown(facts)} is no setting.") from error


def ncf(name: str, data: Interactions) -> Setting:
    """A setting of NCF: ``generalising``, ``accurate`` or ``paper``.

    The first two are wide and smooth networks that are stopped early.  Width costs nothing on held-out
    ratings: what so many parameters memorise of one pair hardly shows in another.  ``accurate`` has the
    stronger weight decay: it errs less, and recommends the same few items to many users.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> data = prepare(load("sample"))
    >>> ncf("paper", data).rounds[0].recipe.steps, ncf("generalising", data).network["activation"]
    (120000, 'gelu')
    >>> ncf("accurate", data).network["dim"]
    64
    """
    if name == "paper":
        return Setting({}, (Round(1, PAPER),))
    smooth, n = SMOOTH[name], len(data.train)
    batch = max(32, min(PAPER.batch_size, n // STEPS))
    ridge = min(smooth.most, smooth.share * n / data.n_users)
    recipe = Recipe(math.ceil(smooth.epochs * n / batch), RATE, "linear", batch_size=batch)
    return Setting(
        {"dim": smooth.width, "activation": "gelu", "weight_decay": ridge / n},
        (Round(4, recipe),),
        recipe,
        from_scratch=True,
        influence={"variant": "objective"},
        why="the exact block of the objective that was trained",
    )


def rcf(name: str, data: Interactions) -> Setting:
    """A setting of RCF: ``short``, of 20 epochs, or ``paper``, of 50.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> data = prepare(load("sample"))
    >>> rcf("paper", data).retraining.steps > rcf("short", data).retraining.steps
    True
    """
    n = int(data.train["positive"].sum())
    epochs = recipes.RCF_EPOCHS if name == "paper" else 20
    recipe = replace(recipes.RCF, steps=epochs * math.ceil(n / recipes.RCF.batch_size))
    return Setting(
        {},
        (Round(1, recipe),),
        recipe,
        from_scratch=True,
        influence={"variant": "shared"},
        why="one Hessian for all actions of a user, which explains no worse than the paper's",
    )
