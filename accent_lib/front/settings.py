"""Settings by name: how a model is built, trained and retrained, scaled to the data at hand."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from accent_lib.datasets import Interactions
from accent_lib.training import ANNEALED, PAPER, Recipe, Round, recipes

#: Training ratings of MovieLens 100K, which the recipes were found on.
USUAL = 80_000
#: Times that training goes through the data at least, and retraining from trained weights.
EPOCHS, EPOCHS_AGAIN = 40, 20


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
    variant : str
        Of the influence.
    why : str
        This variant.

    Examples
    --------
    >>> Setting({}, (Round(4, ANNEALED),), ANNEALED).variant
    'paper'
    """

    network: Mapping = field(default_factory=dict)
    rounds: tuple[Round, ...] = (Round(1, ANNEALED),)
    retraining: Recipe = recipes.NCF_RETRAINING
    from_scratch: bool = False
    variant: str = "paper"
    why: str = "as the paper ran it"


def ncf(name: str, data: Interactions) -> Setting:
    """A setting of NCF: ``generalising``, or ``paper``.

    The weight decay is as strong as 80 ratings, as it is on MovieLens 100K, whatever their number; a batch is
    a 64th of the data where these are few.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> data = prepare(load("sample"))
    >>> ncf("paper", data).rounds[0].recipe.steps, ncf("generalising", data).network["activation"]
    (120000, 'gelu')
    """
    if name == "paper":
        return Setting({}, (Round(1, PAPER),))
    n = len(data.train)
    batch = max(32, min(ANNEALED.batch_size, n // 64))
    an_epoch = max(1, n // batch)
    steps = max(ANNEALED.steps, EPOCHS * an_epoch)
    again = max(recipes.NCF_RETRAINING.steps, EPOCHS_AGAIN * an_epoch)
    return Setting(
        {"activation": "gelu", "weight_decay": 1e-3 * USUAL / n},
        (Round(4, replace(ANNEALED, steps=steps, batch_size=batch)),),
        replace(recipes.NCF_RETRAINING, steps=again, batch_size=batch),
        variant="objective",
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
        variant="shared",
        why="one Hessian for all actions of a user, which explains no worse than the paper's",
    )
