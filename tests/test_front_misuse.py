"""The front before a hostile or clumsy user: one sentence for what is wrong, and nothing wrong in silence."""

import copy
import datetime
import pickle
import threading
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import accent_lib as al
from accent_lib.errors import AccentError, AccentWarning
from accent_lib.front import Setting, verify
from accent_lib.retraining import memory
from accent_lib.training import Recipe, Round

RECIPE = Recipe(steps=150, learning_rate=0.01, batch_size=64)
QUICK = Setting(
    {"dim": 4}, (Round(1, RECIPE),), RECIPE, from_scratch=True, influence={"variant": "objective"}
)


def club(n=16):
    """Two camps, each of which likes every other item; everybody leaves some out."""
    generator = np.random.default_rng(3)
    rows = []
    for user in range(n):
        for item in generator.permutation(n)[: 7 * n // 10]:
            taste = 1.6 if (user + item) % 2 else -1.6
            rows.append((user, int(item), int(np.clip(round(3 + taste + generator.normal(0, 0.5)), 1, 5))))
    return pd.DataFrame(rows, columns=["user", "item", "rating"])


FRAME = club()


def fitted(data, setting=QUICK, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccentWarning)
        return al.NCF(data, setting, **options).fit()


@pytest.fixture(scope="module")
def model():
    return fitted(al.read_ratings(FRAME))


@pytest.fixture(scope="module")
def explained(model):
    return next(each for each in (al.explain(model, user, 5) for user in model.data.user_ids) if each.found)


@pytest.fixture(scope="module")
def knowing():
    """A model of which user 99 knows every item, and user 98 all but one."""
    extra = [(user, item, 1 + 4 * (item % 2)) for user in (98, 99) for item in range(user - 83)]
    frame = pd.concat([FRAME, pd.DataFrame(extra, columns=FRAME.columns)], ignore_index=True)
    return fitted(al.prepare(al.read_ratings(frame), holdout=0))


def refused(call, sentence):
    with pytest.raises(AccentError, match=sentence) as error:
        call()
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


@pytest.mark.parametrize(
    ("frame", "sentence"),
    [
        (lambda f: f[:0], "The DataFrame has no rows; name another one"),
        (lambda f: f[f["item"] == 0], "No user of 'ratings' is left"),
        (lambda f: f.drop_duplicates("user").drop_duplicates("item"), "No user of 'ratings' is left"),
        (lambda f: f[:1].assign(rating=3), "every rating is 3, so nothing tells"),
        (lambda f: f[f["user"] == 0], "There is nothing to recommend: every user of 'ratings' knows every"),
        (lambda f: f[f["item"] < 2], "There is nothing to recommend|No user of 'ratings' is left"),
        (lambda f: f.drop(columns="rating"), "Every training rating is the same, so NCF would learn nothing"),
        (lambda f: f.assign(rating=f["rating"].where(f.index != 3)), "row 3: the rating is missing"),
        (lambda f: f.assign(user=f["user"].where(f.index != 3)), "row 3: the user is missing"),
        (lambda f: f.assign(user=f["user"] + 0.0), "row 0: the user is 0.0 of type float"),
        (lambda f: f.assign(user=f["user"] > 3), "row 0: the user is False of type bool"),
        (
            lambda f: f.assign(user=[datetime.date(2020, 1, 1 + user) for user in f["user"]]),
            "of type date; ids are all whole numbers or all texts",
        ),
        (lambda f: f.assign(user=[(user, 1) for user in f["user"]]), r"the user is \(0, 1\) of type tuple"),
        (lambda f: f.assign(item=f["item"].astype(str).where(f["item"] != 3, None)), "the item is missing"),
        (lambda f: f.assign(rating=f["rating"] + 1j), "which is not a number"),
        (lambda f: f.set_index(["user", "item"]), "has user, item in its index; make columns of them by"),
        (lambda f: pd.concat({"a": f}, axis=1), r"has a column called \('a', 'user'\); names are texts"),
        (lambda f: pd.concat([f, f[["rating"]]], axis=1), "two columns of one name; rename one"),
        (lambda f: f.set_axis(["user", None, "rating"], axis=1), "has a column called nan|called None"),
        (lambda f: f.to_numpy(), "from a path or a DataFrame, not from ndarray"),
    ],
)
def test_tables_that_cannot_be_learned_from(frame, sentence):
    refused(lambda: fitted(al.read_ratings(frame(FRAME))), sentence)


def test_an_index_that_is_not_needed_is_none_of_our_business():
    assert len(al.read_ratings(FRAME.rename_axis("row")).ratings) == len(FRAME)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda m, e: al.NCF(m.data, foo=3),
            r"NCF has no argument 'foo'; choose from dim, weight_decay, act",
        ),
        (lambda m, e: al.RCF(m.data, foo=3), r"RCF has no argument 'foo'; choose from dim, attention, "),
        (lambda m, e: al.NCF(m.data, dim=0), "`dim` is 0, but must be a whole number of at least 2"),
        (lambda m, e: al.NCF(m.data, dim="8"), "`dim` is '8'"),
        (
            lambda m, e: al.NCF(m.data, weight_decay=-1),
            "`weight_decay` is -1, but must be a finite number of at",
        ),
        (lambda m, e: al.NCF(m.data, weight_decay="a"), "`weight_decay` is 'a'"),
        (
            lambda m, e: al.NCF(m.data, activation="tanh"),
            "`activation` is 'tanh', but must be one of relu, g",
        ),
        (lambda m, e: al.NCF(m.data, activation=np.tanh), "`activation` is <ufunc 'tanh'>"),
        (lambda m, e: al.NCF(m.data, seed="x"), "`seed` is 'x'"),
        (lambda m, e: al.NCF(FRAME), "A model needs ratings, as from read_ratings"),
        (lambda m, e: al.NCF(m.data).fit(device="quantum"), "`device` is 'quantum', but must be where"),
        (lambda m, e: al.NCF(m.data).fit(device=3.5), "`device` is 3.5"),
        (lambda m, e: e.verify(1, device="meta"), "`device` is 'meta'"),
        (lambda m, e: e.verify(1, recipe=3), "`recipe` is 3, but must be a Recipe"),
        (lambda m, e: e.verify(1, fit=3), r"`fit` is 3, but must be a function fit\(keep, seed\)"),
        (lambda m, e: e.verify(1, fit=lambda keep, seed: None), "`fit` must return a module or a state dict"),
        (lambda m, e: e.verify(1, fit=lambda keep, seed: {"a": 1}), "What `fit` returned does not fit NCF"),
        (lambda m, e: e.verify(1, seed=-1), "`seed` is -1"),
        (
            lambda m, e: e.verify(1, seed=2**32),
            "`seed` is 4294967296, but must be a whole number from 0 to 4,294,967,295",
        ),
        (lambda m, e: al.NCF(m.data, seed=2**70), "`seed` is 1180591620717411303424, but must be a w"),
        (lambda m, e: e.verify(1, fit=lambda keep: None), r"must be a function fit\(keep, seed\)"),
        (lambda m, e: verify(m), "What is verified is an explanation, as explain.. gives it, not NCF"),
        (lambda m, e: verify(None), "not NoneType"),
        (lambda m, e: e.sentence(""), "`verb` is '', but must be a participle"),
        (lambda m, e: e.sentence(None), "`verb` is None"),
        (lambda m, e: al.explain(m, e.user, 5, ["accent"]), r"There is no method \['accent'\]"),
        (
            lambda m, e: al.explain(m, e.user, 5, damping="x"),
            "`damping` is 'x', but must be a finite number of at least 0",
        ),
        (
            lambda m, e: al.explain(m, e.user, 5, foo=1),
            r"explain\(\) has no argument 'foo'; choose from k, margin, user, method, variant, effect, dam",
        ),
        (
            lambda m, e: al.explain(m, e.user, 5, metod="fia"),
            "no argument 'metod'; write 'method', or choose",
        ),
        (lambda m, e: al.explain(m, e.user, dampng=1), "no argument 'dampng'; write 'damping', or choose"),
        (
            lambda m, e: al.explain_users(m, [e.user], proggress=True),
            r"explain_users\(\) has no argument 'proggress'; write 'progress', or choose from",
        ),
        (
            lambda m, e: e.verify(oders=1),
            r"verify\(\) has no argument 'oders'; write 'orders', or choose fro",
        ),
        (
            lambda m, e: al.NCF(m.data, actvation="relu"),
            "NCF has no argument 'actvation'; write 'activation'",
        ),
        (lambda m, e: al.NCF(m.data, sed=1), "NCF has no argument 'sed'; write 'seed', or choose from dim"),
        (lambda m, e: al.NCF(m.data, "papr"), "NCF has no setting 'papr'; write 'paper', or choose from gen"),
        (lambda m, e: al.explain(m, e.user, float("nan")), "`k` is nan"),
        (lambda m, e: al.explain_users(m, [e.user], methods=None), "`methods` is None, but must be a list"),
        (lambda m, e: al.explain_users(m, [e.user, "x"]), "There is no user 'x' among the 14"),
        (lambda m, e: al.explain_users(m, np.array([[e.user]])), "A user is one id of 'ratings'"),
        (lambda m, e: m.user_position(3.5), "There is no user 3.5"),
        (
            lambda m, e: m.user_position("3"),
            "There is no user '3' in 'ratings', but there is 3; name that one",
        ),
        (lambda m, e: m.user_position(" 3 "), "but there is 3; name that one"),
        (
            lambda m, e: m.user_position("x"),
            "There is no user 'x' among the 14 of 'ratings'; an id is such a",
        ),
        (
            lambda m, e: m.item_position("3"),
            "There is no item '3' in 'ratings', but there is 3; name that one",
        ),
        (lambda m, e: m.user_position(np.True_), "There is no user True"),
        (
            lambda m, e: m.user_position(FRAME),
            "A user is one id of 'ratings', such as 0, not a table with the columns user, item, rating",
        ),
        (lambda m, e: m.user_position(object()), "A user is one id of 'ratings'"),
        (lambda m, e: m.item_position("y" * 10**4), "There is no item 'y{58}… among the 16"),
        (lambda m, e: al.check(None), "A model is NCF"),
    ],
)
def test_arguments_that_make_no_sense(model, explained, call, sentence):
    refused(lambda: call(model, explained), sentence)


def test_an_item_that_there_is_not_is_none_and_ids_stay_what_they_are(model):
    table = al.explain_users(model, k=2)
    missing = table["size"] == 0
    assert missing.any() and not missing.all()
    for name in ("replacement", "replacement_title"):
        assert all(value is None for value in table.loc[missing, name])
    for row in table.itertuples():
        explanation = al.explain(model, row.user, 2)
        assert explanation.replacement == row.replacement == explanation.to_frame()["replacement"][0]
    assert not any(isinstance(value, float) for value in table["replacement"])


def test_one_id_however_it_is_written(model):
    user = model.data.user_ids[3]
    for same in (int(user), np.int8(user), np.uint64(user), float(user)):
        assert model.user_position(same) == 3
    texts = fitted(al.read_ratings(FRAME.assign(user="u" + FRAME["user"].astype(str))))
    assert texts.user_position(np.str_("u3")) == texts.user_position("u3")


def test_all_items_there_are_and_no_more(model, explained):
    assert len(model.recommend(explained.user, k=10**9)) == len(
        model.network.candidates(model.user_position(explained.user))
    )
    assert al.explain(model, explained.user, 10**9).found


def test_users_once_twice_never_and_by_a_generator(model, explained):
    user, other = explained.user, model.data.user_ids[-1]
    once, twice = al.explain_users(model, [user], 5), al.explain_users(model, [user, other, user], 5)
    assert twice["user"].tolist() == [user, other, user]
    pd.testing.assert_frame_equal(twice.iloc[[0]], once)
    pd.testing.assert_frame_equal(twice.iloc[[2]].reset_index(drop=True), once)
    pd.testing.assert_frame_equal(al.explain_users(model, (each for each in [user]), 5), once)
    none = al.explain_users(model, [], 5)
    assert none.empty and none.columns.tolist() == once.columns.tolist()


def test_users_who_know_everything(knowing):
    assert knowing.recommend(99).empty and len(knowing.recommend(98)) == 1
    refused(lambda: al.explain(knowing, 99), "User 99 knows all items but 0, so that nothing could be")
    refused(lambda: al.explain(knowing, 98), "User 98 knows all items but 1")
    table = al.explain_users(knowing, [99, 3, 98], 5, ["accent", "fia"])
    assert table["user"].tolist() == [99, 99, 3, 3, 98, 98]
    assert table["recommendation"].isna().tolist() == [True, True] + 4 * [False]
    assert table["gap"].isna().tolist() == [True, True, False, False, True, True]
    assert table["removed"].iloc[0] == [] and table["size"].iloc[5] == 0


def test_copies_and_pickles_explain_and_verify_alike(model, explained):
    assert repr(explained.verify(1)) == repr(explained.verify(1))
    for twin in (pickle.loads(pickle.dumps(explained)), copy.deepcopy(explained)):
        assert twin.row() == explained.row() and repr(twin.verify(1)) == repr(explained.verify(1))
    for twin in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert al.explain(twin, explained.user, 5).row() == explained.row()


def test_a_later_fit_leaves_an_explanation_as_it_was(model):
    mine = copy.deepcopy(model)
    before = next(e for e in (al.explain(mine, user, 5) for user in mine.data.user_ids) if e.found)
    verified, sentence = before.verify(1).table, before.sentence()
    mine.seed = 7
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccentWarning)
        mine.fit()
    assert before.sentence() == sentence
    pd.testing.assert_frame_equal(before.verify(1).table, verified)


def test_threads_do_not_disturb_one_another(model):
    wanted = [al.explain(model, user, 5).row() for user in model.data.user_ids]
    found = {}

    def work(number):
        found[number] = [al.explain(model, user, 5).row() for user in model.data.user_ids]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3 and all(each == wanted for each in found.values())


def test_files(model, explained, tmp_path):
    data = al.read_ratings(FRAME)
    model.save(tmp_path / "new" / "model.npz")
    back = al.NCF.load(tmp_path / "new" / "model.npz", data)  # its setting, which has no name, is in the file
    assert back.setting == model.setting and repr(back) == repr(model)
    assert repr(al.explain(back, explained.user, 5).verify(1)) == repr(explained.verify(1))
    good = (tmp_path / "new" / "model.npz").read_bytes()

    refused(lambda: model.save(tmp_path), "is a folder; name a file in it, such as model.npz")
    refused(lambda: model.save(None), "A model is kept in a file, such as 'model.npz', not in None")
    refused(lambda: model.save(tmp_path / "new" / "model.npz" / "x.npz"), "cannot be written")
    assert (tmp_path / "new" / "model.npz").read_bytes() == good
    assert [path.name for path in tmp_path.rglob("*")] == ["new", "model.npz"]

    broken = tmp_path / "broken.npz"
    for content in (b"", good[:200], good[: len(good) // 2], good[:-10]):
        broken.write_bytes(content)
        refused(lambda: al.NCF.load(broken, data), r"broken\.npz cannot be read")
    for header in ("{}", "[1]", '{"kind": "NCF"}'):
        np.savez(broken, header=header)
        refused(
            lambda: al.NCF.load(broken, data),
            "cannot be read as a model that save",
        )
    refused(lambda: al.NCF.load(tmp_path / "nowhere.npz", data), r"There is no file .*nowhere\.npz; correct")
    refused(lambda: al.NCF.load(tmp_path, data), "is a folder")
    refused(lambda: al.RCF.load(tmp_path / "new" / "model.npz", data), "holds NCF, not RCF")
    refused(lambda: al.NCF.load(tmp_path / "new" / "model.npz", FRAME), "A model needs ratings")
    refused(
        lambda: al.NCF.load(tmp_path / "new" / "model.npz", al.prepare(data, holdout=0.5)),
        "was fitted to other data than 'ratings'; fit the model again",
    )


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("Zoë 日本 👨‍👩‍👧", "Zoë 日本 👨‍👩‍👧"),
        ('The "Best" of {0} %s \\', 'The "Best" of {0} %s \\'),
        ("two\nlines\tof\r\ntext", "two lines of text"),
        ("\x1b[31mred\x00", "[31mred"),
        ("x" * 10_000, "x" * 119 + "…"),
        ("  ", None),
    ],
)
def test_titles_in_a_sentence(model, explained, title, shown):
    items = pd.DataFrame({"item": range(16), "title": title})
    data = al.prepare(al.read_ratings(FRAME, items))
    titled = copy.copy(model)
    titled.data = data
    sentence = al.explain(titled, explained.user, 5).sentence()
    removed = [str(each) if shown is None else shown for each in explained.removed]
    instead = (
        explained.replacement if shown is None else shown,
        explained.recommendation if shown is None else shown,
    )
    joined = f"{', '.join(removed[:-1])} and {removed[-1]}" if removed[1:] else removed[0]
    assert sentence == (
        f"Had you not rated {joined}, you would have been recommended {instead[0]} instead of {instead[1]}."
    )


def test_memory_is_said_and_refused_before_any_work(monkeypatch):
    said = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccentWarning)
        model = al.NCF(al.read_ratings(FRAME), QUICK).fit(progress=said.append)
    needed = memory.stack_bytes(model.network, RECIPE, 1)
    assert said[1].endswith(f"and at most {needed / 2**20:,.0f} MiB")

    def never(*arguments, **options):
        raise AssertionError("this is work")

    monkeypatch.setattr("accent_lib.front.fitted.search", never)
    monkeypatch.setattr("accent_lib.front.fitted.train", never)
    sentence = r"on 14 users and 16 items may take .* MiB, but half of the free memory is .*; raise `min_rat"
    # What the tables alone would take is known before there is a network.
    refused(lambda: al.NCF(al.read_ratings(FRAME), QUICK, dim=10**11).fit(), sentence)
    monkeypatch.setattr("accent_lib.front.fitted.available", lambda device: needed - 1)
    refused(lambda: al.NCF(al.read_ratings(FRAME), QUICK).fit(), sentence)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda m, e: al.wrap(m.network, m.data, user_paramters="a"), "user_paramters"),
        (lambda m, e: al.read_ratings(FRAME, raing="rating"), "raing"),
        (lambda m, e: al.NCF(m.data).fit(progres=True), "progres"),
        (lambda m, e: verify(e, oders=1), "oders"),
    ],
)
def test_other_misspelt_arguments_are_named_by_python(model, explained, call, name):
    with pytest.raises(TypeError, match=rf"unexpected keyword argument '{name}'"):
        call(model, explained)


def test_one_is_not_many(model, explained):
    assert repr(explained.verify(1)).count(" of 1 order, ") == 1 and " orders" in repr(explained.verify(2))
    said, one = [], replace(QUICK, rounds=(Round(1, replace(RECIPE, steps=1)),))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccentWarning)
        al.NCF(model.data, one).fit(progress=said.append)
    assert said[1].startswith(
        "NCF: 1 start, 1 step in all, about a second if nothing else runs, and at most "
    )
    assert said[2].startswith("round 1: 1 start x 1 step in ")
    strict = al.prepare(al.read_ratings(FRAME), min_positive=1, min_negative=1)
    assert "at least 1 positive and 1 negative rating." in strict.describe()
