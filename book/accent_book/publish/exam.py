"""An examination of twelve questions with its marking scheme; the numbers of each seed are others."""

from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from math import comb, sqrt
from pathlib import Path
from random import Random

import numpy as np

from accent_book.publish.place import renewed
from accent_book.runs.notebooks import project_root, short
from accent_lib import explainers
from accent_lib.arguments import whole

ACTIONS = "wxyz"


@dataclass(frozen=True)
class Question:
    """What is asked, and how the answer is marked.

    Attributes
    ----------
    title, text : str
    marks : tuple of (int, str)
        Points, and what they are given for.
    """

    title: str
    text: str
    marks: tuple

    @property
    def points(self) -> int:
        """Of the whole question."""
        return sum(points for points, _ in self.marks)


def exam(seed: int = 0, to=None) -> list[Path]:
    """Write an examination and its marking scheme.

    Parameters
    ----------
    seed : int
        Of the numbers in the questions.
    to : path, optional
        The folder; ``_build/exam`` by default.

    Returns
    -------
    list of Path
        ``exam-<seed>.md`` for the students, and ``exam-<seed>-key.md``.

    Raises
    ------
    AccentError
        If the seed is no whole number, or the folder holds what no such command made.
    """
    seed = whole(seed, "seed", 0)
    root = project_root()
    folder, drawn = Path(to or root / "_build" / "exam"), questions(seed)
    total = sum(question.points for question in drawn)
    head = (
        f"# Examination: counterfactual explanations\n\n{total} points, 90 minutes. Paper and pencil. Form"
        f" {seed}."
    )
    asked, marked = [head], [f"{head}\n\n**Marking scheme: not for students.**"]
    for number, question in enumerate(drawn, 1):
        begin = f"## {number}. {question.title} ({question.points} points)"
        asked.append(f"{begin}\n\n{question.text}")
        rows = "\n".join(f"| {points} | {what} |" for points, what in question.marks)
        marked.append(f"{begin}\n\n| points | for |\n|---|---|\n{rows}")
    names = f"exam-{seed}.md", f"exam-{seed}-key.md"
    with renewed(folder) as made:
        for name, parts in zip(names, (asked, marked), strict=True):
            (made / name).write_text("\n\n".join(parts) + "\n", "utf-8")
    print(f"Examination of {len(drawn)} questions, and its key: {short(folder.absolute(), root)}")
    return [folder / name for name in names]


def questions(seed: int) -> list[Question]:
    """The twelve questions of a seed.

    Examples
    --------
    >>> drawn = questions(7)
    >>> len(drawn), sum(question.points for question in drawn)
    (12, 100)
    """
    draw = Random(seed)
    slate = _slate(draw)
    return [
        _pruning(draw),
        _one_parameter(draw),
        _own_term(draw),
        _accent(*slate),
        _baselines(*slate),
        _out_of_reach(*slate),
        GREEDY,
        _attention(draw),
        _cost(draw),
        _mcnemar(draw),
        _interval(draw),
        FAILURE,
    ]


def _pruning(draw):
    users = [(draw.randrange(5, 10), draw.randrange(12, 60)), *_users(draw, 3)]
    draw.shuffle(users)
    rows = "\n".join(f"| {name} | {p} | {n} |" for name, (p, n) in zip("ABCD", users, strict=True))
    stay = {name: (p, n) for name, (p, n) in zip("ABCD", users, strict=True) if min(p, n) >= 10}
    left = ", ".join(f"{name}: {p - p // 5 + n - n // 5}" for name, (p, n) in stay.items())
    return Question(
        "Which ratings are learned?",
        "A user stays who has at least ten positive and ten negative ratings. Of each who stays, the last "
        "fifth of the positive and the last fifth of the negative ratings, rounded down, are held out. Who "
        "stays, and how many ratings of hers are learned? Why are a user's *last* ratings held out?\n\n"
        f"| user | positive | negative |\n|---|---|---|\n{rows}",
        (
            (3, f"{', '.join(stay)} stay"),
            (3, f"ratings learned: {left}"),
            (2, "a recommender foretells what comes later: drawn at random, the future would be learned"),
        ),
    )


def _users(draw, count):
    return [(draw.randrange(10, 60), draw.randrange(10, 40)) for _ in range(count)]


def _one_parameter(draw):
    while True:
        x = [draw.randrange(1, 4) for _ in range(3)]
        y = [draw.randrange(1, 6) for _ in range(3)]
        curvature = sum(a * a for a in x) + 1
        start = Fraction(sum(a * b for a, b in zip(x, y, strict=True)), curvature)
        residual = y[0] - x[0] * start
        if residual and len(set(zip(x, y, strict=True))) == 3:
            break
    estimate, truth = -x[0] * residual / curvature, -x[0] * residual / (curvature - x[0] ** 2)
    rated = "; ".join(f"$x = {a}$, $y = {b}$" for a, b in zip(x, y, strict=True))
    return Question(
        "Influence of a rating",
        "A user's one parameter $\\theta$ gives a film the score $x\\theta$. Training minimises"
        f" $\\frac13\\left[\\sum_z (y_z - x_z\\theta)^2 + \\theta^2\\right]$ over her three ratings: {rated}."
        " Compute $\\hat\\theta$ and the Hessian; by how much $\\theta$ moves without the first rating, by"
        " Eq. 4 and in truth; and say where the difference comes from.",
        (
            (2, f"$\\hat\\theta = {_tex(start)}$"),
            (2, f"the Hessian is $2 \\cdot {curvature} / 3 = {_tex(Fraction(2 * curvature, 3))}$"),
            (3, f"Eq. 4: ${_tex(estimate)}$"),
            (3, f"in truth: ${_tex(truth)}$"),
            (2, "the Hessian still holds the curvature of the rating that is removed, its own term"),
        ),
    )


def _own_term(draw):
    h, tenths = Fraction(1, draw.choice([3, 4, 5])), draw.randrange(2, 7)
    estimate = Fraction(tenths, 10)
    return Question(
        "The own term",
        f"For a model with squared error, linear in its parameters, one rating makes $h = {_tex(h)}$ of the"
        f" curvature in its own direction. By Eq. 4 a score falls by {float(estimate)} when it is removed. By"
        " how much does it fall in truth? Can influence of this kind be too large in size, for one rating?"
        " And what does that say about the sum of many?",
        (
            (3, f"${_tex(estimate)} / (1 - h) = {_tex(estimate / (1 - h))}$"),
            (1, "no: $h$ lies between 0 and 1, so the estimate is too small in size"),
            (
                2,
                (
                    "a sum adds single effects; ratings that share a direction hold it together, so a set"
                    " does more than its sum"
                ),
            ),
        ),
    )


def _slate(draw):
    """Scores and influences in eighths of a star, for which the methods differ and B is the cheaper one."""
    while True:
        gaps = (draw.randrange(2, 5), draw.randrange(5, 8))
        influence = [[draw.randrange(-3, 8) for _ in ACTIONS] for _ in "RAB"]
        closes = [[r - i for r, i in zip(influence[0], row, strict=True)] for row in influence[1:]]
        if any(len(set(values)) < len(ACTIONS) for values in (influence[0], *closes)):
            continue  # a tie, in which the order of the letters would decide
        needed = [_needed(gap, values) for gap, values in zip(gaps, closes, strict=True)]
        if not 1 < needed[1] < min(needed[0], 4):
            continue
        scores = draw.randrange(30, 40) - np.array([0, *gaps])
        sets = [method(scores / 8, np.array(influence) / 8) for method in METHODS.values()]
        if None not in sets and len({tuple(sorted(each.removed)) for each in sets}) == 3:
            return scores, np.array(influence)


METHODS = {"ACCENT": explainers.accent, "FIA": explainers.fia, "pure FIA": explainers.pure_fia}


def _needed(gap, closes):
    """How many actions fill a gap; more than there are if none do."""
    for size, closed in enumerate(accumulate(sorted(closes, reverse=True)), 1):
        if closed > gap:
            return size
    return len(closes) + 1


def _table(scores, influence):
    rows = "\n".join(
        f"| {name} | {score} | {' | '.join(map(str, row))} |"
        for name, score, row in zip("RAB", scores, influence.tolist(), strict=True)
    )
    return f"| item | score | {' | '.join(ACTIONS)} |\n|---|---|{'---|' * len(ACTIONS)}\n{rows}"


def _letters(explanation):
    return ", ".join(ACTIONS[z] for z in explanation.removed)


def _accent(scores, influence):
    closes = influence[0] - influence[1:]
    gaps = scores[0] - scores[1:]
    mine = explainers.accent(scores / 8, influence / 8)
    after = scores - influence[:, list(mine.removed)].sum(1)
    lines = "; ".join(
        f"{name}: gap {gap}, closed by {', '.join(map(str, row))}"
        for name, gap, row in zip("AB", gaps, closes.tolist(), strict=True)
    )
    return Question(
        "ACCENT by hand",
        "R is recommended; A and B are the other items of the slate. The table has scores, and what each"
        " score loses when one of the actions w to z is removed (eighths of a star). Compute the gaps and"
        " the influences on them, ACCENT's set and its replacement, the scores that are expected without it,"
        f" and say the explanation as a sentence.\n\n{_table(scores, influence)}",
        (
            (4, lines),
            (3, f"the set {_letters(mine)} for {'RAB'[mine.replacement]}"),
            (2, f"scores of R, A and B without it: {', '.join(map(str, after.tolist()))}"),
            (
                1,
                (
                    f"“Had you not done {_letters(mine)}, you would have been recommended"
                    f" {'RAB'[mine.replacement]} instead of R.”"
                ),
            ),
        ),
    )


def _baselines(scores, influence):
    marks = [
        (4, f"{name}: {_letters(method(scores / 8, influence / 8))}, in this order")
        for name, method in list(METHODS.items())[1:]
    ]
    return Question(
        "The baselines on the same user",
        "Which actions do FIA and pure FIA remove for the table of the question before, in which order? What"
        " do both overlook?",
        (
            *marks,
            (
                2,
                (
                    "that an action may hold up the other item as much: they order by the influence on R, not"
                    " on the gap"
                ),
            ),
        ),
    )


def _out_of_reach(scores, influence):
    closes = influence[0] - influence[1:]
    most = np.clip(closes, 0, None).sum(1)
    least = int((most - (scores[0] - scores[1:])).max())
    return Question(
        "Out of reach",
        "In the same table the score of R is raised and all else stays. From how many eighths of a star on is"
        " there no counterfactual set? Why is a gap of exactly zero not enough?",
        (
            (2, f"all helpful actions together close {most[0]} of the gap to A and {most[1]} of that to B"),
            (3, f"from {least} eighths on"),
            (1, "at zero both score the same, and the recommendation has not been replaced"),
        ),
    )


GREEDY = Question(
    "Why greedy?",
    "Influences add up. Prove that for one candidate no set of actions that fills the gap is smaller than the"
    " one that takes them by decreasing influence on the gap. Which sentence of your proof would fail if two"
    " actions acted together otherwise than alone?",
    (
        (3, "no $m$ numbers of a list have a larger sum than its $m$ largest"),
        (2, "so a set of $m$ actions fills the gap only if the $m$ largest do"),
        (1, "the greedy order stops at the first such $m$"),
        (2, "the first: what a set closes would not be a sum of numbers that each action has by itself"),
    ),
)


def _attention(draw):
    weights = sorted(draw.sample([1, 2, 3, 4, 5, 6, 9], 3))
    while sqrt(sum(weights)) % 1 or sqrt(sum(weights[:-1])) % 1:
        weights = sorted(draw.choices([1, 2, 3, 4, 5, 6, 7, 9, 11, 12, 13, 16], k=3))
    whole_sum, rest = (int(sqrt(sum(part))) for part in (weights, weights[:-1]))
    return Question(
        "What a history weighs",
        "RCF gives the films of a history the weights $w_j / \\sqrt{\\sum_i w_i}$. A history has three"
        f" films with $w$ = {', '.join(map(str, weights))}. What do the weights add up to, and what without"
        " the film of the largest? What would a softmax have answered to both? Give an example in which the"
        " film with the largest attention is the wrong one to remove.",
        (
            (3, f"{whole_sum}, and {rest} without it"),
            (2, "one, both times"),
            (
                3,
                (
                    "any in which it speaks for the other item as loudly: removing it lowers both scores, and"
                    " the gap stays"
                ),
            ),
        ),
    )


def _cost(draw):
    users, orders, together = draw.choice([240, 360, 480]), draw.choice([3, 5]), draw.choice([8, 12])
    alone, shared = users * orders, users // together * orders
    seconds = draw.choice([2, 5])
    return Question(
        "What verification costs",
        f"The sets of {users} users are verified in {orders} orders of the batches, with a control in each"
        f" order. A training takes {seconds} seconds. How many trainings are that, and how long do they take"
        f" on four cores, with one user's set left out in each, and with those of {together} users together?"
        " What may go wrong in the second case, and how would you find out?",
        (
            (3, f"{alone} and {orders} controls; {_minutes((alone + orders) * seconds / 4)}"),
            (2, f"{shared} and {orders} controls; {_minutes((shared + orders) * seconds / 4)}"),
            (
                3,
                (
                    "what others lost moves the shared parameters, too; verify some sets both ways and"
                    " compare the verdicts"
                ),
            ),
        ),
    )


def _minutes(seconds):
    return f"{seconds / 60:.1f} minutes"


def _mcnemar(draw):
    losses, wins = draw.randrange(0, 4), draw.randrange(6, 11)
    n = wins + losses
    p = sum(comb(n, heads) for heads in range(wins, n + 1)) / 2**n
    verdict = "below" if p < 0.05 else "not below"
    return Question(
        "Two methods",
        f"A's set holds and B's does not for {wins} users, the reverse for {losses}; for 40 both hold, for 31"
        " neither. What is the exact one-sided p-value of McNemar's test (as a sum of binomial"
        " coefficients)? Why do the 71 others not count? It was the best of ten comparisons that were made:"
        " what follows?",
        (
            (3, f"$\\sum_{{h={wins}}}^{{{n}}} \\binom{{{n}}}{{h}} / 2^{{{n}}} = {p:.4f}$, {verdict} 0.05"),
            (
                2,
                (
                    "they do not tell the methods apart; if both are equally good, each of the rest is a toss"
                    " of a fair coin"
                ),
            ),
            (3, f"with Holm's correction the smallest of ten is multiplied by ten: {min(1, 10 * p):.3f}"),
        ),
    )


def _interval(draw):
    users = draw.choice([100, 400])
    half, control = 196 / (2 * sqrt(users)), draw.randrange(8, 15)
    return Question(
        "A share and its control",
        f"Of {users} users, 50% of the sets hold. In the control, trained anew with nothing removed, the"
        f" replacement leads for {control}%. Give a 95% interval for the 50%. May one say that half of the"
        " explanations are true? How large would the study have to be for an interval of two points to"
        " either side?",
        (
            (3, f"50% ± {half:.1f} points (1.96 times the root of 0.25 / {users})"),
            (
                3,
                (
                    "no: that the set holds is not yet its doing; report the control beside it, on the same"
                    " users and orders"
                ),
            ),
            (2, "about 2,400 users: (0.98 / 0.02)²"),
        ),
    )


FAILURE = Question(
    "An explanation that did not come true",
    "“Had you not rated these two films …” A user withdraws her two ratings, the recommender is trained anew,"
    " and she is shown the old recommendation again. Name three causes, and for each the measurement that"
    " would tell whether it was this one. What should the sentence have said?",
    (
        (
            2,
            (
                "the estimate falls short of the block's true move (own term, curvature): compare it with a"
                " refit of her block"
            ),
        ),
        (2, "the shared parameters move, too: retrain all and compare with the refit"),
        (2, "chance of training: train with nothing removed, in several orders"),
        (
            2,
            (
                "that it is an estimate, how far past the line it lands, or that it was verified and how"
                " often it held"
            ),
        ),
    ),
)


def _tex(value):
    value = Fraction(value)
    if value.denominator == 1:
        return str(value)
    return f"{'-' if value < 0 else ''}\\tfrac{{{abs(value.numerator)}}}{{{value.denominator}}}"
