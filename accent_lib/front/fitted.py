"""Recommenders of a reader's own data: fitted, asked and kept by the ids of the file."""

import inspect
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch

from accent_lib import models
from accent_lib.arguments import number, one_of, refused, whole
from accent_lib.datasets import Interactions, Ratings, prepare
from accent_lib.errors import AccentError, AccentWarning, shown
from accent_lib.evaluation import accuracy
from accent_lib.front import settings
from accent_lib.front.settings import Setting
from accent_lib.models import gelu, slates
from accent_lib.models.checks import Names
from accent_lib.retraining.memory import available, stack_bytes
from accent_lib.training import State, load_checkpoint, save_checkpoint, search, train
from accent_lib.training.stack import usable
from accent_lib.wording import choose, counted, roughly

#: A model that gives one item to more than this share of the users has learned little that is personal.
FEW = 0.5
#: A held-out error is called worse than the means' from this many times theirs on.
WORSE = 1.01
#: Users whose candidates are looked at in one go, and copies that a search over starts trains in one.
USERS, STACK = 256, 16
#: Times that some steps are tried before fitting, to say what all will take.
TRIALS, TRIAL_STEPS = 4, 5
#: Facts of training that come together.
PAIRS = ({"held_out_rmse", "rmse_of_means"}, {"pairs_in_order", "pairs_of_means"})
ACTIVATIONS = {"relu": torch.relu, "gelu": gelu}


class Estimator:
    """A recommender that is fitted to data, and speaks in the ids and titles of its file.

    Parameters
    ----------
    data : Ratings or Interactions
        Ratings are prepared by :func:`~accent_lib.datasets.prepare` with its defaults.

    Attributes
    ----------
    data : Interactions
    network : Recommender
        What is trained and explained, in positions instead of ids; ``None`` before :meth:`fit`.
    setting : Setting
    facts : dict
        What :meth:`fit` found: objective, held-out error, how many items are somebody's recommendation.

    Examples
    --------
    >>> from accent_lib.datasets import load
    >>> model = Estimator(load("sample"))
    >>> model.user_position(model.data.user_ids[3])
    3
    """

    def __init__(self, data):
        if isinstance(data, Ratings):
            data = prepare(data)
        if not isinstance(data, Interactions):
            raise AccentError(
                f"A model needs ratings, as from read_ratings() or load(), not {type(data).__name__}."
            )
        self.data, self.network, self.state, self.start, self.facts = data, None, None, None, {}
        low, high = data.scale
        # Networks see ratings on 1 to 5, which recipes were found for; scores come back in the data's unit.
        self._low, self._unit = low, (high - low) / 4

    # --- ids and positions

    @property
    def _name(self):
        """What a sentence calls the model."""
        return type(self).__name__

    @property
    def names(self) -> Names:
        """How users and items of a position are called in a sentence: by ids, and titles where there are."""
        ids, titles = self.data.item_ids, self.data.titles

        def item(position):
            own, title = _plain(ids[position]), titles[position]
            return repr(title) + ("" if title == str(own) else f" ({own!r})")

        return Names(lambda position: repr(_plain(self.data.user_ids[position])), item)

    def user_position(self, user) -> int:
        """Position of a user, from 0, by her id in the file."""
        return _position(user, self._users, "user", self.data)

    def item_position(self, item) -> int:
        """Position of an item, from 0, by its id in the file."""
        return _position(item, self._items, "item", self.data)

    @property
    def _users(self):
        return pd.Index(self.data.user_ids)

    @property
    def _items(self):
        return pd.Index(self.data.item_ids)

    def in_unit(self, scores: np.ndarray) -> np.ndarray:
        """Scores of the network in the unit of the data."""
        return self._low + self._unit * (np.asarray(scores, float) - 1) if self.on_scale else scores

    def differences_in_unit(self, differences: np.ndarray) -> np.ndarray:
        """Differences of scores, such as gaps and influences, in the unit of the data."""
        return self._unit * differences if self.on_scale else differences

    #: Whether scores are ratings; else they are logits, without a unit.
    on_scale = True
    #: The caller's own way of training, if any.
    own_fit = None

    def look(self) -> None:
        """Warn of what is wrong, before the first explanation; ``fit`` of NCF and RCF has done so."""

    def look_at_start(self) -> None:
        """Warn if verification starts where it should not; settings of NCF and RCF say where theirs does."""

    # --- after fitting

    def fitted(self):
        """The network, or an error where there is none yet."""
        if self.network is None:
            raise AccentError(f"This {self._name} is not fitted yet: call its fit() first.")
        return self.network

    def recommend(self, user, k: int = 10) -> pd.DataFrame:
        """The best items that a user has not rated: ``item``, ``title``, ``score``, best first.

        Parameters
        ----------
        user
            Her id.
        k : int
            How many.
        """
        position = self.user_position(user)
        k = whole(k, "k", 1)
        ((items, scores),) = slates(self.fitted(), [position], k)
        named = {"item": self.data.item_ids[items], "title": self.data.titles[items]}
        return pd.DataFrame({**named, "score": self.in_unit(scores)})

    def _describe(self, begin, objective, level=3):
        """Find out how good the model is, and warn where it is not."""
        network, data = self.network, self.data
        blocks = (range(at, min(at + USERS, data.n_users)) for at in range(0, data.n_users, USERS))
        best = [int(items[0]) for users in blocks for items, _ in slates(network, users, 1) if len(items)]
        values, counts = np.unique(best, return_counts=True)
        most, share = int(values[counts.argmax()]), float(counts.max() / data.n_users)
        self.facts = {
            "objective": float(objective),
            "different_recommendations": len(values),
            "seconds": round(time.perf_counter() - begin, 1),
        } | self._accuracy()
        if share > FEW and data.n_users > 1:
            warnings.warn(
                f"{self._name} recommends the same item, {data.titles[most]!r}, to {share:.0%} of "
                "the users: it learned little that is personal. Try another setting, or more data.",
                AccentWarning,
                stacklevel=level,
            )
        error, means = self.facts.get("held_out_rmse"), self.facts.get("rmse_of_means")
        if error is not None and error > WORSE * means:
            warnings.warn(
                f"{self._name} errs by {error:.3f} on held-out ratings, where means of users and "
                f"items err by {means:.3f}: it learned too little, or by heart. Explained is what it does.",
                AccentWarning,
                stacklevel=level,
            )
        pairs, of_means = self.facts.get("pairs_in_order"), self.facts.get("pairs_of_means")
        if error is None and pairs is not None and pairs < of_means / WORSE:
            warnings.warn(
                f"{self._name} puts {pairs:.1%} of held-out pairs of a liked and a disliked item in "
                f"order, where means of users and items put {of_means:.1%}.",
                AccentWarning,
                stacklevel=level,
            )

    def _accuracy(self):
        held_out = self.data.test
        if held_out.empty:
            return {}
        scores = self.in_unit(accuracy.predict(self.network, held_out))
        means = accuracy.mean_baseline(self.data.train, held_out)
        facts = {}
        if self.on_scale:
            facts["held_out_rmse"] = accuracy.rmse(held_out["rating"], scores)
            facts["rmse_of_means"] = accuracy.rmse(held_out["rating"], means)
        mixed = held_out.groupby("user")["positive"].nunique()
        if (mixed > 1).any():
            facts["pairs_in_order"] = accuracy.pairwise_accuracy(held_out, scores)
            facts["pairs_of_means"] = accuracy.pairwise_accuracy(held_out, means)
        return facts

    # --- before fitting

    #: What makes training smaller, as an error says it.
    smaller = "take fewer starts (a Setting with other rounds) or a smaller `dim`"

    @property
    def _copies(self):
        return min(STACK, self.setting.rounds[0].starts)

    def check_memory(self, needed: int, device: str | None, what: str = "Training") -> None:
        """Refuse what does not fit into half of the free memory."""
        free = available(device or "cpu")
        if needed > free:
            raise AccentError(
                f"{what} {self._name} on {counted(self.data.n_users, 'user')} and "
                f"{counted(self.data.n_items, 'item')} may take {needed / 2**20:,.0f} MiB, but half of "
                f"the free memory is {free / 2**20:,.0f} MiB; raise `min_ratings` or set `max_users` "
                f"of prepare(), or {self.smaller}."
            )

    def _look_ahead(self, network, say, device):
        """Refuse what does not fit, and say what training takes, time by a few steps on a copy."""
        rounds = self.setting.rounds
        memory = stack_bytes(network, rounds[0].recipe, self._copies, device or "cpu")
        self.check_memory(memory, device)
        if say is None:
            return
        steps = sum(part.starts * part.recipe.steps for part in rounds)
        seconds = steps * self._step_seconds(network, device)
        say(
            f"{self._name}: {counted(rounds[0].starts, 'start')}, {counted(steps, 'step')} in all, "
            f"about {roughly(seconds)} if nothing else runs, and at most {memory / 2**20:,.0f} MiB"
        )

    def _step_seconds(self, network, device):
        """What a step of a copy takes: the least of some trials, for whatever else runs only adds to it."""
        few = replace(self.setting.rounds[0].recipe, steps=TRIAL_STEPS)
        taken = []
        for _ in range(TRIALS + 1):  # the first compiles what has to be compiled
            begin = time.perf_counter()
            # If it diverges, training itself will say so.
            train(network, few, [State.of(network)] * self._copies, device=device, tolerant=True)
            taken.append(time.perf_counter() - begin)
        return min(taken[1:]) / TRIAL_STEPS / self._copies

    def __repr__(self):
        about = f"{self._name} of {self.data.name}: {counted(self.data.n_users, 'user')}"
        if not self.facts:
            return f"{about}, not fitted yet"
        facts = self.facts
        about += f", {counted(facts['different_recommendations'], 'different recommendation')}"
        if "held_out_rmse" in facts:
            about += f", held-out error {facts['held_out_rmse']:.3f} (means: {facts['rmse_of_means']:.3f})"
        elif "pairs_in_order" in facts:
            about += (
                f", {facts['pairs_in_order']:.1%} of pairs in order (means: {facts['pairs_of_means']:.1%})"
            )
        return about


class Model(Estimator):
    """What NCF and RCF have in common: settings by name, starts, and files.

    Examples
    --------
    >>> from accent_lib.datasets import load
    >>> NCF(load("sample"))
    NCF of sample: ... users, not fitted yet
    """

    #: Names of settings, the default first.
    names: ClassVar[tuple[str, ...]]
    _network: ClassVar[type]
    #: Width of its tables, at least, unless the setting says so.
    _dim: ClassVar[int]

    def __init__(self, data, setting: str | Setting | None = None, *, seed: int = 0, **network):
        super().__init__(data)
        name = self.names[0] if setting is None else setting
        if isinstance(name, str):
            if name not in self.names:
                raise AccentError(
                    f"{type(self).__name__} has no setting {shown(name)}; {choose(name, self.names)}."
                )
            setting = self._setting_of(name)
        elif not isinstance(setting, Setting):
            raise AccentError(f"A setting is one of {', '.join(self.names)}, not {shown(setting)}.")
        self.setting = replace(setting, network=self._checked({**setting.network, **network}))
        self.seed = seed_of(seed)

    def _checked(self, network):
        """Arguments of the network, as plain numbers and words."""
        arguments = inspect.signature(self._network).parameters
        known = [name for name in arguments if name not in ("interactions", "relation_triples", "seed")]
        checked = {}
        for name, value in network.items():
            if name not in known:
                raise AccentError(
                    f"{type(self).__name__} has no argument {name!r}; "
                    f"{choose(name, [*known, 'setting', 'seed'])}."
                )
            if name == "activation":
                checked[name] = one_of(value, name, ACTIVATIONS)
            elif name in ("dim", "attention"):
                checked[name] = whole(value, name, 2)
            else:
                checked[name] = number(value, name, 0)
        return checked

    def _setting_of(self, name: str) -> Setting:
        raise NotImplementedError

    def _inside(self) -> Interactions:
        """The data as the network sees them."""
        if not self.on_scale or tuple(self.data.scale) == (1, 5):
            return self.data
        to_stars = lambda table: table.assign(rating=1 + (table["rating"] - self._low) / self._unit)  # noqa: E731
        return replace(self.data, train=to_stars(self.data.train), test=to_stars(self.data.test))

    def _make(self, start: int):
        arguments = dict(self.setting.network)
        if "activation" in arguments:
            arguments["activation"] = ACTIVATIONS[arguments["activation"]]
        return self._network(self._seen, **arguments, seed=start)

    def fit(self, *, progress: bool | Callable[[str], None] = False, device: str | None = None):
        """Train from several starts and keep the one with the lowest objective.

        Parameters
        ----------
        progress : bool or callable
            Whether to say what is done; a callable is given each line.
        device : str, optional
            Where to train, such as ``"cuda"``.

        Returns
        -------
        The model itself.

        Raises
        ------
        AccentError
            If training diverges, or would take more than half of the free memory.

        Warns
        -----
        AccentWarning
            If the model gives most users the same item, or errs more than means do.
        """
        say, begin, device = speaker(progress), time.perf_counter(), usable(device)
        self.check_memory(self._least_bytes(), device)
        self._seen = self._inside()
        network, rounds = self._make(0), self.setting.rounds
        for sentence in (self.data.describe(), *self._what_data_lack(network)):
            say(sentence)
        if not any(len(network.candidates(user)) for user in range(self.data.n_users)):
            raise AccentError(
                f"There is nothing to recommend: every user of '{self.data.name}' knows every item that has "
                "a training rating; add users or items, or lower `min_ratings` of prepare()."
            )
        self._look_ahead(network, say if progress else None, device)
        states, record = search(self._make, rounds, seed=self.seed, device=device, log=say)
        best = next(row for row in record if row["round"] == len(rounds))
        self._take(states[0], best["start"])
        self._describe(begin, best["objective"])
        say(repr(self))
        return self

    def _what_data_lack(self, network) -> list[str]:
        """What the network does without, as sentences."""
        return []

    def _take(self, state: State, start: int):
        """Stand where training led from a start."""
        network = self._make(start)
        self._start, self.start, self.state = start, State.of(network), state
        self.network = state.into(network).eval()

    def _check_size(self, state: State):
        """Refuse a setting whose tables are larger than those of a state, before they are made."""
        numbers = sum(value.numel() for value in state.parameters.values())
        network, rows = self.setting.network, self.data.n_users + self.data.n_items
        if max(rows * network.get("dim", self._dim), network.get("attention", 0)) > numbers:
            raise AccentError("It has fewer parameters than its setting says; fit the model again.")

    def _least_bytes(self) -> int:
        """Of the tables alone, with gradients and moments, of all copies: known before there is a network."""
        rows, dim = self.data.n_users + self.data.n_items, self.setting.network.get("dim", self._dim)
        return 4 * 4 * rows * dim * self._copies

    # --- files

    def save(self, path) -> None:
        """Write the fitted model into a file of plain arrays (nothing in it is code).

        Parameters
        ----------
        path : path-like
            Such as ``model.npz``.
        """
        self.fitted()
        about = {"kind": type(self).__name__, "setting": asdict(self.setting)}
        about |= {"seed": self.seed, "start": self._start, "facts": self.facts}
        write(path, self.state, self.data, about)

    @classmethod
    def load(cls, path, data):
        """Read a model that :meth:`save` wrote.

        Parameters
        ----------
        path : path-like
        data : Ratings or Interactions
            Those that it was fitted to.

        Raises
        ------
        AccentError
            If there is no such file, or it is not whole, or holds another kind of model or one of other data.
        """
        path, state, about = read(path, cls.__name__, {"setting", "seed", "start", "facts"})
        data = cls(data).data
        same_data(path, about, data)
        try:
            model = cls(data, about["setting"], seed=about["seed"])
            model._seen, model.facts = model._inside(), about["facts"]
            model._check_size(state)
            model._take(state, seed_of(about["start"]))
        except AccentError as error:
            raise AccentError(f"{path} is damaged: {error}") from error
        return model


class NCF(Model):
    """Neural Collaborative Filtering of a reader's own ratings (:class:`accent_lib.models.NCF` inside).

    Parameters
    ----------
    data : Ratings or Interactions
    setting : {"generalising", "accurate", "paper"}
        ``generalising``: a smooth network with a weight decay that fits the size of the data, the best of
        four starts.  ``accurate``: wider, trained longer and with more weight decay; it errs less on ratings
        that it has not seen, takes four times as long, and recommends fewer different items.  ``paper``: as
        the paper trained it, which memorises.
    seed : int
        Of starts and batches.
    **network
        Of :class:`accent_lib.models.NCF`, such as ``dim``; ``activation`` is ``"relu"`` or ``"gelu"``.

    Examples
    --------
    >>> from accent_lib.datasets import load
    >>> NCF(load("sample"), dim=8)
    NCF of sample: ... users, not fitted yet
    """

    names = ("generalising", "accurate", "paper")
    _network, _dim = models.NCF, 16

    def _setting_of(self, name):
        return settings.ncf(name, self.data)


class RCF(Model):
    """Relational Collaborative Filtering of a reader's own items (:class:`accent_lib.models.RCF` inside).

    Parameters
    ----------
    data : Ratings or Interactions
        Better with attributes of items: what films of a history have in common is all that RCF reads.
    setting : {"short", "paper"}
        20 or 50 epochs.
    seed, **network
        As for :class:`NCF`.

    Examples
    --------
    >>> from accent_lib.datasets import load
    >>> RCF(load("sample"))
    RCF of sample: ... users, not fitted yet
    """

    names = ("short", "paper")
    on_scale = False
    _network, _dim = models.RCF, 64

    def _setting_of(self, name):
        return settings.rcf(name, self.data)

    def _what_data_lack(self, network):
        found = []
        if network.types == ("none",):
            found.append("Nothing is known of the items, so that RCF has the type of relation 'none' alone.")
        if network.samples_disliked:
            found.append("Nobody dislikes anything, so that RCF samples the disliked items.")
        return found


def speaker(progress) -> Callable[[str], Any]:
    """What to do with a line about progress."""
    if not callable(progress) and progress is not None and not isinstance(progress, bool):
        raise refused(progress, "progress", "True, False, or a function of a line")
    return progress if callable(progress) else print if progress else lambda line: None


def _file(path) -> Path:
    """A path that is no folder, or an error that names it."""
    if not isinstance(path, str | os.PathLike):
        raise AccentError(f"A model is kept in a file, such as 'model.npz', not in {shown(path)}.")
    if Path(path).is_dir():
        raise AccentError(f"{path} is a folder; name a file in it, such as model.npz.")
    return Path(path)


def write(path, state: State, data, about: dict) -> None:
    """Write what was learned from data, or say why not."""
    path = _file(path)
    try:
        save_checkpoint(path, state, data.fingerprint, **about)
    except OSError as error:
        raise AccentError(f"{path} cannot be written ({error.strerror}); name another file.") from error


def read(path, kind: str, needed: set) -> tuple[Path, State, dict]:
    """What :func:`write` wrote of a kind of model, or an error that names the file."""
    path = _file(path)
    if not path.exists():
        raise AccentError(f"There is no file {path}; correct the path, or save() a fitted model.")
    try:
        state, about = load_checkpoint(path)
    except AccentError as error:
        raise AccentError(
            f"{path} cannot be read as a model that save() wrote; name another file, or fit the model again."
        ) from error
    found = about.get("kind") if isinstance(about, dict) else None
    if found != kind or not about.keys() >= {*needed, "fingerprint"}:
        other = "something else" if found in (None, kind) else found
        raise AccentError(f"{path} holds {other}, not {kind}; name another file.")
    try:
        about["setting"] = settings.of_dict(about["setting"])
    except AccentError as error:
        raise AccentError(f"{path} is damaged: {error} Fit the model again.") from error
    facts = about["facts"]
    if (
        not isinstance(facts, dict)
        or not facts.keys() >= {"objective", "different_recommendations"}
        or any(len(facts.keys() & pair) == 1 for pair in PAIRS)
        or not all(isinstance(fact, int | float) for fact in facts.values())
    ):
        raise AccentError(
            f"{path} is damaged: {shown(facts)} cannot have come of training. Fit the model again."
        )
    return path, state, about


def same_data(path, about: dict, data) -> None:
    """Refuse a file about other data."""
    if about["fingerprint"] != data.fingerprint:
        raise AccentError(f"{path} was fitted to other data than '{data.name}'; fit the model again.")


def seed_of(value) -> int:
    """A seed that every generator takes, or an error that names it."""
    return whole(value, "seed", 0, 2**32 - 1)


def _position(value, index: pd.Index, kind: str, data) -> int:
    told = shown(value)
    if value is None or not pd.api.types.is_scalar(value):
        raise AccentError(f"A {kind} is one id of '{data.name}', such as {_example(index)}, not {told}.")
    try:
        place = index.get_indexer([value])[0]
    except (TypeError, ValueError, OverflowError):
        place = -1
    if place < 0 or isinstance(value, bool | np.bool_):
        least = "`min_positive`" if kind == "user" else "`min_ratings`"
        other = _written_alike(value, index)
        if other is not None:
            raise AccentError(
                f"There is no {kind} {told} in '{data.name}', but there is {other}; name that one."
            )
        raise AccentError(
            f"There is no {kind} {told} among the {len(index):,} of '{data.name}'; an id is such as "
            f"{_example(index)}, and who has too few ratings is left out (see {least} of prepare())."
        )
    return int(place)


def _written_alike(value, index):
    """An id that is written as a value is, but is of another type or has other white space, for an error."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, str | np.integer | int):
        return None
    if not isinstance(value, str) and abs(int(value)) >= 2**63:
        return None  # no id is so large, and Python does not write numbers of thousands of digits
    text = str(value).strip()
    alike = [each for each in index if str(each).strip() == text]
    return _example(alike) if alike else None


def _example(index):
    return repr(_plain(index[0]))


def _plain(value):
    """An id as Python's own number or text."""
    return value.item() if isinstance(value, np.generic) else value
