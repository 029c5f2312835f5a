"""What `make bench` compared in one run: other libraries and other ways beside this one."""

from pathlib import Path

import pandas as pd

from accent_lib.gate import read_json


def comparison(folder: Path) -> pd.DataFrame:
    """Read what was compared on one machine.

    Parameters
    ----------
    folder : Path
        With ``libraries.json`` and ``retraining.json``, as ``bench/`` writes them.

    Returns
    -------
    DataFrame
        One row a way: ``work``, ``way``, ``threads``, ``milliseconds`` (influence of all actions of a user on
        her slate; a training step for each model), ``ratio`` to this library, ``smallest`` and ``largest``
        ratio of the turns.
    """
    libraries, retraining = (
        pd.DataFrame(read_json(folder / f"{name}.json", {"records": list}, "measure again")["records"])
        for name in ("libraries", "retraining")
    )
    libraries = libraries.assign(work="influence, " + libraries["problem"], milliseconds=libraries["ms_user"])
    ways = retraining["way"] + [f", {copies} copies" if copies > 1 else "" for copies in retraining["copies"]]
    retraining = retraining.assign(
        work="a step of " + retraining["model"].str.upper(), way=ways, milliseconds=retraining["ms_step_each"]
    )
    table = pd.concat([libraries, retraining], ignore_index=True)
    table[["smallest", "largest"]] = table["spread"].tolist()
    return table[["work", "way", "threads", "milliseconds", "ratio", "smallest", "largest"]]
