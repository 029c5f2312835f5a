"""ACCENT: counterfactual explanations for neural recommenders (Tran, Ghazimatin & Saha Roy, SIGIR 2021).

One way through it: ratings, interactions, model, influence, explanations, worlds, outcomes, tables, book.
Every arrow is a module of this package and a notebook of the book.
"""

from accent_lib.errors import AccentError

__version__ = "0.1.0"
__all__ = ["AccentError"]
