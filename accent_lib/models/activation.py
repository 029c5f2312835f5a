"""The smooth activation of RCF, and of NCF where kinks are not wanted."""

import torch.nn.functional as F
from torch import Tensor


def gelu(x: Tensor) -> Tensor:
    """GELU (Hendrycks and Gimpel, 2016) by its tanh form, element by element.

    Examples
    --------
    >>> import torch
    >>> gelu(torch.tensor([-10.0, 0.0, 10.0])).tolist()
    [-0.0, 0.0, 10.0]
    """
    return F.gelu(x, approximate="tanh")
