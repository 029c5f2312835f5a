"""What a model that is given must offer, and what is said where its numbers are not finite."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from accent_lib.arguments import offers, refused
from accent_lib.errors import AccentError


def checked_model(model: Any, *needed: str) -> Any:
    """A recommender, or an error that says what one is; asked for is what ``needed`` names, too.

    Examples
    --------
    >>> checked_model("ncf")
    Traceback (most recent call last):
        ...
    accent_lib.errors.AccentError: `model` is 'ncf', but must be a Recommender, such as accent_lib...
    """
    what = "a Recommender, such as accent_lib.models.NCF(data), or what has its methods"
    if hasattr(model, "network") and not hasattr(model, "block"):
        raise AccentError(f"`model` is a {type(model).__name__} that speaks in ids: give its `network`.")
    return offers(
        model, "model", what, "n_users", "n_items", "actions", "candidates", "block", "scores", *needed
    )


def not_finite(model: Any, what: str) -> AccentError:
    """The error of a number that is not finite, with the parameters that are to blame, if any is.

    Examples
    --------
    >>> print(not_finite(torch.nn.Linear(1, 1), "The score of user 3"))
    The score of user 3 is not finite, though all parameters are: look for a division, a root ...
    """
    named = model.named_parameters() if hasattr(model, "named_parameters") else ()
    names = [name for name, value in named if not value.isfinite().all()]
    if not names:
        return AccentError(
            f"{what} is not finite, though all parameters are: look for a division, a root or a logarithm "
            "in the model, or numbers that are too large."
        )
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return AccentError(
        f"{what} is not finite, because parameters are not ({', '.join(names[:3])}{more}): training "
        "diverged; train again at a lower learning rate."
    )


def items_of(model: Any, items: Any) -> np.ndarray | Tensor:
    """Positions of items of a model, ``(n,)``, as they are; a list becomes an array.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> items_of(SimpleNamespace(n_items=3), [2, 0]).tolist()
    [2, 0]
    """
    what = f"a list of positions of items, from 0 to {model.n_items - 1}"
    if isinstance(items, Tensor):
        whole = not (items.is_floating_point() or items.is_complex() or items.dtype == torch.bool)
        if not whole or items.dim() != 1 or not len(items):
            raise refused(items, "items", what)
        least, most = (
            (0, 0) if items.is_cuda else (int(items.min()), int(items.max()))
        )  # it would be waited for
    else:
        try:
            items = np.asarray(items)
        except Exception:  # ragged lists, and whatever somebody's class says
            raise refused(items, "items", what) from None
        if items.dtype.kind not in "iu" or items.ndim != 1 or not len(items):
            raise refused(items, "items", what)
        least, most = items.min(), items.max()
    if least < 0 or most >= model.n_items:
        raise refused(least if least < 0 else most, "items", what)
    return items


def differentiating(function: Callable) -> Callable:
    """Let a function take gradients, also for a caller inside ``torch.no_grad()`` or ``inference_mode()``."""
    return torch.inference_mode(False)(torch.enable_grad()(function))


@torch.inference_mode(False)
def differentiable(model: Any) -> Any:
    """A model whose tensors let gradients pass: itself, or a copy if they were made in inference mode."""
    if not hasattr(model, "parameters"):
        return model
    made = any(value.is_inference() for value in (*model.parameters(), *model.buffers()))
    return copy.deepcopy(model) if made else model
