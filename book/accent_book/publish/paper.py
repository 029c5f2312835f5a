"""The figures of the paper by name, as prose pages quote them."""

from accent_book.figures.paper import (
    PAPER_DATA,
    PAPER_INFLUENCE,
    PAPER_ONE_VERSUS_ALL,
    PAPER_SIGNIFICANCE_LEVEL,
    PAPER_TABLE1,
)


def paper_figures(settings: dict[str, str]) -> dict[str, str]:
    """All figures by name, written as they are to be read.

    Parameters
    ----------
    settings : dict of str to str
        Those of ``book/paper.yml``: settings of the paper and of its authors' experiments.

    Returns
    -------
    dict of str to str
        These; counts under the names of `PAPER_DATA`; the quality of influence as ``rmse_ncf`` and so on; the
        results as ``accent_ncf_20_cf_percentage`` and so on; ``one_versus_all``, ``significance_level``.
    """
    figures = settings | {name: f"{count:,}" for name, count in PAPER_DATA.items()}
    for model, row in PAPER_INFLUENCE.iterrows():
        figures |= {f"{name}_{model}": f"{value:g}" for name, value in row.items()}
    for row in PAPER_TABLE1.itertuples():
        for name in ("cf_percentage", "set_size"):
            figures[f"{row.method}_{row.model}_{row.k}_{name}"] = f"{getattr(row, name):.2f}"
    figures["one_versus_all"] = f"{PAPER_ONE_VERSUS_ALL:.2f}"
    figures["significance_level"] = f"{PAPER_SIGNIFICANCE_LEVEL:g}"
    return figures
