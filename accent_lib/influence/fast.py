"""The way in: the influence that fits a model."""

import inspect

from accent_lib.errors import AccentError
from accent_lib.influence.base import FastInfluence
from accent_lib.influence.block import BlockInfluence
from accent_lib.influence.history import HistoryInfluence
from accent_lib.models.given import checked_model
from accent_lib.wording import choose


def fast_influence(model, variant: str | None = None, **options) -> FastInfluence:
    """Influence of the actions of any user of one model, by its own kind of analysis.

    Parameters
    ----------
    model : Recommender
        In double precision (``model.double()``): the solves lose half the digits.  Computed is where it lies.
    variant : str, optional
        ``paper``, as the paper ran it; or another one of the analysis.  Default: ``shared`` for a model that
        reads the history, else ``paper``.
    **options
        Of the analysis: :class:`~accent_lib.influence.HistoryInfluence` for a model that reads the history
        (``reads_history``), else :class:`~accent_lib.influence.BlockInfluence`.

    Returns
    -------
    FastInfluence
        To be called with a user and some items.

    Raises
    ------
    AccentError
        If this is no model, or its kind has no such variant or option.

    Examples
    --------
    Another variant than the paper's. The more damping, the smaller the influences:

    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF, top_k
    >>> model = NCF(prepare(load("sample"))).double()
    >>> items, _ = top_k(model, 3, 5)
    >>> weak, strong = (fast_influence(model, "objective", damping=by)(3, items) for by in (0.01, 1.0))
    >>> weak.damping < strong.damping, bool(abs(weak.influence).sum() > abs(strong.influence).sum())
    (True, True)
    """
    kind, known = _kind_of(checked_model(model)), options_of(model)
    for option in options:
        if option not in known:
            raise AccentError(
                f"{option!r} is no option of influence for a model that {kind.reads}; "
                f"{choose(option, known)}."
            )
    return kind(model, kind.variants[0] if variant is None else variant, **options)


def options_of(model) -> list[str]:
    """Names of the options of :func:`fast_influence` for a model.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> options_of(NCF(prepare(load("sample"))))[:2]
    ['variant', 'effect']
    """
    return [name for name in inspect.signature(_kind_of(model)).parameters if name != "model"]


def _kind_of(model):
    return HistoryInfluence if getattr(model, "reads_history", False) else BlockInfluence
