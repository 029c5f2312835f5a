"""A torch model of one's own behind the front of the library."""

import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from accent_lib.arguments import flag, whole
from accent_lib.errors import AccentError, AccentWarning
from accent_lib.front.fitted import Estimator, read, same_data, seed_of, speaker, write
from accent_lib.front.settings import Setting
from accent_lib.front.verified import checked_training, put
from accent_lib.models import Recommender, Wrapped
from accent_lib.models import check as check_network
from accent_lib.models.checks import unrest
from accent_lib.training import Recipe, Round, State, objective, train
from accent_lib.training.stack import usable

#: Epochs, and learning rate at first, of the training that a net of one's own gets by default.
EPOCHS, RATE = 40, 0.01
#: A net has learned something where its loss is below this share of a constant score's.
LEARNED = 0.95
#: In a file, before the names of the parameters that verification starts from.
START = "start of "


class OwnModel(Estimator):
    """A net of one's own, explained and verified like any other model; made by :func:`wrap`.

    Examples
    --------
    >>> import torch
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.front import wrap
    >>> data = prepare(load("sample"))
    >>> class Biases(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.users = torch.nn.Embedding(data.n_users, 1)
    ...         self.items = torch.nn.Embedding(data.n_items, 1)
    ...     def forward(self, users, items):
    ...         return (self.users(users) + self.items(items))[:, 0]
    >>> wrap(Biases(), data, "users.weight")
    Biases of sample: ... users, not fitted yet
    """

    smaller = "make the net smaller, or the batch of its recipe"

    def __init__(self, network: Recommender, data, recipe: Recipe | None, fit, on_scale: bool, seed: int):
        super().__init__(data)
        self._low, self._unit = 1, 1  # a net of one's own sees ratings as they are, and scores in their unit
        self.on_scale, self.own_fit, self.seed = on_scale, fit, seed
        batch = max(32, min(1024, network.n_actions // 32))
        steps = EPOCHS * math.ceil(network.n_actions / batch)
        recipe = recipe or Recipe(steps=steps, learning_rate=RATE, schedule="linear", batch_size=batch)
        advice, influence, why = getattr(network, "advice", None), {"variant": "objective"}, "the exact block"
        if advice is not None:
            influence, why = {"variant": advice.variant, "damping": advice.damping}, advice.reason
        elif getattr(network, "reads_history", False):
            influence, why = {"variant": "shared"}, "one Hessian for all actions of a user"
        self.setting = Setting({}, (Round(1, recipe),), recipe, influence=influence, why=why)
        self._told, self._looked, self._remembers = set(), False, None
        self._take(network)
        self.start = self.state
        self._warn(check_network(network, trained=False, names=self.names))

    def _take(self, network):
        self.network, self.state = network.eval(), State.of(network)

    def fit(self, *, progress: bool | Callable[[str], None] = False, device: str | None = None):
        """Train the net: by the caller's own training if :func:`wrap` was given one, else by Adam.

        Parameters and warnings are those of :meth:`NCF.fit`, and those of :func:`check`.
        """
        say, begin, device = speaker(progress), time.perf_counter(), usable(device)
        if self.own_fit is not None:
            self._take(put(self.own_fit(np.ones(self.network.n_actions), self.seed), self.network))
        else:
            recipe = self.setting.rounds[0].recipe
            self._look_ahead(self.network, say if progress else None, device)
            self.start, self._remembers = State.of(self.network), _has_learned(self.network)
            (state,) = train(self.network, recipe, [self.start], seed=self.seed, device=device)
            self._take(state.into(self.network))
            self.setting = replace(self.setting, from_scratch=True)
        self._told.clear()
        self._look(begin)
        say(repr(self))
        return self

    def save(self, path) -> None:
        """Write what the net has learned into a file of plain arrays; the net itself is code, and is not.

        Parameters
        ----------
        path : path-like
            Such as ``model.npz``.
        """
        self.look()
        start = {START + name: value for name, value in self.start.parameters.items()}
        about = {"kind": "OwnModel", "facts": self.facts, "remembers": self._remembers}
        about |= {"setting": asdict(self.setting)}
        write(path, State({**self.state.parameters, **start}, self.state.moments), self.data, about)

    def load(self, path):
        """Read what :meth:`save` wrote into this net, which is to be made and wrapped as that one was.

        Returns
        -------
        The model itself.

        Raises
        ------
        AccentError
            If there is no such file, or it is about another net or other data.
        """
        path, kept, about = read(path, "OwnModel", {"facts", "remembers", "setting"})
        same_data(path, about, self.data)
        of_start = [name for name in kept.parameters if name.startswith(START)]
        start = State({name.removeprefix(START): kept.parameters.pop(name) for name in of_start})
        before = State.of(self.network)
        shapes = [
            {name: value.shape for name, value in state.parameters.items()} for state in (before, kept, start)
        ]
        alike = shapes[0] == shapes[1] == shapes[2]
        if alike:
            (reached,) = objective(kept.into(self.network), [kept])
            alike = math.isclose(reached, about["facts"]["objective"], rel_tol=1e-4)
        if not alike:
            before.into(self.network)
            raise AccentError(
                f"{path} holds another net than this {self._name}, or one that was wrapped in another way; "
                "make and wrap it as it was when it was saved."
            )
        self.network, self.state, self.start = self.network.eval(), kept, start
        self.facts, self._remembers, self._looked = about["facts"], about["remembers"], True
        self.setting = about["setting"]
        return self

    def look(self) -> None:
        """Warn of what :func:`check` and ``fit`` would have to say of a net that was trained elsewhere.

        That is said once, and again after each further training, which is told, too: verification is to start
        from what was learned in it.
        """
        moved = self.moved()
        if moved or not self._looked:
            self._told.difference_update(moved)  # of another training than one that was told before
            self._warn(moved)
            self._take(self.network)  # it may have been trained after it was wrapped
            self._look(time.perf_counter())

    def look_at_start(self) -> None:
        """Warn, once, if verification does not start where it should."""
        self._warn([*self.moved(), *self.memory()])

    def moved(self) -> list[str]:
        """That the net is not what it was when it was fitted or explained last, if so, as a sentence."""
        if not self._looked:
            return []
        now = State.of(self.network).parameters
        if all(
            torch.equal(value, now[name].to(value.dtype)) for name, value in self.state.parameters.items()
        ):
            return []
        begin = f"{self._name} was trained further after it had been fitted or explained here"
        if self.own_fit is not None:
            return [f"{begin}, and verification trains by `fit` alone: let `fit` do that, too."]
        if self.setting.from_scratch:
            return [
                f"{begin}, and verification does again what fit() did, without that: give `fit=` to wrap(), "
                "which trains from start to end, or call fit() again."
            ]
        return [
            f"{begin}: explanations made before are of what it was then, and are verified as such; explain "
            "again what is to be of the net as it is now."
        ]

    def memory(self) -> list[str]:
        """That verification starts from parameters that have learned already, if it does, as a sentence."""
        if self.own_fit is not None:
            return []
        remembers = self._remembers
        if remembers is None:  # never fitted here: verification starts from the parameters of now
            remembers = _has_learned(self.network)
        if not remembers:
            return []
        return [
            f"Verification starts from what {self._name} had learned before its fit() was called here, so "
            "that it may remember what is left out, and flatter or belittle a set: give `fit=`, or wrap "
            "the net untrained and call fit()."
        ]

    def _look(self, begin):
        self._looked = True
        (reached,) = objective(self.network, [self.state])
        if not np.isfinite(reached):
            raise AccentError(
                f"Training {self._name} diverged: its objective is {reached}. Lower the learning rate of the "
                "recipe."
            )
        self._warn(check_network(self.network, trained=False, names=self.names) or unrest(self.network))
        self._describe(begin, reached, level=4)  # one item for everybody is told there, by its title

    def _warn(self, sentences):
        for sentence in sentences:
            if sentence not in self._told:
                self._told.add(sentence)
                warnings.warn(sentence, AccentWarning, stacklevel=4)

    @property
    def _name(self):
        return type(getattr(self.network, "net", self.network)).__name__


def _has_learned(network):
    """Whether parameters fit the actions already, before training here."""
    if hasattr(network, "chance_loss"):
        return float(network.data_loss().detach()) < LEARNED * float(network.chance_loss())
    return not unrest(network)


def wrap(
    net: nn.Module,
    data,
    user_parameters: str | Sequence[str] | None = None,
    loss: str | Callable = "mse",
    *,
    block: str | Sequence[str] | None = None,
    reads: str | None = None,
    length: int = 50,
    negatives: int = 1,
    weight_decay: float | dict[str, float] = 0.0,
    recipe: Recipe | None = None,
    fit: Callable[[np.ndarray, int], Any] | None = None,
    seed: int = 0,
) -> OwnModel:
    """Put a torch model of one's own behind the front of the library.

    Parameters
    ----------
    net : Module
        ``forward(users, items)`` gives scores of pairs of positions.  A net that reads the graph of all
        actions takes their weights as a third argument, ``keep``; one that reads a sequence has
        ``forward(histories, items)``.  Or a :class:`~accent_lib.models.Recommender`, which is taken as it is.
    data : Ratings or Interactions
    user_parameters : str or list of str
        Parameters with a row for each user, such as ``"users.weight"``: what influence moves.
    loss : {"mse", "bce", "bpr"} or callable
        ``mse`` on ratings; ``bce`` and ``bpr`` on what is liked, with sampled negatives; or
        ``(scores, ratings) -> losses``.
    block : str or list of str
        For a net without parameters of users: parameters that all users share, such as ``"output.weight"``.
    reads : {"nothing", "graph", "history"}, optional
        What the scores of a user depend on beside her parameters. Default: as ``forward`` says.
    length : int
        Longest sequence that a net reads: of longer histories the last actions.
    negatives : int
        For each action, drawn once.
    weight_decay : float or dict
        As the objective has it: ``decay / 2`` times the sum of squares.
    recipe : Recipe, optional
        Of ``fit()`` and of verification. Default: Adam for 40 epochs, at a rate that falls to zero.
    fit : callable, optional
        Your own training: ``fit(keep, seed)`` trains a net anew, each action weighted by ``keep``, and
        returns it or its state dict. Rows of ``keep`` are those of ``data.train``; with ``bce`` and ``bpr``
        those of them that are ``positive``.
    seed : int
        Of negatives, and of batches.

    Returns
    -------
    OwnModel
        Ready to be explained, if the net is trained; else call its ``fit()``.

    Warns
    -----
    AccentWarning
        For each thing that :func:`check` has to say of how the net is wrapped.  What it has to say of how it
        is trained comes from ``fit()``, or with the first explanation of a net that was trained elsewhere.

    Examples
    --------
    >>> import torch
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.front import wrap
    >>> from accent_lib.training import Recipe
    >>> data = prepare(load("sample"))
    >>> class Factors(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.users = torch.nn.Embedding(data.n_users, 8)
    ...         self.items = torch.nn.Embedding(data.n_items, 8)
    ...     def forward(self, users, items):
    ...         return 3 + (self.users(users) * self.items(items)).sum(-1)
    >>> quick = Recipe(steps=50, learning_rate=0.01, batch_size=256)
    >>> model = wrap(Factors(), data, "users.weight", weight_decay=1e-3, recipe=quick).fit()
    >>> model.recommend(data.user_ids[3], k=5).shape
    (5, 3)
    """
    fit, recipe = checked_training(fit, recipe)
    seed = seed_of(seed)
    if isinstance(net, Recommender):
        network, on_scale = net, True
    else:
        data = Estimator(data).data
        about = {"block": block, "reads": reads, "length": whole(length, "length", 1)}
        about |= {"negatives": whole(negatives, "negatives", 1), "weight_decay": weight_decay}
        network = Wrapped(net, data, user_parameters, loss, **about, seed=seed)
        on_scale = callable(loss) or loss not in ("bce", "bpr")
    return OwnModel(network, data, recipe, fit, on_scale, seed)


def check(model, trained: bool = True) -> list[str]:
    """What is wrong with a model, a sentence each; an empty list if nothing is.

    Looked for are dropout while scoring, parameters that are never trained, losses that differ from call to
    call, candidates that a user knows already, training that has not come to rest, one item for everybody,
    a verification that starts from what was learned elsewhere, and whatever else would make an explanation
    wrong.  Users and items have the names of the data; of a Recommender, which has none, they are positions.

    Parameters
    ----------
    model : Estimator or Recommender
    trained : bool
        Whether it is trained; else only what it is made of is looked at.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> from accent_lib.models import NCF
    >>> check(NCF(prepare(load("sample"))), trained=False)
    []
    """
    if not isinstance(model, Estimator | Recommender):
        raise AccentError(f"A model is NCF(data), RCF(data) or wrap(net, data), not {type(model).__name__}.")
    trained = flag(trained, "trained")
    if isinstance(model, Recommender):
        return check_network(model, trained)
    found = check_network(model.fitted(), trained, model.names)
    if trained and isinstance(model, OwnModel):
        found += [*model.moved(), *model.memory()]
    return found
