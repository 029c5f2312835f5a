"""Whatever is put into a public function: a result, or one sentence of AccentError, and never a traceback.

A table of good calls, from which one argument at a time is exchanged for something wrong.
"""

import copy
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import accent_lib as al
from accent_book.live import own_ratings
from accent_lib import evaluation, explainers, explanations, front, influence, models, training
from accent_lib.arguments import number, shown, user_of, whole, wholes
from accent_lib.datasets import Ratings, relations
from accent_lib.errors import AccentError
from accent_lib.evaluation import accuracy, guarantee, significance
from accent_lib.explainers import Explanation
from accent_lib.retraining import engine, memory, ranking, verification, worlds
from accent_lib.retraining.store import Store
from accent_lib.training import Recipe, Round, State, recipes
from tests.test_doctests import on_the_page
from tests.test_front_misuse import FRAME, QUICK, fitted
from tests.test_own_ratings import csv

SHORT = Recipe(steps=2, learning_rate=0.01, batch_size=64)
SCORES, INFLUENCE = np.array([3.0, 2.75, 2.5]), np.array([[1.0, 0.5], [1.0, 0.0], [0.0, 0.0]])


class Net(nn.Module):
    """Biases and factors of users and items."""

    def __init__(self, n_users, n_items):
        super().__init__()
        self.users, self.items = nn.Embedding(n_users, 3), nn.Embedding(n_items, 3)

    def forward(self, users, items):
        return 3 + (self.users(users) * self.items(items)).sum(-1)


class Things:
    """All that good calls are made of, made once."""

    def __init__(self, folder):
        self.ratings = al.read_ratings(FRAME)
        self.data = al.prepare(self.ratings)
        self.n = self.data.n_users
        self.ncf = models.NCF(self.data, dim=8)
        self.state = State.of(self.ncf)
        self.relations = relations.Relations.of(self.data.attributes)
        self.rcf = models.RCF(self.data, dim=8, attention=4)
        self.net = Net(self.data.n_users, self.data.n_items)
        self.wrapped = models.Wrapped(copy.deepcopy(self.net), self.data, "users.weight", weight_decay=1e-3)
        self.double = copy.deepcopy(self.ncf).double()
        self.analysis = explanations.analysis_of(self.ncf)
        self.slate, self.scores = models.top_k(self.ncf, 3, 4)
        self.slates = {3: self.slate}
        self.worlds = [worlds.World.parse("3:0 1")]
        self.front = fitted(self.ratings)
        ids = self.front.data.user_ids
        self.explained = next(e for e in (al.explain(self.front, each, 4) for each in ids) if e.found)
        self.store = Store(folder / "worlds.sqlite", "abc")
        self.threads = ThreadPoolExecutor(1)
        self.block, self.items = self.ncf.block(3), torch.tensor([0, 1])
        self.like = Explanation((1,), 1, SCORES)
        self.table = pd.DataFrame({"user": [0, 1], "removed": [(3, 1), (1,)]})
        columns = "model method k user recommendation replacement replacement_position removed size predicted"
        sets = [["ncf", method, 2, 0, 7, 4, 1, (3,), 1, (2.5, 2.75)] for method in ("accent", "fia")]
        self.explanations = pd.DataFrame(sets, columns=columns.split())
        rows = [["ncf", 0, 0, 7, 3.0], ["ncf", 0, 1, 4, 2.75]]
        self.slate_table = pd.DataFrame(rows, columns="model user position item score".split())
        control, without = ((3.0, 2.75), 7, "ok"), ((2.0, 2.5), 4, "ok")
        rows = [["ncf", "", 0, 0, *control], ["ncf", "0:3", 0, 0, *without]]
        self.outcomes = pd.DataFrame(rows, columns="model world user seed scores top status".split())
        self.judged = evaluation.judge(self.explanations, self.slate_table, self.outcomes)
        self.stars = pd.DataFrame({"item": [5, 9, 2], "rating": [4.0, 1.0, 5.0]})


def _walk(removed, tried):
    return SCORES - np.outer(len(removed) + 1 + np.arange(len(tried)), [1.0, 0.0, 0.0])


def _rescore(keep):
    return SCORES - (1 - keep[:, :1]) * [1.0, 0.0, 0.0]


def _attention(t):
    return explanations.Attention(t.rcf, 3, t.slate)


#: Good calls by name: a function and its arguments, both made of the things.
CALLS = {
    "read_ratings": lambda t: (
        al.read_ratings,
        dict(
            ratings=FRAME,
            user="user",
            item="item",
            rating="rating",
            time=False,
            counts=False,
            scale=(1, 5),
            positive_at=3,
            unrated=0,
            duplicates="last",
            missing="refuse",
            time_format=None,
            sep=None,
            attributes=None,
            attribute_sep=None,
            name="mine",
            report=str,
        ),
    ),
    "prepare": lambda t: (
        al.prepare,
        dict(
            ratings=t.ratings,
            positive_at=3,
            min_positive=2,
            min_negative=2,
            holdout=0.2,
            min_ratings=1,
            report=str,
            max_users=5,
        ),
    ),
    "load": lambda t: (al.load, dict(name="sample", data_home=None)),
    "Ratings": lambda t: (
        Ratings,
        dict(
            name="mine",
            ratings=t.ratings.ratings,
            items=t.ratings.items,
            attributes=t.ratings.attributes,
            scale=(1, 5),
            positive_at=3,
            pruning=(2, 2),
            notes=(),
        ),
    ),
    "Interactions.rows": lambda t: (t.data.rows, dict(user=3)),
    "generate": lambda t: (al.datasets.generate, dict(seed=3, n_users=4, n_items=20)),
    "Relations.of": lambda t: (relations.Relations.of, dict(attributes=t.data.attributes)),
    "Relations.entries": lambda t: (t.relations.entries, dict(target=0, item=1)),
    "training_triples": lambda t: (
        relations.training_triples,
        dict(data=t.data, relations=t.relations, seed=0),
    ),
    "draw_relation_triples": lambda t: (
        relations.draw_relation_triples,
        dict(data=t.data, relations=t.relations, seed=0),
    ),
    "held_out_pairs": lambda t: (relations.held_out_pairs, dict(data=t.data)),
    "nothing_disliked": lambda t: (relations.nothing_disliked, dict(data=t.data)),
    "models.NCF": lambda t: (
        models.NCF,
        dict(interactions=t.data, dim=8, weight_decay=1e-3, activation=torch.relu, seed=0),
    ),
    "models.RCF": lambda t: (
        models.RCF,
        dict(
            interactions=t.data,
            relation_triples=None,
            dim=8,
            attention=4,
            smoothing=0.5,
            relation_weight=0.01,
            seed=0,
        ),
    ),
    "models.Wrapped": lambda t: (
        models.Wrapped,
        dict(
            net=copy.deepcopy(t.net),
            interactions=t.data,
            user_parameters="users.weight",
            loss="mse",
            block=None,
            reads=None,
            negatives=1,
            weight_decay=1e-3,
            length=50,
            seed=0,
        ),
    ),
    "top_k": lambda t: (models.top_k, dict(model=t.ncf, user=3, k=4)),
    "slates": lambda t: (models.slates, dict(model=t.ncf, users=[3, 5], k=4)),
    "history_scores": lambda t: (
        models.history_scores,
        dict(
            model=t.rcf,
            blocks=t.rcf.block(3),
            user=3,
            items=t.items,
            keep=torch.ones(1, len(t.rcf.actions(3))),
        ),
    ),
    "models.check": lambda t: (models.check, dict(model=t.ncf, trained=False)),
    "Recipe": lambda t: (
        Recipe,
        dict(
            steps=2,
            learning_rate=0.01,
            schedule="linear",
            optimizer="adam",
            batch_size=64,
            shuffle_first=True,
        ),
    ),
    "Round": lambda t: (Round, dict(starts=1, recipe=SHORT)),
    "for_epochs": lambda t: (recipes.for_epochs, dict(model=t.ncf, recipe=SHORT, epochs=2)),
    "State.of": lambda t: (State.of, dict(model=t.ncf)),
    "State.into": lambda t: (t.state.into, dict(model=copy.deepcopy(t.ncf))),
    "train": lambda t: (
        training.train,
        dict(
            model=t.ncf,
            recipe=SHORT,
            states=[t.state],
            keep=torch.ones(1, t.ncf.n_actions),
            seed=0,
            device=None,
            progress=str,
        ),
    ),
    "train_timed": lambda t: (
        training.train_timed,
        dict(model=t.ncf, recipe=SHORT, states=[t.state], seed=0),
    ),
    "objective": lambda t: (training.objective, dict(model=t.ncf, states=[t.state])),
    "search": lambda t: (
        training.search,
        dict(
            make=lambda seed: models.NCF(t.data, 8, seed=seed),
            rounds=[Round(2, SHORT)],
            seed=0,
            stack_size=2,
            executor=None,
            device=None,
            describe=None,
            log=None,
        ),
    ),
    "options_of": lambda t: (influence.options_of, dict(model=t.ncf)),
    "Contrast": lambda t: (influence.Contrast, dict(user=3, items=(1, 2), weights=(1.0, -1.0))),
    "through_training": lambda t: (
        influence.through_training,
        dict(
            model=t.ncf,
            recipe=SHORT,
            state=t.state,
            contrasts=[influence.Contrast(1, (0, 1), (1.0, -1.0))],
            seed=0,
            progress=None,
        ),
    ),
    "fast_influence": lambda t: (
        influence.fast_influence,
        dict(model=t.double, variant="paper", effect="linear", damping=0.1, smallest=None, own_term=True),
    ),
    "HistoryInfluence": lambda t: (
        influence.HistoryInfluence,
        dict(model=t.rcf, variant="shared", effect="linear", damping=0.1, smallest=None, others=False),
    ),
    "FastInfluence()": lambda t: (t.analysis, dict(user=3, items=t.slate)),
    "FastInfluence.of_users": lambda t: (t.analysis.of_users, dict(users=[3], slates=[t.slate])),
    "Frozen": lambda t: (influence.Frozen, dict(model=t.double, user=3)),
    "refit": lambda t: (
        influence.refit,
        dict(model=t.double, user=3, keep=torch.ones(len(t.ncf.actions(3))).double(), start=None, steps=2),
    ),
    "gap_influence": lambda t: (
        influence.gap_influence,
        dict(influence=INFLUENCE, recommendation=0, replacement=1),
    ),
    **{
        name: lambda t, name=name: (
            getattr(explainers, name),
            dict(scores=SCORES, influence=INFLUENCE, margin=0.1),
        )
        for name in ("accent", "one_versus_all", "fia", "pure_fia")
    },
    **{
        name: lambda t, name=name: (
            getattr(explainers, name),
            dict(scores=SCORES, weights=[0.25, 0.75], rescore=_rescore, margin=0.1),
        )
        for name in ("attention", "pure_attention")
    },
    "walk": lambda t: (
        explainers.walk,
        dict(scores=SCORES, order=[4, 7], rescore=_walk, selective=False, ahead=4, margin=0.0),
    ),
    "random_set": lambda t: (
        explainers.random_set,
        dict(scores=SCORES, influence=INFLUENCE, like=t.like, seed=0),
    ),
    "fill_gap": lambda t: (explainers.fill_gap, dict(gap=1.0, influence_on_gap=[0.25, 1.0])),
    "resume": lambda t: (
        explainers.resume,
        dict(removed=(1,), measured=SCORES, influence=INFLUENCE),
    ),
    "leave": lambda t: (
        explainers.leave,
        dict(scores=SCORES, influence=INFLUENCE, place=0, k=2, margin=0.1),
    ),
    "wish": lambda t: (explainers.wish, dict(scores=SCORES, influence=INFLUENCE, item=1, margin=0.1)),
    "checked": lambda t: (explainers.checked, dict(scores=SCORES, influence=INFLUENCE)),
    "checked_margin": lambda t: (explainers.checked_margin, dict(margin=0.1)),
    "rounded": lambda t: (explainers.rounded, dict(values=SCORES)),
    "sentence": lambda t: (
        explainers.sentence,
        dict(removed=["A"], recommendation="B", replacement="C", gap=-0.1, verb="rated"),
    ),
    "analysis_of": lambda t: (explanations.analysis_of, dict(model=t.ncf, variant="objective")),
    "gather": lambda t: (
        explanations.gather,
        dict(analysis=t.analysis, users=[3], k=4, methods=["accent"]),
    ),
    "closeup": lambda t: (
        explanations.closeup,
        dict(model=t.ncf, user=3, k=4, method="accent", margin=0.0, variant="paper"),
    ),
    "explain": lambda t: (
        explanations.explain,
        dict(model=t.rcf, user=3, k=4, method="attention", damping=0.1),
    ),
    "explain_users": lambda t: (
        explanations.explain_users,
        dict(
            name="ncf",
            model=t.ncf,
            users=[3],
            ks=[2, 4],
            methods=["accent"],
            executor=t.threads,
            progress=str,
            margin=0.0,
        ),
    ),
    "explain_slate": lambda t: (
        explanations.explain_slate,
        dict(
            scores=SCORES,
            influence=INFLUENCE,
            methods=["accent", "random"],
            seed=0,
            attention=None,
            margin=0.0,
        ),
    ),
    "gaps_of": lambda t: (
        explanations.gaps_of,
        dict(scores=SCORES, influence=INFLUENCE, explanation=t.like, attention=None),
    ),
    "Attention": lambda t: (explanations.Attention, dict(model=t.rcf, user=3, items=t.slate)),
    "Attention.rescore": lambda t: (
        _attention(t).rescore,
        dict(keep=np.ones((1, len(t.rcf.actions(3))))),
    ),
    "check_methods": lambda t: (explanations.check_methods, dict(methods=["accent"], model=t.ncf)),
    "methods_for": lambda t: (explanations.methods_for, dict(model=t.ncf, methods=["accent"])),
    "front.NCF": lambda t: (
        front.NCF,
        dict(data=t.data, setting=QUICK, seed=0, dim=8, weight_decay=1e-3, activation="relu"),
    ),
    "front.RCF": lambda t: (front.RCF, dict(data=t.data, setting="short", seed=0, dim=8, attention=4)),
    "front.fit": lambda t: (front.NCF(t.data, QUICK).fit, dict(progress=False, device=None)),
    "front.recommend": lambda t: (t.front.recommend, dict(user=3, k=4)),
    "front.explain": lambda t: (
        front.explain,
        dict(model=t.front, user=3, k=4, method="accent", margin=0.0, damping=0.1),
    ),
    "front.explain_users": lambda t: (
        front.explain_users,
        dict(model=t.front, users=[3], k=4, methods=["accent"], progress=False, margin=0.0),
    ),
    "front.verify": lambda t: (
        front.verify,
        dict(explanation=t.explained, orders=1, recipe=SHORT, fit=None, seed=0, device="cpu"),
    ),
    "front.check": lambda t: (front.check, dict(model=t.front, trained=False)),
    "wrap": lambda t: (
        front.wrap,
        dict(
            net=copy.deepcopy(t.net),
            data=t.data,
            user_parameters="users.weight",
            loss="mse",
            block=None,
            reads=None,
            length=50,
            negatives=1,
            weight_decay=1e-3,
            recipe=SHORT,
            fit=None,
            seed=0,
        ),
    ),
    "Counterfactual.sentence": lambda t: (t.explained.sentence, dict(verb="rated")),
    "World": lambda t: (worlds.World, dict(removed=((3, (0, 1)),))),
    "World.parse": lambda t: (worlds.World.parse, dict(key="3:0 1")),
    "World.only": lambda t: (t.worlds[0].only, dict(user=3)),
    "World.keep": lambda t: (t.worlds[0].keep, dict(model=t.ncf)),
    "world_of": lambda t: (worlds.world_of, dict(user=3, removed=(1, 0))),
    "worlds_of": lambda t: (worlds.worlds_of, dict(explanations=t.table)),
    "grouped": lambda t: (worlds.grouped, dict(worlds=[t.worlds], size=2)),
    "retrain": lambda t: (
        engine.retrain,
        dict(model=t.ncf, recipe=SHORT, state=t.state, worlds=t.worlds, seed=0, device=None),
    ),
    "observe": lambda t: (
        engine.observe,
        dict(model=t.ncf, world=t.worlds[0], users=[3], slates=t.slates, seconds=0.0),
    ),
    "run_stack": lambda t: (
        engine.run_stack,
        dict(
            model=t.ncf,
            recipe=SHORT,
            state=t.state,
            worlds=t.worlds,
            slates=t.slates,
            seed=0,
            controlled=[3],
            device="cpu",
        ),
    ),
    "stacks_of": lambda t: (verification.stacks_of, dict(worlds=t.worlds, size=3)),
    "controls_of": lambda t: (verification.controls_of, dict(stacks=[t.worlds], users=[3])),
    "verify": lambda t: (
        verification.verify,
        dict(
            name="ncf",
            model=t.ncf,
            recipe=SHORT,
            state=t.state,
            worlds=t.worlds,
            slates=t.slates,
            store=t.store,
            seeds=[0],
            stack_size=2,
            executor=None,
            device="cpu",
            memory=None,
            ahead=8,
            progress=None,
        ),
    ),
    "choose_device": lambda t: (verification.choose_device, dict(device="cpu")),
    "ranked": lambda t: (ranking.ranked, dict(items=[4, 7], scores=[2.5, 3.0])),
    "leads": lambda t: (
        ranking.leads,
        dict(rankings=[ranking.ranked([4, 7], [2.5, 3.0])], item=7, scores=[3.0]),
    ),
    "copy_bytes": lambda t: (memory.copy_bytes, dict(model=t.ncf, recipe=SHORT, device="cpu")),
    "stack_bytes": lambda t: (memory.stack_bytes, dict(model=t.ncf, recipe=SHORT, copies=2, device="cpu")),
    "largest_stack": lambda t: (
        memory.largest_stack,
        dict(model=t.ncf, recipe=SHORT, memory=2**30, device="cpu"),
    ),
    "check_memory": lambda t: (
        memory.check_memory,
        dict(model=t.ncf, recipe=SHORT, copies=2, memory=2**30, device="cpu"),
    ),
    "available": lambda t: (memory.available, dict(device="cpu")),
    "predict": lambda t: (accuracy.predict, dict(model=t.ncf, frame=t.data.test)),
    "rmse": lambda t: (accuracy.rmse, dict(ratings=[4.0, 2.0], scores=[3.0, 3.0])),
    "pairwise_accuracy": lambda t: (
        accuracy.pairwise_accuracy,
        dict(frame=t.data.test, scores=t.data.test["rating"].to_numpy()),
    ),
    "mean_baseline": lambda t: (
        accuracy.mean_baseline,
        dict(train=t.data.train, frame=t.data.test, strength=5.0),
    ),
    "needed": lambda t: (guarantee.needed, dict(n_users=9, n_others=9, target=0.8, error=0.1)),
    "calibrate": lambda t: (
        guarantee.calibrate,
        dict(margins=[0.0, 0.1], holds=np.ones((9, 2), bool), n_others=9, target=0.8, confidence=0.9),
    ),
    "kept": lambda t: (
        guarantee.kept,
        dict(
            margins=[0.0, 0.1],
            holds=np.ones((9, 2), bool),
            later=np.ones((9, 2), bool),
            target=0.8,
            confidence=0.9,
            splits=2,
            seed=0,
        ),
    ),
    "bootstrap": lambda t: (
        significance.bootstrap,
        dict(sums=[[1.0, 1.0], [0.0, 1.0]], statistic=significance.ratio, level=0.95, resamples=20, seed=0),
    ),
    "mcnemar": lambda t: (significance.mcnemar, dict(first=[True, False], second=[True, True])),
    "holm": lambda t: (significance.holm, dict(p_values=[0.01, 0.04])),
    "judge": lambda t: (
        evaluation.judge,
        dict(
            explanations=t.explanations,
            slates=t.slate_table,
            outcomes=t.outcomes,
            seeds=None,
            partial=False,
        ),
    ),
    "noise_floor": lambda t: (
        evaluation.noise_floor,
        dict(slates=t.slate_table, outcomes=t.outcomes, ks=[2], seeds=None),
    ),
    "summary": lambda t: (
        evaluation.summary,
        dict(judged=t.judged, definition="counterfactual", level=0.9, resamples=9, seed=0),
    ),
    "table1": lambda t: (evaluation.table1, dict(figures=t.judged, measures=["set_size"])),
    "influence_errors": lambda t: (
        evaluation.influence_errors,
        dict(judged=t.judged, by=["model"], truth="control", level=0.9, resamples=9),
    ),
    "compare": lambda t: (
        lambda judged, first, second, **options: evaluation.compare(judged, first, second, **options),
        dict(judged=t.judged, first="accent", second="fia", definition="counterfactual", resamples=9),
    ),
    "compare_sizes": lambda t: (
        lambda explanations, first, second, **options: evaluation.compare_sizes(
            explanations, first, second, **options
        ),
        dict(explanations=t.judged, first="accent", second="fia", resamples=9),
    ),
    "read own ratings": lambda t: (
        own_ratings.read_ratings,
        dict(path=csv(pd.DataFrame({"item": [5], "stars": [4]})), data=t.data, min_ratings=1),
    ),
    "add_user": lambda t: (
        own_ratings.add_user,
        dict(model=t.ncf, data=t.data, ratings=t.stars, starts=1),
    ),
}


class Anything:
    """A class of which something can always be made."""

    def __init__(self, *arguments):
        pass


class Strange:
    """Something whose words cannot even be asked for."""

    def __repr__(self):
        raise RuntimeError("no")


#: Wrong for nearly every argument; those that are right by chance are results.
WRONG = {
    "None": None,
    "text": "x",
    "a long text": "é\n" * 10**5,
    "bytes": b"3",
    "True": True,
    "2.5": 2.5,
    "-1": -1,
    "nan": float("nan"),
    "-inf": float("-inf"),
    "a huge number": 10**5000,
    "numpy's 10**9": np.int64(10**9),
    "complex": 1 + 1j,
    "empty list": [],
    "list of texts": ["a", "b"],
    "ragged list": [[1.0], [2.0, 3.0]],
    "list of NaN": [float("nan"), 1.0],
    "numbers that rise": [1.0, 2.0, 3.0],
    "dict": {"a": 1},
    "object array": np.array([None, "a"], object),
    "array of three dimensions": np.ones((2, 2, 2)),
    "tensor": torch.ones(2, 3, dtype=torch.float16, requires_grad=True),
    "table": pd.DataFrame({"user": ["a"], "b": [1]}),
    "class": Anything,
    "function": lambda *arguments: None,
    "strange": Strange(),
}
#: Right, but too long or too large for a test; or the name of a file, which tests of files try.
TOO_MUCH = {
    ("ratings", "a long text"),
    ("fit", "numpy's 10**9"),
    ("n_users", "numpy's 10**9"),
    ("splits", "numpy's 10**9"),
    ("steps", "numpy's 10**9"),
}


#: Documented modules whose functions all are in the table, and what need not be: made by the library alone,
#: without an argument that can be wrong, or tried with files elsewhere.
MODULES = (
    "datasets datasets.relations evaluation evaluation.accuracy evaluation.guarantee "
    "evaluation.significance explainers explanations front influence live.own_ratings models "
    "retraining.engine retraining.memory retraining.ranking retraining.verification retraining.worlds "
    "training training.recipes"
).split()
ELSEWHERE = set(
    "BlockInfluence Closeup Counterfactual Estimator Evidence Explanation FastInfluence Influence "
    "Interactions OwnExplanation OwnModel Promise Recommender Relations Setting State Verification "
    "checked_scores corrected_together diverged explain_ratings gelu load_checkpoint no_sentence obstacle "
    "ratio read_relation_triples save_checkpoint tied".split()
)


def test_every_function_of_these_modules_is_in_the_table(things):
    called = {id(CALLS[name](things)[0]) for name in CALLS} | {
        id(evaluation.compare),
        id(evaluation.compare_sizes),
    }
    missing = {
        name.rpartition(".")[2]
        for name, value in on_the_page().items()
        if name.rpartition(".")[0] in MODULES and id(value) not in called
    }
    assert missing == ELSEWHERE


@pytest.fixture(scope="module")
def things(tmp_path_factory):
    made = Things(tmp_path_factory.mktemp("arguments"))
    yield made
    made.store.close()
    made.threads.shutdown()


@pytest.mark.parametrize("name", CALLS)
def test_a_wrong_argument_is_a_sentence_or_fine(things, name):
    function, good = CALLS[name](things)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        function(**good)
        failed = []
        for argument in good:
            for kind, wrong in WRONG.items():
                if (argument, kind) in TOO_MUCH:
                    continue
                function, arguments = CALLS[name](things)
                try:
                    function(**{**arguments, argument: wrong})
                except AccentError as error:
                    said = str(error)
                    if "\n" in said or len(said) > 600 or not said.endswith((".", "?", ")")):
                        failed.append(f"{argument} = {kind}: says {said[:200]!r} ({len(said)} letters)")
                except Exception as error:
                    failed.append(f"{argument} = {kind}: {type(error).__name__}: {str(error)[:100]!r}")
    if failed:
        pytest.fail("\n".join(failed), pytrace=False)


def test_the_gate_itself():
    assert [
        whole(each, "n") for each in (3, 3.0, np.int8(3), np.float32(3), torch.tensor(3), np.array(3.0))
    ] == [3] * 6
    assert number(np.float32(0.5), "x") == number(torch.tensor(0.5), "x") == 0.5
    assert wholes((1, 2.0), "n") == wholes(np.array([1, 2]), "n") == wholes({1: "a", 2: "b"}, "n") == [1, 2]
    for wrong in ("3", True, np.True_, 3.5, float("nan"), float("inf"), None, [3], 1j, 2**63, b"3"):
        with pytest.raises(AccentError, match=r"^`n` is .*, but must be a whole number"):
            whole(wrong, "n")
    with pytest.raises(AccentError, match=r"^`n\[1\]` is 'a', but must be a whole number of at least 0"):
        wholes([1, "a"], "n", 0)
    with pytest.raises(AccentError, match="`n` is 7, but must be a whole number from 1 to 6"):
        whole(7, "n", 1, 6)


@pytest.mark.parametrize("value", WRONG.values(), ids=WRONG)
def test_what_is_quoted_is_short_and_on_one_line(value):
    assert len(shown(value)) <= 70 and "\n" not in shown(value)


def test_a_message_is_never_as_long_as_what_it_is_about(things):
    for call in (
        lambda: al.load("x" * 10**6),
        lambda: explanations.explain(things.ncf, 3, 4, "x" * 10**6),
        lambda: user_of(things.data, "x" * 10**6),
        lambda: front.NCF(things.data, "x" * 10**6),
        lambda: worlds.World.parse("x" * 10**6),
        lambda: Recipe(1, schedule="x" * 10**6),
    ):
        with pytest.raises(AccentError) as error:
            call()
        assert len(str(error.value)) < 400
