"""ACCENT: counterfactual explanations for neural recommenders (Tran, Ghazimatin & Saha Roy, SIGIR 2021).

One way through it: ratings, interactions, model, influence, explanations, worlds, outcomes, tables, book.
Every arrow is a module of this package and a notebook of the book.  Inside, users and items are positions;
the names below are the front, which speaks in the ids and titles of your file:

    import accent_lib as al
    data = al.read_ratings("ratings.csv", items="movies.csv")
    model = al.NCF(data).fit(progress=True)
    explanation = al.explain(model, user=42, k=10)
    print(explanation.sentence())
    print(explanation.verify(orders=3))
"""

import importlib

from accent_lib.errors import AccentError, AccentWarning

__version__ = "0.1.0"
#: Where the names of the front live; each is imported when it is first used, because torch takes a second.
_FRONT = {
    "load": "accent_lib.datasets",
    "prepare": "accent_lib.datasets",
    "read_ratings": "accent_lib.datasets",
    "NCF": "accent_lib.front",
    "RCF": "accent_lib.front",
    "check": "accent_lib.front",
    "explain": "accent_lib.front",
    "explain_users": "accent_lib.front",
    "wrap": "accent_lib.front",
}
__all__ = ["AccentError", "AccentWarning", *_FRONT]


def __getattr__(name):
    if name in _FRONT:
        return getattr(importlib.import_module(_FRONT[name]), name)
    raise AttributeError(f"module 'accent_lib' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_FRONT})
