"""What the tables hold that notebooks and committed results share, and how they are read."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from accent_lib.errors import AccentError
from accent_lib.gate import read_csv

if TYPE_CHECKING:
    import pandas as pd

SLATES = {"model": "text", "user": "whole", "position": "whole", "item": "whole", "score": "number"}
EXPLANATIONS = {
    **{"model": "text", "method": "text", "k": "whole", "user": "whole", "recommendation": "whole"},
    # -1 where there is no set.
    **{"replacement": "integer", "replacement_position": "integer", "size": "whole"},
}
OUTCOMES = {
    **{"model": "text", "world": "text", "user": "whole", "seed": "integer", "slate": "text"},
    **{"top": "integer", "status": "text", "reason": "text", "seconds": "number"},
}
#: Columns of a table by its name, and those that it must have.
COLUMNS = {
    "slates": (SLATES, ("model", "user", "position", "item")),
    "explanations": (EXPLANATIONS, ("model", "user", "removed")),
    **dict.fromkeys(
        ("outcomes", "warm", "long"), (OUTCOMES, ("model", "world", "user", "seed", "scores", "status"))
    ),
}
#: Of any other table.
TEXTS = {"world": "text", "reason": "text"}


def read_table(path, advice: str = "run the notebook that makes it again") -> "pd.DataFrame":
    r"""A table with sets and scores as tuples; those that are known by name hold what they must.

    Parameters
    ----------
    path : Path
    advice : str
        What to do about a file that will not do, as the end of a sentence.

    Raises
    ------
    AccentError
        If it cannot be read, or a cell is not what its column holds.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "explanations.csv"
    >>> _ = path.write_text("model,user,removed\nncf,3,0 2\nncf,4,\n")
    >>> read_table(path)["removed"].tolist()
    [(0, 2), ()]
    """
    from accent_lib.retraining.cells import from_text

    path = Path(path)
    columns, needed = COLUMNS.get(path.name.partition(".")[0], (TEXTS, ()))
    table = read_csv(path, columns, needed, advice, empty=columns is TEXTS)
    try:
        table = from_text(table)
    except AccentError as error:
        raise AccentError(f"{path}: {error}") from error
    status = table["status"] if "status" in table else ["ok"] * len(table)
    for name in {"predicted", "scores"} & set(table):
        for line, (cell, how) in enumerate(zip(table[name], status, strict=True), 2):
            # Nothing is predicted where there is no set; a retraining that failed may have shown anything.
            if how != "failed" and not (all(map(math.isfinite, cell)) and (cell or name == "predicted")):
                raise AccentError(f"{path}, line {line}: {name} must be finite numbers; {advice}.")
    return table
