"""The front of the library: models that speak in the ids and titles of a file, explained and verified."""

from accent_lib.front.explained import Counterfactual, explain, explain_users
from accent_lib.front.fitted import NCF, RCF, Estimator
from accent_lib.front.settings import Setting
from accent_lib.front.verified import Verification, verify
from accent_lib.front.wrapping import OwnModel, check, wrap

__all__ = [
    "NCF",
    "RCF",
    "Counterfactual",
    "Estimator",
    "OwnModel",
    "Setting",
    "Verification",
    "check",
    "explain",
    "explain_users",
    "verify",
    "wrap",
]
