"""Verify and resume: one step by hand and by its definition, the rounds on a small model."""

from dataclasses import replace
from itertools import chain, combinations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from accent_book.experiments.rounds import COLUMNS, Start, retrained, verify_and_resume, verify_sets
from accent_lib.evaluation.judgement import judge
from accent_lib.explainers import accent, resume
from accent_lib.influence import fast_influence
from accent_lib.models import NCF, top_k
from accent_lib.retraining.identity import slate_identity
from accent_lib.retraining.outcomes import Outcome
from accent_lib.retraining.store import Store
from accent_lib.retraining.verification import verify
from accent_lib.retraining.worlds import World, world_of
from accent_lib.training import Recipe, State, train
from tests.test_explainers import EIGHTHS, problems

RECIPE = Recipe(steps=150, learning_rate=1e-2, schedule="linear", batch_size=256)
K, ROUNDS = 4, 2
TOGETHER = {"users_per_world": 3, "stack_size": 3}  # the first round has four worlds, in two stacks


def test_a_step_fills_what_was_measured_to_be_left():
    # Against item 1 a gap of 1.0 is left: actions 3 and 0. Against item 2 one of 0.5: action 3 alone.
    measured = np.array([4.0, 3.0, 3.5])
    gains = np.array([[0.0, 0.0, 0.0, 0.0], [0.5, 9.0, 0.25, 0.75], [0.0, 9.0, 0.0, 0.625]])
    found = resume((1,), measured, -gains)
    assert (found.removed, found.replacement) == ((1, 3), 2)
    np.testing.assert_array_equal(found.predicted, [4.0, 3.75, 4.125])


def test_a_step_adds_an_action_even_for_an_item_that_leads_already():
    measured = np.array([4.0, 3.5, 4.25])
    gains = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.75], [0.0, 0.125, 0.0]])
    found = resume((0,), measured, -gains)  # one action for either; the lead of item 2 will be larger
    assert (found.removed, found.replacement, found.remaining_gap) == ((0, 1), 2, -0.375)


def test_a_step_without_a_helpful_action_left_gives_up():
    measured, gains = np.array([4.0, 3.5]), np.array([[0.0, 0.0, 0.0], [1.0, -0.5, 0.25]])
    assert resume((0,), measured, -gains) is None  # 0.25 is helpful, but not enough
    assert resume((0, 2), measured, -gains) is None
    assert resume((0, 1, 2), measured, -gains) is None


@st.composite
def failures(draw):
    """Removed so far, measured scores in any order, influence."""
    scores, influence = draw(problems(k_max=4, n_max=7))
    measured = scores + np.array(draw(st.lists(EIGHTHS, min_size=len(scores), max_size=len(scores))))
    removed = draw(st.lists(st.integers(0, influence.shape[1] - 1), unique=True))
    return tuple(removed), measured, influence


@settings(max_examples=150, deadline=None)
@given(failures())
def test_a_step_is_the_fewest_further_actions_that_fill_what_is_left_of_a_gap(failure):
    """Against all sets of further actions; an item that leads already counts as level."""
    removed, measured, influence = failure
    left = [z for z in range(influence.shape[1]) if z not in removed]
    filling = []
    for added in chain.from_iterable(combinations(left, size) for size in range(1, len(left) + 1)):
        for replacement in range(1, len(measured)):
            gap = measured[0] - measured[replacement]
            shrinks = sum(influence[0, z] - influence[replacement, z] for z in added)
            if shrinks > max(gap, 0):
                filling.append((len(added), gap - shrinks))
    found = resume(*failure)
    assert (found is None) == (not filling)
    if found is not None:
        added = found.removed[len(removed) :]
        assert found.removed[: len(removed)] == removed and set(added) <= set(left)
        assert (len(set(added)), found.remaining_gap) == min(filling) and len(set(added)) == len(added)
        np.testing.assert_array_equal(found.predicted, measured - influence[:, list(added)].sum(1))


@settings(max_examples=100, deadline=None)
@given(problems())
def test_a_step_from_nothing_is_accent(problem):
    mine, theirs = resume((), *problem), accent(*problem)
    assert (mine is None) == (theirs is None)
    if mine is not None:
        assert (mine.removed, mine.replacement) == (theirs.removed, theirs.replacement)


@pytest.fixture(scope="module")
def base(sample):
    """A model whose users are of all kinds: the first set holds, a later one does, there is none."""
    model = NCF(sample, dim=4)
    (state,) = train(model, Recipe(1500, 1e-2, "linear", batch_size=256), [State.of(model)])
    analysis, starts = fast_influence(state.into(model)), {}
    for user in range(24):
        items, scores = top_k(model, user, K + 1)  # the slate goes on beyond the candidates
        influence = analysis(user, items[:K]).influence
        starts[user] = Start(items, influence, accent(scores[:K], influence))
    return model, state, starts


def rounds_of(base, path, rounds=ROUNDS, **options):
    """The table of the rounds, and all outcomes."""
    model, state, starts = base
    with Store(path, "f") as store:
        options = {"seeds": (0, 1), "stack_size": 6, **options, "rounds": rounds}
        table = verify_and_resume("ncf", model, RECIPE, state, starts, store, **options)
        return table, store.outcomes().drop(columns="seconds")


@pytest.fixture(scope="module")
def whole(base, tmp_path_factory):
    return rounds_of(base, tmp_path_factory.mktemp("resume") / "whole.sqlite")


@pytest.fixture(scope="module")
def together(base, tmp_path_factory):
    """As `whole`, with the sets of several users in a world."""
    return rounds_of(base, tmp_path_factory.mktemp("resume") / "together.sqlite", **TOGETHER)


def measured(outcomes, user, removed):
    """Mean retrained scores, straight from the outcomes."""
    rows = outcomes[(outcomes["user"] == user) & (outcomes["world"] == world_of(user, removed).key)]
    return np.mean(rows["scores"].tolist(), axis=0)


def test_every_set_goes_on_from_the_one_before_until_one_holds(base, whole):
    table, outcomes = whole
    rows = {(row["round"], row["user"]): row for row in table.to_dict("records")}
    assert len(rows) == len(table) == (ROUNDS + 1) * len(base[2])
    longer = 0
    for (number, user), row in rows.items():
        start = base[2][user]
        items, influence, first = start.items, start.influence, start.explanation
        if number == 0:
            assert row["removed"] == (() if first is None else first.removed)
        if first is None:
            assert (row["status"], row["size"], row["replacement"]) == ("unsolved", 0, -1)
            continue
        scores, control = (measured(outcomes, user, removed) for removed in (row["removed"], ()))
        place = row["replacement_position"]
        assert len(scores) == K + 1 and 0 < place < K and row["replacement"] == items[place]
        assert row["counterfactual"] == (scores[place] > scores[0]) == (row["status"] == "holds")
        assert row["retrained_gap"] == scores[0] - scores[place]
        assert row["control_gap"] == control[0] - control[place]
        following = rows.get((number + 1, user))
        if following is not None and row["status"] == "open":
            expected = resume(row["removed"], scores[:K], influence)
            assert following["removed"] == expected.removed
            assert expected.removed[: row["size"]] == row["removed"]
            assert following["size"] == len(expected) > row["size"]
            assert following["estimated_gap"] == expected.remaining_gap < 0
            longer += 1
        elif following is not None:
            assert following == row | {"round": number + 1}
    assert longer > 3


def test_cf_percentage_never_falls_from_round_to_round(whole):
    table, _ = whole
    percentage = 100 * table.groupby("round")["counterfactual"].mean()
    assert list(percentage.index) == list(range(ROUNDS + 1))
    assert percentage.is_monotonic_increasing and 0 < percentage[0] < percentage[ROUNDS] < 100
    assert set(table.loc[table["round"] == 0, "status"]) == {"holds", "open", "unsolved"}


def test_who_is_done_is_never_retrained_again(whole):
    table, outcomes = whole
    sets = {world_of(row.user, row.removed).key for row in table.itertuples()} | {""}
    assert set(outcomes["world"]) == sets
    done = table[(table["round"] == 0) & table["counterfactual"]]
    for row in done.itertuples():
        worlds = outcomes.loc[(outcomes["user"] == row.user) & (outcomes["world"] != ""), "world"]
        assert set(worlds) == {world_of(row.user, row.removed).key}


def test_the_first_round_says_what_the_judge_says(base, whole):
    table, outcomes = whole
    first = table[table["round"] == 0].assign(method="accent", k=K)
    starts = base[2]
    slates = [("ncf", u, p, i, 0.0) for u in starts for p, i in enumerate(starts[u].items)]
    slates = pd.DataFrame(slates, columns=["model", "user", "position", "item", "score"])
    explanations = first.assign(
        recommendation=[starts[user].items[0] for user in first["user"]],
        predicted=[(0.0,) * K] * len(first),
    )
    judged = judge(explanations, slates, outcomes)
    assert judged["counterfactual"].tolist() == first["counterfactual"].tolist()


@pytest.mark.parametrize(
    ("undisturbed", "number", "options"),
    [("whole", 0, {}), ("whole", 1, {}), ("together", 0, TOGETHER), ("together", 1, TOGETHER)],
)
def test_a_killed_run_goes_on_to_the_same_table(base, request, tmp_path, undisturbed, number, options):
    """Killed in the middle of the first round, and of the second."""
    seen, undisturbed = [], request.getfixturevalue(undisturbed)

    def stop(done, total):
        seen.append(done)
        if seen.count(0) > number and done > 0:
            assert done < total
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rounds_of(base, tmp_path / "killed.sqlite", progress=stop, **options)
    for mine, other in zip(rounds_of(base, tmp_path / "killed.sqlite", **options), undisturbed, strict=True):
        pd.testing.assert_frame_equal(mine, other)


def test_more_rounds_train_only_what_is_new(base, whole, tmp_path):
    path, seen = tmp_path / "grow.sqlite", []
    table, outcomes = rounds_of(base, path, rounds=0)
    pd.testing.assert_frame_equal(table, whole[0][whole[0]["round"] == 0])
    pd.testing.assert_frame_equal(rounds_of(base, path)[0], whole[0])
    rounds_of(base, path, progress=lambda done, total: seen.append(done == total))
    assert seen and all(seen)


def test_a_set_that_cannot_go_on_and_a_retraining_that_failed_end_a_user(base, whole, tmp_path):
    model, state, starts = base
    table = whole[0][whole[0]["round"] == 0]
    user = int(table.loc[table["status"] == "open", "user"].iloc[0])
    stuck = {user: replace(starts[user], influence=0 * starts[user].influence)}
    broken = State({name: value * torch.nan for name, value in state.parameters.items()})
    for begin, status in ((state, "unsolved"), (broken, "failed")):
        with Store(tmp_path / f"{status}.sqlite", "f") as store:
            found = verify_and_resume("ncf", model, RECIPE, begin, stuck, store, rounds=1, stack_size=2)
            assert len(store.outcomes()) == 2  # its control and its world, once
        assert found["status"].tolist() == [status] * 2 and not found["counterfactual"].any()
        assert found["retrained_gap"].isna().all() == (status == "failed")
        assert (found["size"] == len(starts[user].explanation)).all()


def test_without_any_set_nothing_is_trained(base, tmp_path):
    model, state, starts = base
    nobody = {3: replace(starts[3], explanation=None)}
    with Store(tmp_path / "none.sqlite", "f") as store:
        table = verify_and_resume("ncf", model, RECIPE, state, nobody, store, rounds=2)
        assert len(store.outcomes()) == 0
        assert table["status"].tolist() == ["unsolved"] * 3 and list(table) == COLUMNS
        assert verify_and_resume("ncf", model, RECIPE, state, {}, store).empty


def test_one_user_a_world_is_verification_of_the_sets_as_they_are(base, whole, tmp_path):
    model, state, starts = base
    table, outcomes = whole
    first = table[(table["round"] == 0) & (table["size"] > 0)]
    worlds = [world_of(row.user, row.removed) for row in first.itertuples()]
    slates = {user: starts[user].items for user in first["user"]}
    with Store(tmp_path / "verify.sqlite", "f") as store:
        verify("ncf", model, RECIPE, state, worlds, slates, store, stack_size=6)
        expected = store.outcomes().drop(columns="seconds")
    assert len(expected) == 2 * len(worlds)
    asked = (outcomes["seed"] == 0) & outcomes["world"].isin(expected["world"])
    pd.testing.assert_frame_equal(outcomes[asked].reset_index(drop=True), expected)


def test_in_grouped_rounds_each_user_is_judged_by_the_world_that_leaves_out_her_set(base, together):
    table, outcomes = together
    shown = {}  # by user, set and seed
    for row in outcomes.itertuples():
        world = World.parse(row.world)
        shown[row.user, world.only(row.user).key, row.seed] = (row.scores, len(world.users))
    assert len(shown) == len(outcomes)  # each set was retrained once
    joined = set()
    for row in table[table["size"] > 0].itertuples():
        own = world_of(row.user, row.removed).key
        scores, control = (
            np.mean([shown[row.user, key, seed][0] for seed in (0, 1)], 0) for key in (own, "")
        )
        assert row.retrained_gap == scores[0] - scores[row.replacement_position]
        assert row.control_gap == control[0] - control[row.replacement_position]
        assert row.counterfactual == (row.retrained_gap < 0)
        joined.add(shown[row.user, own, 0][1])
    assert 3 in joined and max(joined) == 3
    asked = table[(table["round"] == 0) & (table["size"] > 0)]["user"].tolist()
    groups = [tuple(asked[start : start + 3]) for start in range(0, len(asked), 3)]
    assert set(groups) <= {World.parse(key).users for key in outcomes["world"]}
    assert table["counterfactual"].iloc[-len(base[2]) :].sum() > table["counterfactual"][: len(base[2])].sum()


def test_grouped_rounds_that_are_there_already_train_nothing(base, together, tmp_path):
    path, seen = tmp_path / "again.sqlite", []
    with Store(path, "f") as store:
        for seed, rows in together[1].groupby("seed"):
            store.record("ncf", seed, outcomes_of(rows))
    again = rounds_of(base, path, progress=lambda done, total: seen.append(done == total), **TOGETHER)
    assert len(seen) == ROUNDS + 1 and all(seen)
    for mine, other in zip(again, together, strict=True):
        pd.testing.assert_frame_equal(mine, other)


def outcomes_of(rows):
    return [
        Outcome(row.world, row.user, row.scores, row.top, slate=row.slate, catalogue=row.catalogue)
        for row in rows.itertuples()
    ]


def test_sets_from_another_grouping_are_not_retrained_but_get_their_control(base, together, tmp_path):
    model, state, starts = base
    seed_0 = together[1][together[1]["seed"] == 0]
    asked = {user: one.explanation.removed for user, one in starts.items() if one.explanation is not None}
    first = {World(((user, removed),)).removed[0] for user, removed in asked.items()}
    groups = [key for key in seed_0["world"] if key.count(";") == 2]
    group = next(key for key in groups if first.issuperset(World.parse(key).removed))
    there = seed_0[seed_0["world"] == group]
    slates = {user: one.items for user, one in starts.items()}
    with Store(tmp_path / "other.sqlite", "f") as store:
        store.record("ncf", 0, outcomes_of(there))  # no control
        hers = {user: asked[user] for user in there["user"]}
        verify_sets("ncf", model, RECIPE, state, hers, slates, store, stack_size=2)
        assert set(store.outcomes()["world"]) == {group, ""}
        assert store.done("ncf", 0, slates)[""] == set(hers)
        options = {"users_per_world": 24, "stack_size": 2}
        shown = verify_sets("ncf", model, RECIPE, state, asked, slates, store, **options)
        others = World(tuple((user, removed) for user, removed in asked.items() if user not in hers))
        assert set(store.outcomes()["world"]) == {group, "", others.key}
        assert store.done("ncf", 0, slates)[""] == set(asked)
    for row in there.itertuples():
        found = shown[row.user, World.parse(group).only(row.user).key]
        assert found.world == group and tuple(found.scores) == row.scores
    assert len(shown) == 2 * len(asked)


def test_of_several_worlds_with_a_set_the_one_with_the_fewest_users_counts(tmp_path):
    def seen(store, *outcomes, seed=0, model="rcf"):
        store.record(model, seed, [Outcome(*one, slate=slate_identity([7, 4])) for one in outcomes])

    slates = dict.fromkeys(range(4), [7, 4])
    with Store(tmp_path / "hand.sqlite", "f") as store:
        seen(
            store,
            ("1:0;2:5;3:1", 1, (1.0, 2.0), 7),
            ("1:0;2:5;3:1", 2, (1.0, 3.0), 7),
            ("", 1, (4.0, 4.0), 7),
        )
        assert retrained(store, "rcf", slates)[1, "1:0"].world == "1:0;2:5;3:1"
        seen(store, ("1:0;3:9", 1, (1.5, 2.0), 7), ("1:0;3:8", 1, (2.5, 2.0), 7))
        seen(store, ("1:0", 1, (0.5, 0.5), 7), model="ncf")
        # Nothing of hers is left out here, though something of others is.
        seen(store, ("3:8", 1, (9.0, 9.0), 7), ("3:8", 2, (9.0, 9.0), 7))
        found = retrained(store, "rcf", slates)
        assert set(found) == {(1, ""), (1, "1:0"), (2, "2:5")}
        assert found[1, "1:0"].world == "1:0;3:8" and found[1, "1:0"].scores.tolist() == [2.5, 2.0]
        assert found[1, ""].scores.tolist() == [4.0, 4.0]
        # Only what was seen in all of the orders counts, and a retraining that failed has no mean.
        seen(store, ("1:0;2:5;3:1", 1, (2.0, 4.0), 7), ("1:0;2:5;3:1", 2, (), -1, "failed", "why"), seed=1)
        found = retrained(store, "rcf", slates, (0, 1))
        assert set(found) == {(1, "1:0"), (2, "2:5")}
        assert found[1, "1:0"].scores.tolist() == [1.5, 3.0] and found[2, "2:5"].scores is None
        assert retrained(store, "rcf", slates, (2,)) == {}
