"""Explanations in the ids and titles of a file, one user's or a table of many."""

import copy
import inspect
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from accent_lib import explanations
from accent_lib.arguments import listed, whole
from accent_lib.errors import AccentError, shown
from accent_lib.explainers import checked_margin, no_sentence, sentence
from accent_lib.explanations import Closeup
from accent_lib.explanations.evidence import obstacle
from accent_lib.explanations.methods import check_methods
from accent_lib.front.fitted import Estimator, speaker
from accent_lib.front.verified import Verification, verify
from accent_lib.influence import options_of
from accent_lib.models import top_k
from accent_lib.wording import choose, counted

#: Characters that a sentence shows of a title.
LONGEST = 120
#: Arguments of both functions here.
OWN = ["k", "margin"]
#: Of the table of many.
COLUMNS = (
    "user method variant k recommendation recommendation_title replacement replacement_title removed "
    "removed_titles size gap remaining_gap"
).split()


@dataclass(frozen=True, eq=False, repr=False)
class Counterfactual:
    """Why a user is recommended an item: the ratings without which it would have been another.

    Attributes
    ----------
    model : Estimator
    closeup : Closeup
        All that there is to see of the user, in positions.
    k : int
    method, variant : str

    Examples
    --------
    >>> from accent_lib.datasets import load
    >>> from accent_lib.front import NCF, explain
    >>> from accent_lib.front.settings import Setting
    >>> from accent_lib.training import Recipe, Round
    >>> recipe = Recipe(steps=300, learning_rate=0.01, batch_size=256)
    >>> model = NCF(load("sample"), Setting({}, (Round(1, recipe),), recipe)).fit()
    >>> explanation = explain(model, model.data.user_ids[3], k=5)
    >>> len(explanation.slate), explanation.gap > 0
    (5, True)
    >>> list(explanation.history)
    ['item', 'title', 'influence', 'removed']
    """

    model: Estimator
    closeup: Closeup
    k: int
    method: str
    variant: str

    @property
    def user(self):
        """Id of the user."""
        return self.model.data.user_ids[self.closeup.user]

    @property
    def recommendation(self):
        """Id of the item recommended."""
        return self._ids[self.closeup.items[0]]

    @property
    def replacement(self):
        """Id of the item that would have been recommended instead; None where no set was found."""
        return self._ids[self.closeup.items[self.closeup.rival]] if self.found else None

    @property
    def removed(self) -> list:
        """Ids of the items whose ratings make the set, in the order taken; empty where none was found."""
        return self._ids[self.closeup.history[list(self._positions)]].tolist()

    @property
    def found(self) -> bool:
        """Whether there is a set."""
        return self.closeup.explanation is not None

    @property
    def reached(self) -> bool:
        """Whether the replacement is estimated to lead by the margin asked for, or just by what it can."""
        return self.found and self.closeup.explanation.reached

    @property
    def gap(self) -> float:
        """By how much the recommendation leads the replacement, or else the second, in the unit of scores."""
        return float(self.model.differences_in_unit(self.closeup.gaps[0]))

    @property
    def remaining_gap(self) -> float:
        """What is estimated to be left of the gap without the set; negative if it changes the order."""
        return float(self.model.differences_in_unit(self.closeup.gaps[-1]))

    @property
    def slate(self) -> pd.DataFrame:
        """The best items: ``item, title, score``, and ``without``, the score estimated without the set."""
        items, scores = self.closeup.items, self.model.in_unit(self.closeup.scores)
        table = pd.DataFrame({"item": self._ids[items], "title": self._titles[items], "score": scores})
        if self.found:
            table["without"] = self.model.in_unit(self.closeup.explanation.predicted)
        return table

    @property
    def history(self) -> pd.DataFrame:
        """What the user did: ``item, title``, the ``influence`` on the gap, and whether it is ``removed``."""
        items = self.closeup.history
        table = pd.DataFrame({"item": self._ids[items], "title": self._titles[items]})
        table["influence"] = self.model.differences_in_unit(self.closeup.on_gap)
        table["removed"] = np.isin(np.arange(len(items)), self._positions)
        return table

    def sentence(self, verb: str = "rated") -> str:
        """The explanation in plain words, or that there is none.

        Parameters
        ----------
        verb : str
            What users do with items, as a participle: ``rated``, ``read``, ``liked``.
        """
        if not isinstance(verb, str) or not verb.strip():
            raise AccentError(
                f"`verb` is {shown(verb)}, but must be a participle, such as 'rated' or 'read'."
            )
        title = [_short(title) for title in self._titles[self.closeup.items]]
        if not self.found:
            return no_sentence(title[0])
        removed = [_short(title) for title in self._titles[self.closeup.history[list(self._positions)]]]
        return sentence(removed, title[0], title[self.closeup.rival], self.remaining_gap, verb)

    def row(self) -> dict[str, Any]:
        """The explanation as a row of a table; :func:`explain_users` gives one for each user."""
        seen, found = self.closeup, self.found
        items = seen.items[0], seen.items[seen.rival] if found else -1, seen.history[list(self._positions)]
        gaps = seen.gaps[0], seen.gaps[-1]
        return _row(self.model, seen.user, self.method, self.variant, self.k, *items, *gaps)

    def to_frame(self) -> pd.DataFrame:
        """The explanation as a table of one row."""
        return _frame([self.row()])

    def verify(self, orders: int = 3, **options) -> Verification:
        """Train without the set and look what is recommended then: see :func:`~accent_lib.front.verify`."""
        known = [name for name in inspect.signature(verify).parameters if name != "explanation"]
        for option in options:
            if option not in known:
                raise AccentError(f"verify() has no argument {option!r}; {choose(option, known)}.")
        return verify(self, orders, **options)

    def __repr__(self):
        return self.sentence()

    @property
    def _positions(self):
        return self.closeup.explanation.removed if self.found else ()

    @property
    def _ids(self):
        return self.model.data.item_ids

    @property
    def _titles(self):
        return self.model.data.titles


def explain(
    model: Estimator, user, k: int = 10, method: str = "accent", *, margin: float = 0.0, **options
) -> Counterfactual:
    """Explain what a user is recommended.

    Parameters
    ----------
    model : Estimator
        Fitted, such as :class:`NCF`.
    user
        Her id in the file.
    k : int
        Size of the slate, the recommendation included: among the others the replacement is looked for.
    method : str
        ``accent``, ``fia``, ``pure_fia``, ``one_versus_all``, ``random``, and for models with attention
        ``attention`` and ``pure_attention``.
    margin : float
        How far the replacement must be estimated to lead, in the unit of scores: the more, the larger is the
        set, and the more often it holds.
    **options
        Of the influence, as for :func:`~accent_lib.influence.fast_influence`. Default: the variant that fits.

    Raises
    ------
    AccentError
        If the model is not fitted, there is no such user or method, she knows all items but one or has no
        action, or a number is not finite.

    Warns
    -----
    AccentWarning
        Once, of what :func:`check` has to say of a net of one's own that was trained elsewhere; and if the
        recommendation ties with another item of the slate.

    Examples
    --------
    >>> from accent_lib.datasets import load
    >>> from accent_lib.front import NCF
    >>> from accent_lib.front.settings import Setting
    >>> from accent_lib.training import Recipe, Round
    >>> quick = Setting({}, (Round(1, Recipe(steps=300, learning_rate=0.01, batch_size=256)),))
    >>> model = NCF(load("sample"), quick).fit()
    >>> explanation = explain(model, model.data.user_ids[3], k=5)
    >>> explanation.sentence() == str(explanation)
    True
    """
    network, position = _fitted(model).network, model.user_position(user)
    if reason := obstacle(network, position):
        raise AccentError(
            f"User {shown(user)} {reason}; hold more, or fewer, of her ratings out, or add items."
        )
    _known("explain", options, [*OWN, "user", "method"], network)
    k, options = whole(k, "k", 2), _options(model, options, margin)
    closeup = explanations.closeup(network, position, k, method, **options)
    # A copy that a later fit() does not change, for this is what verification starts from.
    return Counterfactual(copy.copy(model), closeup, k, method, options["variant"])


def explain_users(
    model: Estimator,
    users: Iterable | None = None,
    k: int = 10,
    methods: Sequence[str] = ("accent",),
    progress: bool | Callable[[int], None] = False,
    *,
    margin: float = 0.0,
    **options,
) -> pd.DataFrame:
    """Explain what many users are recommended.

    Parameters
    ----------
    model : Estimator
    users : iterable, optional
        Their ids. Default: all.
    k, margin, options
        As for :func:`explain`.
    methods : sequence of str
    progress : bool or callable
        Whether to say how many users are done; a callable is given their number.

    Returns
    -------
    DataFrame
        One row for each user and method: ``user, method, variant, k, recommendation, recommendation_title,
        replacement, replacement_title, removed, removed_titles, size, gap, remaining_gap``. ``removed`` and
        ``removed_titles`` are lists; of a user for whom no set was found they are empty, and the replacement
        is None.  Of one who knows all items but one, or all, or has no action, the gaps are NaN, too.

    Raises
    ------
    AccentError
        As for :func:`explain`.

    Warns
    -----
    AccentWarning
        Once, if recommendations tie with another item of their slates.

    Examples
    --------
    >>> from accent_lib.datasets import load
    >>> from accent_lib.front import NCF, explain_users
    >>> from accent_lib.front.settings import Setting
    >>> from accent_lib.training import Recipe, Round
    >>> recipe = Recipe(steps=300, learning_rate=0.01, batch_size=256)
    >>> model = NCF(load("sample"), Setting({}, (Round(1, recipe),), recipe)).fit()
    >>> table = explain_users(model, model.data.user_ids[:3], k=5, methods=["accent", "fia"])
    >>> table.shape, table["method"].unique().tolist()
    ((6, 13), ['accent', 'fia'])
    """
    network, data = _fitted(model).network, model.data
    _known("explain_users", options, [*OWN, "users", "methods", "progress"], network)
    methods = [methods] if isinstance(methods, str) else methods
    methods = listed(methods, "methods", "a list of names, such as ['accent']")
    check_methods(methods, network)
    methods = list(dict.fromkeys(methods))
    if not methods:
        raise AccentError("`methods` is empty; name one, such as 'accent'.")
    users = data.user_ids if users is None else _ids(users)
    positions = [model.user_position(user) for user in users]
    k, options = whole(k, "k", 2), _options(model, options, margin)
    able = [user for user in dict.fromkeys(positions) if not obstacle(network, user)]
    if not callable(progress):
        say = speaker(progress)
        progress = (lambda done: say(f"{done:,} of {counted(len(able), 'user')}")) if progress else None
    with ThreadPoolExecutor(2) as threads:
        ranked, table, _ = explanations.explain_users(
            "", network, able, [k], methods, threads, progress, **options
        )
    slate_of = {user: of_user for user, of_user in ranked.groupby("user")}
    rows = {}
    for row in table.itertuples():
        scores = slate_of[row.user]["score"].to_numpy()
        place = 1 if row.replacement < 0 else row.replacement_position
        after = row.predicted or scores
        gaps = scores[0] - scores[place], after[0] - after[place]
        items = row.recommendation, row.replacement, network.actions(row.user)[list(row.removed)]
        rows[row.user, row.method] = _row(model, row.user, row.method, options["variant"], k, *items, *gaps)
    for user in set(positions).difference(able):
        (items, _), nothing = top_k(network, user, 1), (-1, np.array([], int), np.nan, np.nan)
        best = items[0] if len(items) else -1
        for method in methods:
            rows[user, method] = _row(model, user, method, options["variant"], k, best, *nothing)
    return _frame([rows[user, method] for user in positions for method in methods])


def _row(model, user, method, variant, k, recommendation, replacement, removed, gap, remaining_gap):
    """One explanation, from positions and scores of the network; an item that there is not is -1."""
    ids, titles, found = model.data.item_ids, model.data.titles, replacement >= 0
    return {
        "user": model.data.user_ids[user],
        "method": method,
        "variant": variant,
        "k": k,
        "recommendation": ids[recommendation] if recommendation >= 0 else None,
        "recommendation_title": titles[recommendation] if recommendation >= 0 else None,
        "replacement": ids[replacement] if found else None,
        "replacement_title": titles[replacement] if found else None,
        "removed": ids[removed].tolist(),
        "removed_titles": titles[removed].tolist(),
        "size": len(removed),
        "gap": float(model.differences_in_unit(gap)),
        "remaining_gap": float(model.differences_in_unit(remaining_gap)),
    }


def _frame(rows):
    """A table of rows in which an item that there is not is None, and ids are what they are in the file."""
    table = pd.DataFrame(rows, columns=COLUMNS)
    for name in COLUMNS:  # left to itself, pandas makes NaN of None, and floats of the ids beside it
        values = [row[name] for row in rows]
        if any(value is None for value in values):
            table[name] = pd.Series(values, dtype=object)
    return table


def _known(function, options, own, network):
    """Refuse options that neither a function nor influence has."""
    known = [*own, *options_of(network)]
    for option in options:
        if option not in known:
            raise AccentError(f"{function}() has no argument {option!r}; {choose(option, known)}.")


def _short(title):
    return title if len(title) <= LONGEST else f"{title[: LONGEST - 1]}…"


def _fitted(model):
    if not isinstance(model, Estimator):
        raise AccentError(
            f"A model is NCF(data), RCF(data) or wrap(net, data), fitted, not {type(model).__name__}; a "
            "network of positions is explained by accent_lib.explanations.explain()."
        )
    model.fitted()
    model.look()
    return model


def _options(model, options, margin):
    """Options of the influence, and the margin in the unit of the network."""
    options = {**model.setting.influence, **options}
    if options["variant"] is None:
        options["variant"] = model.setting.influence["variant"]
    return {**options, "margin": checked_margin(margin) / model.differences_in_unit(1)}


def _ids(users):
    if isinstance(users, str | bytes | dict) or not isinstance(users, Iterable):
        raise AccentError(f"`users` is a list of ids, not {shown(users)}; of one user explain() tells more.")
    return listed(users, "users", "a list of ids")
