"""What later notebooks take from a run folder, as objects of the library."""

from typing import TYPE_CHECKING, Any, NamedTuple

from accent_lib.errors import AccentError

if TYPE_CHECKING:
    import pandas as pd

    from accent_lib.models import Recommender
    from accent_lib.training import State


def model_class(name: str) -> type:
    """The class of a model by name.

    Parameters
    ----------
    name : {"ncf", "rcf"}

    Examples
    --------
    >>> model_class("ncf").__name__
    'NCF'
    """
    from accent_lib.models import NCF, RCF

    models = {"ncf": NCF, "rcf": RCF}
    if name not in models:
        raise AccentError(f"There is no model {name!r}; choose from {', '.join(models)}.")
    return models[name]


def new_model(name: str, data, seed: int = 0, relation_triples=None) -> "Recommender":
    """A model by name, freshly initialised.

    Parameters
    ----------
    name : {"ncf", "rcf"}
    data : Interactions
    seed : int
    relation_triples : DataFrame, optional
        For ``rcf``; see :func:`relation_triples`.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> type(new_model("ncf", prepare(load("sample")))).__name__
    'NCF'
    """
    kind = model_class(name)
    return kind(data, seed=seed) if name == "ncf" else kind(data, relation_triples, seed=seed)


def relation_triples(run, data, source: str) -> "pd.DataFrame | None":
    """The relation triples that ``rcf`` is trained on.

    Parameters
    ----------
    run : Run
    data : Interactions
    source : {"drawn", "file"}
        ``drawn``: by the model itself, which is ``None`` here.  ``file``: those of the paper's experiments.
    """
    from accent_lib.datasets.relations import Relations, read_relation_triples

    if source == "drawn":
        return None
    record = run.read_json("data.json")
    if record["dataset"] != "ml-100k":
        raise AccentError(
            "The file of relation triples belongs to MovieLens 100K: set relation_triples to 'drawn'."
        )
    return read_relation_triples(data, Relations.of(data.attributes), record["data_home"] or None)


def training_fingerprint(name: str, data, seed: int, **how) -> str:
    """Tell two trainings of a model apart: by its revision, the data, the seed and how it is trained.

    Parameters
    ----------
    name : {"ncf", "rcf"}
    data : Interactions
    seed : int
    **how : values that JSON knows
        Recipe, rounds, ….

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> data = prepare(load("sample"))
    >>> training_fingerprint("ncf", data, 0, steps=3) == training_fingerprint("ncf", data, 0, steps=4)
    False
    """
    from accent_lib.retraining.identity import training_identity

    return training_identity(model_class(name), data.fingerprint, seed=seed, **how)


def is_trained(run, name: str, fingerprint: str, table: str, columns) -> bool:
    """Whether the run folder holds a model of this fingerprint, and the table of its training.

    Parameters
    ----------
    run : Run
    name : {"ncf", "rcf"}
    fingerprint : str
        Of :func:`training_fingerprint`.
    table : str
        The name of a CSV file in the run folder.
    columns : iterable of str
        What it must hold.
    """
    from accent_lib.training import load_checkpoint

    try:
        load_checkpoint(run.path(f"{name}.npz"), fingerprint)
        return set(columns) <= set(run.read_csv(table))
    except AccentError:
        return False


def trained_model(run, name: str, data) -> "tuple[Recommender, State, dict]":
    """The model that its notebook kept, and the state to start retraining from.

    Parameters
    ----------
    run : Run
    name : str
    data : Interactions

    Returns
    -------
    model : Recommender
        With the trained parameters.
    state : State
        Parameters and optimiser moments.
    metadata : dict
        Of the checkpoint: ``fingerprint``, ``objective``, …
    """
    from accent_lib.training import load_checkpoint

    where = f"{name}.npz in {run.folder}"
    state, metadata = load_checkpoint(run.need(f"{name}.npz"))
    if metadata.get("data") != data.fingerprint:
        raise AccentError(f"{where} was trained on other data: run the notebook that trains it again.")
    if not isinstance(start := metadata.get("start"), int) or not 0 <= start < 2**32:
        raise AccentError(f"{where} does not say from which start: run the notebook that trains it again.")
    model = untrained_model(run, name, data, metadata)
    return state.into(model, where), state, metadata


def untrained_model(run, name: str, data, metadata: dict) -> "Recommender":
    """The model as it was before it was trained, from the metadata of :func:`trained_model`."""
    triples = relation_triples(run, data, metadata.get("relation_triples", "drawn"))
    return new_model(name, data, metadata["start"], triples)


def possible_ks(ks, models) -> list[int]:
    """Sizes of the slate that every user has candidates for; what is larger becomes the largest of these.

    Parameters
    ----------
    ks : sequence of int
        As asked for.
    models : iterable of Recommender

    Returns
    -------
    list of int
        In the order of ``ks``, each once; a line is printed where one is not as asked for.

    Raises
    ------
    AccentError
        If somebody has not even two candidates.

    Examples
    --------
    >>> from accent_lib.datasets import load, prepare
    >>> model = new_model("ncf", prepare(load("sample")))
    >>> possible_ks([5, 1000], [model])[0]
    There are not 1,000 candidates for every user: slates have at most ... items.
    5
    """
    fewest = min(len(model.candidates(user)) for model in models for user in range(model.n_users))
    if fewest < 2:
        raise AccentError(
            "Somebody has fewer than two candidates: a slate takes more items, or shorter histories."
        )
    if max(ks) > fewest:
        print(f"There are not {max(ks):,} candidates for every user: slates have at most {fewest} items.")
    return list(dict.fromkeys(min(k, fewest) for k in ks))


def slates_of(run, name: str) -> dict:
    """Each user's slate as notebook 04 wrote it, item indices of shape ``(k,)``."""
    table = run.read_csv("slates.csv")
    table = table[table["model"] == name].sort_values(["user", "position"])
    return {int(user): part["item"].to_numpy(copy=True) for user, part in table.groupby("user")}


class Retraining(NamedTuple):
    """How a base model is retrained, and what the outcomes are called."""

    name: str
    model: Any
    recipe: Any
    state: Any  #: where retraining starts
    fingerprint: str  #: of the outcomes
    stack_size: int
    device: str


def retraining(
    run, name: str, data, recipe, start: str = "trained", stack_size: int = 1, device: str = "cpu"
) -> Retraining:
    """Prepare to retrain the model that its notebook kept.

    Parameters
    ----------
    run : Run
    name : str
        Of the model.
    data : Interactions
    recipe : Recipe
    start : {"trained", "initial"}
        Whether each world begins from the trained parameters and moments or from the initial parameters.
    stack_size : int
        Copies trained together; 0: as many as memory allows.
    device : str
        As for :func:`~accent_lib.retraining.verification.choose_device`.
    """
    from accent_lib.retraining.identity import base_identity, outcomes_identity
    from accent_lib.retraining.verification import choose_device
    from accent_lib.training import State

    model, state, facts = trained_model(run, name, data)
    base, device = base_identity(model, state, facts["fingerprint"]), choose_device(device)
    fingerprint = outcomes_identity(model, base, recipe, start=start, device=device)
    if start == "initial":
        state = State.of(untrained_model(run, name, data, facts))
    return Retraining(name, model, recipe, state, fingerprint, stack_size, device)
