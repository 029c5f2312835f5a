"""The examination: what its key says is so, for every seed."""

import itertools
import re
from fractions import Fraction

import numpy as np
import pytest

from accent_book.__main__ import main
from accent_book.publish.exam import ACTIONS, questions
from accent_lib.errors import AccentError

SEEDS = range(12)


@pytest.fixture(params=SEEDS, scope="module")
def drawn(request):
    return {question.title: question for question in questions(request.param)}


def fraction(text):
    """The number that a mark shows."""
    sign, whole, above, below = re.search(r"(-?)(?:(\d+)|\\tfrac\{(\d+)\}\{(\d+)\})\$$", text).groups()
    value = Fraction(int(whole)) if whole else Fraction(int(above), int(below))
    return -value if sign else value


def table(text):
    rows = [row.strip("| ").split(" | ") for row in text.splitlines() if re.match(r"\| [RAB] \|", row)]
    numbers = np.array([[int(cell) for cell in row[1:]] for row in rows])
    return numbers[:, 0], numbers[:, 1:]


def subsets():
    return (list(each) for size in range(5) for each in itertools.combinations(range(4), size))


def filled(scores, influence, removed):
    after = scores - influence[:, removed].sum(1)
    return after[0] < after[1:].max()


def test_there_are_twelve_questions_of_a_hundred_points(drawn):
    assert len(drawn) == 12 and sum(question.points for question in drawn.values()) == 100


def test_the_influence_of_a_rating_is_that_of_the_minima(drawn):
    question = drawn["Influence of a rating"]
    pairs = re.findall(r"\$x = (\d)\$, \$y = (\d)\$", question.text)
    x, y = (np.array(values, float) for values in zip(*pairs, strict=True))

    def minimum(kept):
        return np.linalg.lstsq(np.append(x[kept], 1)[:, None], np.append(y[kept], 0), rcond=None)[0][0]

    start, hessian, estimate, truth = (float(fraction(what)) for _, what in question.marks[:4])
    assert np.isclose(start, minimum([0, 1, 2])) and np.isclose(truth, minimum([1, 2]) - start)
    # Of Eq. 4, by differences of the objective.
    risk = lambda t: (((y - x * t) ** 2).sum() + t**2) / 3  # noqa: E731
    curved = (risk(start + 1e-3) + risk(start - 1e-3) - 2 * risk(start)) / 1e-6
    loss = lambda t: (y[0] - x[0] * t) ** 2  # noqa: E731
    slope = (loss(start + 1e-5) - loss(start - 1e-5)) / 2e-5
    assert np.isclose(hessian, curved, rtol=1e-4) and np.isclose(estimate, slope / curved / 3, rtol=1e-3)


def test_no_set_is_smaller_than_the_one_of_the_key(drawn):
    question = drawn["ACCENT by hand"]
    scores, influence = table(question.text)
    letters, replacement = re.search(r"the set ([wxyz, ]+) for ([AB])", question.marks[1][1]).groups()
    removed = [ACTIONS.index(letter) for letter in letters.split(", ")]
    after = scores - influence[:, removed].sum(1)
    assert "RAB"[after.argmax()] == replacement and filled(scores, influence, removed)
    assert min(len(each) for each in subsets() if filled(scores, influence, each)) == len(removed)
    assert question.marks[2][1].endswith(", ".join(map(str, after.tolist())))


def test_out_of_reach_is_where_no_set_is_left(drawn):
    scores, influence = table(drawn["ACCENT by hand"].text)
    least = int(re.search(r"from (\d+) eighths", drawn["Out of reach"].marks[1][1])[1])
    for more, reached in ((least, False), (least - 1, True)):
        raised = scores + [more, 0, 0]
        assert any(filled(raised, influence, each) for each in subsets()) == reached


def test_what_a_history_weighs_comes_out_whole(drawn):
    question = drawn["What a history weighs"]
    weights = [int(w) for w in re.search(r"\$w\$ = ([\d, ]+)\.", question.text)[1].split(", ")]
    before, after = (int(number) for number in re.findall(r"\d+", question.marks[0][1]))
    assert len(weights) == 3 and np.isclose(before, sum(np.array(weights) / np.sqrt(sum(weights))))
    assert np.isclose(after, np.sqrt(sum(sorted(weights)[:2])))


def test_the_command_writes_both_and_nothing_of_the_key_to_students(tmp_path, capsys):
    for _ in range(2):
        assert main(["exam", "--seed", "5", "--to", str(tmp_path / "exam")]) == 0
    asked, key = ((tmp_path / "exam" / f"exam-5{kind}.md").read_text("utf-8") for kind in ("", "-key"))
    for question in questions(5):
        assert question.text in asked and question.title in key
        assert all(what not in asked and what in key for _, what in question.marks)
    assert main(["exam", "--seed", "6", "--to", str(tmp_path / "exam")]) == 0
    assert (tmp_path / "exam" / "exam-6.md").read_text("utf-8") != asked
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "exam-5.md").write_text("mine")
    capsys.readouterr()
    assert main(["exam", "--to", str(tmp_path / "mine")]) == 1
    assert "holds files that no such command made" in capsys.readouterr().err
    assert (tmp_path / "mine" / "exam-5.md").read_text() == "mine"


@pytest.mark.parametrize("seed", [-1, 1.5, "7"])
def test_a_seed_is_a_whole_number(seed, tmp_path):
    from accent_book.publish.exam import exam

    with pytest.raises(AccentError, match="`seed` is .*must be a whole number"):
        exam(seed, tmp_path)
