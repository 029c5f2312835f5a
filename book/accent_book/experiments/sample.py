"""Keep what a run of the sample glued into its chapters, for tests that cannot run the sample themselves.

``python -m accent_book.experiments.sample``, after `make book` or `make run`, reads the chapters of the book
and writes ``data/results/sample.json``: values by chapter and name, the settings of the notebooks that made
them, and where they come from.  Run it when the sample or a default changed; a test says when.
"""

import argparse
import copy
import hashlib
import json
from pathlib import Path

import numpy as np

from accent_book import runs
from accent_book.experiments.command import write_about
from accent_book.publish.statements import CHAPTERS, not_true, read_values
from accent_book.runs.notebooks import all_notebooks, project_root
from accent_lib.datasets import load, prepare
from accent_lib.errors import AccentError
from accent_lib.explainers import accent, sentence
from accent_lib.influence import fast_influence
from accent_lib.models import NCF, RCF
from accent_lib.retraining.engine import observe, retrain
from accent_lib.retraining.worlds import World, world_of
from accent_lib.training import Recipe

#: How chapter 5 retrains NCF on the sample.
RECIPE = Recipe(1600, 0.001, "linear", batch_size=256)


def settings() -> dict:
    """What the values depend on: data, revisions of the models, and the defaults of the notebooks."""
    defaults = {
        notebook.name: {name: parameter.default for name, parameter in notebook.parameters.items()}
        for notebook in all_notebooks(project_root())
        if notebook.name in CHAPTERS
    }
    return {
        "data": prepare(load("sample")).fingerprint[:16],
        "revisions": {"ncf": NCF.revision, "rcf": RCF.revision},
        "defaults": hashlib.sha256(json.dumps(defaults, sort_keys=True).encode()).hexdigest()[:16],
    }


def readme_user(user: int = 86) -> dict[str, str]:
    """The explanation that README shows: its titles, the gap as it is filled, and after training anew."""
    run = runs.Run("sample", {"run": "sample"})
    data = runs.interactions(run)
    model, state, _ = runs.trained_model(run, "ncf", data)
    items = runs.slates_of(run, "ncf")[user]
    estimate = fast_influence(copy.deepcopy(model).double(), "objective")(user, items)
    found = accent(estimate.scores, estimate.influence)
    place, world = found.replacement, world_of(user, found.removed)
    closed = (estimate.influence[0] - estimate.influence[place])[list(found.removed)].cumsum()
    gaps = estimate.scores[0] - estimate.scores[place] - np.concatenate([[0], closed])
    trained = retrain(model, RECIPE, state, [World(), world], seed=0)
    after = [
        observe(copy_.into(copy.deepcopy(model)), where, [user], {user: items})[0].scores
        for copy_, where in zip(trained, (World(), world), strict=True)
    ]
    history = data.titles[model.actions(user)]
    return {
        "sentence": sentence([history[z] for z in found.removed], *data.titles[[items[0], items[place]]]),
        "gaps": ", ".join(f"{gap:.3f}" for gap in gaps),
        "retrained": ", ".join(f"{scores[0] - scores[place]:.3f}" for scores in after),
    }


def failures() -> dict[str, str]:
    """Median overshoot of NCF's and RCF's sets that hold and that do not; failures due to the drift alone."""
    table = runs.Run("sample", {"run": "sample"}).read_csv("tables/failures.csv")
    median = table.groupby(["model", "counterfactual"])["overshoot"].median()
    failed = table[~table["counterfactual"]]
    drifted = (failed["overestimation"] < failed["overshoot"]).groupby(failed["model"]).mean()
    found = {f"{model}_{'holds' if holds else 'fails'}": value for (model, holds), value in median.items()}
    found |= {f"{model}_drift": value for model, value in drifted.items()}
    return {name: f"{value:.4f}" for name, value in found.items()}


def main() -> None:
    """Write the file, and say which statements do not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chapters", type=Path, default=project_root() / "book" / "chapters")
    values = read_values(parser.parse_args().chapters)
    if values["01_data"]["name"].strip("'") != "sample":
        raise AccentError("The chapters are not those of the sample: make them, `make run PROFILE=sample`.")
    for line in not_true(values):
        print("does not hold:", line)
    values |= {"README": readme_user(), "failures": failures()}
    write_about(runs.results_folder() / "sample.json", {"settings": settings(), "values": values})


if __name__ == "__main__":
    main()
