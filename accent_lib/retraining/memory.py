"""How much memory a stack of worlds takes, so that one too large is refused before it starts."""

import pickle

import psutil
import torch

from accent_lib.arguments import instance, whole
from accent_lib.errors import AccentError
from accent_lib.models.given import checked_model, differentiating
from accent_lib.training import Recipe
from accent_lib.training.stack import on, usable


@differentiating
def copy_bytes(model, recipe: Recipe, device: str = "cpu") -> int:
    """Bound the memory that one copy of a model takes while it is trained in a stack, in bytes.

    Counted are the parameters with their gradients and moments, once in training and once more as the state
    that is returned; the weights of the actions; and, on one real batch, all that the forward pass keeps for
    the way back, twice, since gradients of intermediate results are as large.

    Examples
    --------
    More than the parameters alone, for gradients and moments come with them:

    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> model = NCF(prepare(load("sample")))
    >>> copy_bytes(model, Recipe(steps=1)) > sum(value.nbytes for value in model.parameters())
    True
    """
    instance(recipe, "recipe", Recipe, "a Recipe of accent_lib.training")
    checked_model(model, "parameters", "batches", "batch_loss")
    model = on(model, usable(device))  # it may compute in another way there
    parameters = sum(value.numel() * value.element_size() for value in model.parameters())
    moments = 2 if recipe.optimizer == "adam" else 1
    weights = model.n_actions * (8 + torch.get_default_dtype().itemsize)  # NumPy's, then torch's
    return parameters * 2 * (2 + moments) + weights + 2 * _kept_for_backward(model, recipe)


def _kept_for_backward(model, recipe):
    if recipe.optimizer == "adam" and getattr(model, "loops", None) is not None:
        return 0  # its loops keep a tile and no more
    sizes = {}
    own = {value.untyped_storage().data_ptr() for value in (*model.parameters(), *model.buffers())}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr(), storage.nbytes()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model.batch_loss(next(iter(model.batches(recipe.batch_size, None))))
    del loss
    return sum(sizes.values())


#: Bytes for everything that does not grow with the stack: scores of one user's candidates, and buffers.
ELSE = 128 * 2**20


def stack_bytes(model, recipe: Recipe, copies: int, device: str = "cpu") -> int:
    """Bound the memory that a stack takes in a process which has the model already, in bytes.

    ``copies`` are those of the model, the control included; ``device`` is where they are trained.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> model, recipe = NCF(prepare(load("sample"))), Recipe(steps=1)
    >>> stack_bytes(model, recipe, 3) - stack_bytes(model, recipe, 2) == copy_bytes(model, recipe)
    True
    """
    copies = whole(copies, "copies", 0)
    checked_model(model, "parameters", "batches", "batch_loss")
    return ELSE + 2 * _model_bytes(model) + copies * copy_bytes(model, recipe, device)


def _model_bytes(model):
    """Bytes of a model as it travels to a worker; of one that cannot travel, those of its tensors."""
    try:
        return len(pickle.dumps(model))
    except (pickle.PicklingError, AttributeError, TypeError, RuntimeError):  # torch's own is the last
        return sum(value.numel() * value.element_size() for value in (*model.parameters(), *model.buffers()))


def available(device: str = "cpu") -> int:
    """Half of the memory that is free now, in bytes, of the machine or of a GPU.

    Examples
    --------
    >>> 0 < available() < psutil.virtual_memory().total
    True
    """
    if torch.device("cpu" if usable(device) is None else device).type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 2
    return psutil.virtual_memory().available // 2


def largest_stack(model, recipe: Recipe, memory: int | None = None, device: str = "cpu") -> int:
    """Return how many copies fit into the memory, at most 16 on a CPU and 512 on a GPU.

    More are not faster (``make bench``), and a stack is what a killed run loses.

    Raises
    ------
    AccentError
        If not even the control and one world fit.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> model, recipe = NCF(prepare(load("sample"))), Recipe(steps=1)
    >>> largest_stack(model, recipe, memory=stack_bytes(model, recipe, 5))
    5
    """
    memory = available(device) if memory is None else whole(memory, "memory", 0)
    check_memory(model, recipe, 2, memory, device)
    fit = (memory - stack_bytes(model, recipe, 0)) // copy_bytes(model, recipe, device)
    return int(min(fit, 512 if torch.device("cpu" if device is None else device).type == "cuda" else 16))


def check_memory(model, recipe: Recipe, copies: int, memory: int | None = None, device: str = "cpu") -> None:
    """Refuse a stack that does not fit.

    Raises
    ------
    AccentError
        If it would take more than `memory`, by default half of what is free.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> check_memory(NCF(prepare(load("sample"))), Recipe(steps=1), 16, memory=2**20)
    Traceback (most recent call last):
        ...
    accent_lib.errors.AccentError: A stack of 16 worlds may take ... MiB, but each worker has 1 MiB; ...
    """
    memory = available(device) if memory is None else whole(memory, "memory", 0)
    needed = stack_bytes(model, recipe, copies, device)
    if needed > memory:
        raise AccentError(
            f"A stack of {copies:,} worlds may take {needed / 2**20:,.0f} MiB, "
            f"but each worker has {memory / 2**20:,.0f} MiB; make stack_size smaller, or use fewer workers."
        )
