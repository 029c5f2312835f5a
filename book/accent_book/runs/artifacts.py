"""What later notebooks take from a run folder, as objects of the library."""

from accent_lib.errors import AccentError


def interactions(run):
    """The prepared data that notebook 01 settled on.

    Parameters
    ----------
    run : Run

    Returns
    -------
    Interactions

    Raises
    ------
    AccentError
        If the data has changed since.
    """
    from accent_lib.datasets import load, prepare

    record = run.read_json("data.json")
    data = prepare(load(record["dataset"], record["data_home"] or None), **record["settings"])
    if data.fingerprint != record["fingerprint"]:
        raise AccentError(
            f"The data is not the one that notebook 01_data saw in {run.folder}: run 01_data again, and all"
            " after it."
        )
    return data


#: The sources that decide what a model computes, for fingerprints.
SOURCES = {
    "ncf": ("models/ncf.py", "models/stacked.py"),
    "rcf": ("models/rcf.py", "models/attention.py", "datasets/relations.py"),
}


def new_model(name: str, data, seed: int = 0, relation_triples=None):
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
    from accent_lib.models import NCF, RCF

    if name not in SOURCES:
        raise AccentError(f"There is no model {name!r}; choose from {', '.join(SOURCES)}.")
    return NCF(data, seed=seed) if name == "ncf" else RCF(data, relation_triples, seed=seed)


def relation_triples(run, data, source: str):
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


def trained_model(run, name: str, data):
    """The model that notebook 02 kept, and the state to start retraining from.

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

    state, metadata = load_checkpoint(run.need(f"{name}.npz"))
    if metadata["data"] != data.fingerprint:
        raise AccentError(
            f"{name}.npz in {run.folder} was trained on other data: run notebook 02_training again."
        )
    model = untrained_model(run, name, data, metadata)
    return state.into(model), state, metadata


def untrained_model(run, name: str, data, metadata: dict):
    """The model as it was before it was trained, from the metadata of :func:`trained_model`."""
    triples = relation_triples(run, data, metadata.get("relation_triples", "drawn"))
    return new_model(name, data, metadata["start"], triples)


def slates_of(run, name: str) -> dict:
    """Each user's slate as notebook 04 wrote it, item indices of shape ``(k,)``."""
    table = run.read_csv("slates.csv")
    table = table[table["model"] == name].sort_values(["user", "position"])
    return {int(user): part["item"].to_numpy(copy=True) for user, part in table.groupby("user")}


def store_mark(run, name: str, recipe, **more) -> str:
    """The fingerprint of a model's outcomes: all that changes one, which users are verified left out.

    Parameters
    ----------
    run : Run
    name : str
        Of the model.
    recipe : Recipe
        Of the retrainings.
    **more
        What else changes them, such as another start than usual.
    """
    from dataclasses import asdict

    from accent_lib.provenance import fingerprint, source_hash
    from accent_lib.training import load_checkpoint

    return fingerprint(
        checkpoint=load_checkpoint(run.need(f"{name}.npz"))[1]["fingerprint"],
        slates={user: items.tolist() for user, items in slates_of(run, name).items()},
        recipe=asdict(recipe),
        code=source_hash(*SOURCES[name], "training.py", "retraining/engine.py"),
        **more,
    )
