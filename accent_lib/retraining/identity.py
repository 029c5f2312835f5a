"""What a base model and its outcomes are called, so that only what belongs together is put together.

A name says what a thing *is*: which data, recipe and seed, which arithmetic, and the ``revision`` of the
model, a number raised by hand with every change of what it computes (golden tests see to it).  Moving a file
or editing a plot changes no name.
"""

from dataclasses import asdict

from accent_lib.errors import AccentError
from accent_lib.provenance import fingerprint
from accent_lib.training import Recipe, State


def training_identity(model, data: str, **how) -> str:
    """Name what a training is to make, before it begins.

    Parameters
    ----------
    model : Recommender, or its class
    data : str
        Its fingerprint.
    **how
        Seeds, recipes and whatever else the result depends on, settings of the model other than its defaults
        among them.

    Examples
    --------
    >>> from accent_lib.models import NCF
    >>> training_identity(NCF, "abc", seed=0) == training_identity(NCF, "abc", seed=1)
    False
    """
    return fingerprint(data=data, **_kind(model), how=how)


def base_identity(model, state: State, trained_by: str) -> str:
    """Name a base model by its state, or by ``trained_by``, a :func:`training_identity`.

    By the state (its parameters and moments) where training gives the same bytes on every processor;
    elsewhere, where processors differ by rounding, by what made it.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF, RCF
    >>> data = prepare(load("sample"))
    >>> for model in (NCF(data), RCF(data)):
    ...     print(base_identity(model, State.of(model), "abc") == "abc")
    False
    True
    """
    return state.digest() if getattr(model, "loops", None) is not None else trained_by


def outcomes_identity(
    model, base: str, recipe: Recipe, *, start: str = "trained", device: str = "cpu", **how
) -> str:
    """Name the outcomes of retraining a base model; the order, the world and the slate stand in each outcome.

    Parameters
    ----------
    model : Recommender
    base : str
        From :func:`base_identity`.
    recipe : Recipe
        Of the retrainings.
    start : {"trained", "initial"}
        Whether they begin from the base model or from its initial parameters.
    device : str
        Where they are trained.  Compiled loops and tensors on a CPU or a GPU round differently, and a world
        is compared with a control of the same arithmetic only.
    **how
        What else changes them.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> model = NCF(prepare(load("sample")))
    >>> names = {outcomes_identity(model, "abc", Recipe(steps)) for steps in (10, 10, 20)}
    >>> len(names)
    2
    """
    if device == "auto":
        raise AccentError("Outcomes are named by where they are trained: pass what choose_device says.")
    kind = device.split(":")[0]
    loops = recipe.optimizer == "adam" and kind == "cpu" and getattr(model, "loops", None) is not None
    arithmetic = "loops" if loops else f"tensors on {kind}"
    return fingerprint(
        base=base, **_kind(model), recipe=asdict(recipe), start=start, arithmetic=arithmetic, how=how
    )


def slate_identity(items) -> str:
    """Name a slate: the items whose scores an outcome tells, shape ``(k,)``.

    Examples
    --------
    >>> len(slate_identity([3, 1, 2])), slate_identity([3, 1, 2]) == slate_identity([1, 2, 3])
    (8, False)
    """
    return fingerprint(items=[int(item) for item in items])[:8]


def _kind(model):
    kind = model if isinstance(model, type) else type(model)
    about = {"model": kind.__name__, "revision": getattr(kind, "revision", 1)}
    # A class that stands for nets of all kinds says of which this is one.
    return about | {"of": model.identity} if hasattr(kind, "identity") else about
