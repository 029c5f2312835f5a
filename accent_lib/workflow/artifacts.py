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


def new_model(name: str, data, seed: int = 0):
    """A model by name, freshly initialised.

    Parameters
    ----------
    name : {"ncf"}
    data : Interactions
    seed : int
    """
    from accent_lib.models import NCF

    makers = {"ncf": NCF}
    if name not in makers:
        raise AccentError(f"There is no model {name!r}; choose from {', '.join(makers)}.")
    return makers[name](data, seed=seed)


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
    return state.into(new_model(name, data)), state, metadata


def slates_of(run, name: str) -> dict:
    """Each user's slate as notebook 04 wrote it, item indices of shape ``(k,)``."""
    table = run.read_csv("slates.csv")
    table = table[table["model"] == name].sort_values(["user", "position"])
    return {int(user): part["item"].to_numpy(copy=True) for user, part in table.groupby("user")}
