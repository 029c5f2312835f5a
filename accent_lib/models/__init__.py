"""Recommenders, and what ACCENT asks of one."""

from accent_lib.models.activation import gelu
from accent_lib.models.checks import check
from accent_lib.models.ncf import NCF
from accent_lib.models.rcf import RCF
from accent_lib.models.recommender import Recommender, history_scores, slates, top_k
from accent_lib.models.wrapped import Wrapped

__all__ = ["NCF", "RCF", "Recommender", "Wrapped", "check", "gelu", "history_scores", "slates", "top_k"]
