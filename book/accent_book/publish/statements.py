"""What the book says about the sample in words, each with the check that computes it.

A check is a function of the values that a run of the sample glued into its chapters. What is said in several
places stands at one check, so that the places cannot contradict one another. The build of a book of the
sample tells which checks do not hold (``book/_ext/statements.py``). ``python -m
accent_book.experiments.sample`` keeps the values in ``data/results``, for tests that cannot run the sample
themselves.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from accent_book.publish.plain import glued, read_notebook

#: The chapters that are about the sample in a run of the sample.
CHAPTERS = (
    "00_tour",
    "01_data",
    "02_training",
    "02b_rcf",
    "03_influence",
    "03b_trust",
    "03c_rcf_influence",
    "04_explanations",
    "04b_attention",
    "05_verification",
    "06_analysis",
    "10_your_data",
    "11_own_model",
)
#: Cells of the tour that show a sentence; it glues nothing.
TOUR = ("tour-06", "tour-10", "tour-12")
#: Check: places where it is said.  A place is a page or a notebook and a part of its text, or what a notebook
#: glues and a part of that: ``"02_training::quality_verdict"``.
STATEMENTS: dict[Callable, tuple[tuple[str, str], ...]] = {}


class Values:
    """Values of a run, by chapter and name: ``values("02_training", "worse")``, a number if it is one."""

    def __init__(self, chapters: Mapping[str, Mapping[str, str]]):
        self.chapters = chapters

    def __call__(self, chapter: str, name: str):
        """A number, or the text where it is none."""
        text = self.chapters[chapter][name].strip("'\"")
        try:
            return float(text.rstrip("%").replace(",", ""))
        except ValueError:
            return text

    def of(self, chapter: str, *names: str) -> list:
        """Several values of a chapter."""
        return [self(chapter, name) for name in names]

    def numbers(self, chapter: str, name: str) -> list[float]:
        """All numbers of a text, such as one for each model."""
        return [float(text) for text in re.findall(r"[+-]?\d+(?:\.\d+)?", self.chapters[chapter][name])]


def read_values(folder: Path) -> dict[str, dict[str, str]]:
    """What executed chapters glued, and what the cells of the tour show, by chapter and name."""
    chapters = {}
    for name in CHAPTERS:
        cells = read_notebook(folder / f"{name}.ipynb").cells
        chapters[name] = glued(cells)
        chapters[name] |= {cell.id: _shown(cell) for cell in cells if cell.id in TOUR}
    return chapters


def _shown(cell):
    data = [output.get("data", {}) for output in cell.get("outputs", ())]
    return "".join(one.get("text/markdown", one.get("text/plain", "")) for one in data)


def not_true(chapters: Mapping[str, Mapping[str, str]]) -> list[str]:
    """The checks that do not hold, and where the book says what they compute."""
    values = Values(chapters)
    return [
        f"{check.__name__}: {'; '.join(f'{place}: {text}' for place, text in places)}"
        for check, places in STATEMENTS.items()
        if not check(values)
    ]


def said(*places: tuple[str, str]) -> Callable:
    """Note where the book says what a check computes."""

    def note(check):
        STATEMENTS[check] = places
        return check

    return note


# --- the tour


@said(("00_tour", "(Unless you change `user`, her explanation is short and comes true.)"))
def the_tours_explanation_comes_true(s):
    """Ratings that it names, and orders in which it held, also as first of all items, and the control."""
    held, orders, first, control, _ = s.numbers("00_tour", "tour-10")
    return held == orders == first > control == 0 and s("00_tour", "tour-06").count("(") - 2 <= 3


# --- data


@said(
    ("01_data", "A mean well above the median is a sign of a *heavy tail*"),
    ("01_data", "Some users and {glue:text}`films` have many more ratings than others"),
)
def tails_are_heavy(s):
    """Mean and median of the histories; the share of the most rated tenth of the films."""
    mean, median, share = s.of("01_data", "mean_history", "median_history", "head_share")
    return mean > 1.1 * median and share > 0.2


@said(
    ("01_data", "fall in the *same second*"),
    ("01_data", "and two honest reproductions can differ there"),
)
def equal_times_occur(s):
    """Boundaries between training and held-out ratings that fall in one second."""
    return s("01_data", "ties") > 0


@said(
    ("01_data", "So the hold-out tests whether the model fills in a user's tastes."),
    ("01_data", "the hold-out splits each user's tastes, not time"),
)
def the_hold_out_is_no_forecast(s):
    """Share of the held-out ratings that are older than a training rating of the same user."""
    return s("01_data", "older") > 0.05


@said(
    ("01_data", "what is rare, such as a shared director, may say more"),
    ("02b_rcf", "Where a type is rare, as directors are, few {glue:text}`films` of a history share a value"),
)
def directors_are_rare(s):
    """Pairs of films that share a director, beside those that share a genre."""
    shares = dict(
        (kind, float(n))
        for n, kind in re.findall(r"([\d.]+)% by (\w+)", s.chapters["01_data"]["pairs_by_type"])
    )
    return shares.get("director", 100) < 0.1 * shares.get("genre", 0)


@said(
    ("02b_rcf", "Most of it, {glue:text}`rcf_strongest_share:.0%`, goes along relations of type"),
)
def one_type_gets_most_attention(s):
    """Share of the attention that goes to the strongest type of relation."""
    return s("02b_rcf", "rcf_strongest_share") > 0.5


@said(
    ("01_data", "One that is *hard to tell* from the liked one"),
    ("01_data", "each\nwith a disliked {glue:text}`film` that is hard to tell\n  from the liked one"),
    ("02b_rcf", "The disliked {glue:text}`film` is chosen to make this hard"),
)
def triples_are_hard_to_tell(s):
    """Share of the triples in which both films are related."""
    return s("01_data", "related_triples") > 0.5


@said(("01_data", "The price is repetition: one disliked {glue:text}`film` appears in"))
def disliked_films_are_repeated(s):
    """Triples of one user in which one disliked film appears."""
    return s("01_data", "most_uses") > 5


# --- training


@said(
    ("02_training::quality_verdict", "So it has learned tastes that the means do not hold."),
    ("02_training", "An average hides those for whom the model is worse than no model."),
    ("book/reference/limits.md", "A model that knows little has explanations, too"),
)
def ncf_beats_means_but_not_for_everybody(s):
    """Held-out errors and pairs in order of NCF and of means; users for whom means are better."""
    ours, means = s.of("02_training", "rmse_model", "rmse_baseline")
    in_order, of_means, worse = s.of("02_training", "pairs_model", "pairs_baseline", "worse")
    return ours < means and in_order > of_means and 0 < worse < 0.5


@said(
    ("02_training", "The difference from the held-out error is what it has learned by heart."),
    ("02_training", "Without a restraint such a model learns its training ratings by heart."),
    ("10_your_data", "In [Training](02_training) the paper's network learned the ratings by heart."),
)
def ncf_learns_by_heart(s):
    """NCF's error on training ratings, beside that on held-out ones."""
    training, held_out = s.of("02_training", "rmse_training", "rmse_model")
    return training < 0.5 * held_out


@said(
    ("02_training", "it ends in very different places\ndepending on where it starts"),
    ("02_training", "With one start, luck decides which model is explained."),
    ("02_training", "end in different places; the kept one has an objective of"),
    ("book/teaching.md", "Training from many starts ends in many places."),
)
def starts_end_apart(s):
    """Range of the objectives after the first round."""
    best, worst = s.of("02_training", "first_best", "first_worst")
    return worst > 1.1 * best


@said(
    ("02_training::units_verdict", "So a start with more living units tends to do better."),
    ("02_training", "A start with few ways to tell users apart recommends few"),
)
def living_units_help(s):
    """Rank correlation of living units and objective; the films that starts recommend."""
    correlation, low, high = s.of("02_training", "units_correlation", "films_low", "films_high")
    return correlation < -0.3 and low < high


@said(
    ("02_training", "a dead unit comes back only if the layers below happen to move its input"),
    ("02_training", "- Units die, and weight decay can switch off the whole GMF branch"),
)
def units_die_and_seldom_come_back(s):
    """Living units of eight, and how often a start had more of them after a round."""
    alive, revived, continued = s.of("02_training", "units_high", "revived", "n_continued")
    return alive < 8 and revived < continued / 2


@said(
    ("02_training::gmf_verdict", "It is alive and does part of the work."),
    ("02_training::gmf_prediction", "It is larger, so the branch should live."),
    ("04_explanations::told_same", "its GMF branch is alive, or its units tell the films apart"),
)
def the_gmf_branch_lives(s):
    """What the branch needs and has at the start; its spread, and starts in which it collapsed."""
    needed, initial = s.of("02_training", "needed", "initial")
    spread, collapsed = s.of("02_training", "gmf_kept", "collapsed")
    return initial > needed and spread > 0.1 and collapsed == 0


@said(
    ("02_training", "A higher rate covers the same distance in fewer steps"),
    ("02_training", "the\npaper's constant rate stands at"),
)
def a_falling_rate_pays(s):
    """Objectives with the largest budget of steps."""
    best, paper = s.of("02_training", "best_mean", "paper_mean")
    return s("02_training", "best_recipe").startswith("falling") and best < paper


@said(
    ("02b_rcf", "A loss this close to zero has a consequence"),
    ("03c_rcf_influence", "Because RCF trains until there is nothing left to learn."),
    ("03c_rcf_influence", "A fully learned triple has no gradient left."),
    ("05_verification", "RCF has no weight decay and ends with a loss near zero"),
    ("05_verification", "RCF's loss is near zero, and so are its gradients"),
)
def rcf_learns_its_triples_by_heart(s):
    """RCF's objective, its training triples in order, and the loss of the median triple of a user."""
    objective, in_order = s.of("02b_rcf", "rcf_objective", "rcf_training")
    return objective < 0.05 and in_order > 0.99 and s("03c_rcf_influence", "rcf_loss") < 1e-3


@said(
    (
        "02b_rcf",
        "For recommending, stop where the held-out pairs are best; what comes later is learned by heart.",
    ),
    ("02b_rcf", "The paper trains far beyond it."),
)
def rcf_is_best_before_the_end(s):
    """The epoch that is best for held-out pairs."""
    best, last = s.of("02b_rcf", "rcf_best_epoch", "rcf_epochs")
    return best < last and s("02b_rcf", "rcf_best") > s("02b_rcf", "rcf_held_out")


@said(("02b_rcf::rcf_type_verdict", "The first level has learned next to nothing"))
def types_get_about_the_same_weight(s):
    """Range of the weights of the first level."""
    low, high = s.of("02b_rcf", "rcf_type_low", "rcf_type_high")
    return high < 1.5 * low


# --- influence


@said(
    ("03_influence", "Those with the {glue:text}`films`' parameters and with the layers are not."),
    ("03_influence", "FIA leaves all of that coupling out."),
    ("03_influence", "silent about all that the block is coupled to"),
)
def the_block_is_coupled(s):
    """Share of the squared second derivatives that lies outside the block."""
    return sum(s.of("03_influence", "share_items", "share_layers")) > 10


@said(
    ("04_explanations::told_scores", "Scores are predicted ratings"),
    ("04_explanations::held_up_by", "weight decay"),
)
def the_model_that_is_looked_at_is_ncf(s):
    """Its name, and its influence."""
    return s.of("04_explanations", "model_name", "variant") == ["NCF", "objective"]


@said(
    ("03_influence", "The Hessians are harmless."),
    ("03_influence", "which double precision hardly notices"),
    ("04_explanations", "The Hessians are safe to solve"),
)
def hessians_are_safe(s):
    """Smallest eigenvalues, their floor, and the worst condition numbers."""
    floor, least = s.of("03_influence", "floor", "least")
    worst = max(s("03_influence", "worst_condition"), s("04_explanations", "condition"))
    return min(least, s("04_explanations", "smallest_eigenvalue")) > 0.999 * floor and worst < 1e8


@said(
    ("03_influence", "and so falls short of what a refit of the block gives"),
    ("03b_trust", "but as in the worked example it is too small"),
    ("03b_trust", "Within the block, the sum of influences falls short of the whole for"),
)
def first_order_falls_short_of_the_refit(s):
    """First order against the exact refit with frozen units: single actions, and sums over sets."""
    share, bias, short, users = s.of("03b_trust", "frozen_share", "bias", "n_too_small", "n_at_largest")
    return share < 1 and bias < 1 and short > users / 2


@said(
    ("03b_trust", "With the own term taken out (`own_term=False`) leave-one-out is exact"),
    ("03_influence", "In a quadratic problem, with that term taken out, leave-one-out is exact."),
    ("11_own_model", "the Newton step all of it"),
)
def the_newton_step_is_exact(s):
    """The Newton step against the exact refit with frozen units."""
    return s("03b_trust", "frozen_newton") > 1 - 1e-8


@said(
    ("03b_trust::doubt_verdict", "Here that doubt is small beside the distance of influence from the refit."),
    ("book/teaching.md", "Two refits agree far better with each other than the estimate does with them."),
)
def two_refits_agree_better_than_influence(s):
    """Correlations of influence with a refit of the ReLU network, and of two refits."""
    influence, again = s.of("03b_trust", "relu_first", "relu_again")
    return 1 - again < 0.5 * (1 - influence)


@said(
    ("03b_trust", "Where the optimiser comes to rest, the gradient of the objective is not zero"),
    ("03b_trust", "With ReLU units, users rest at kinks, of which influence knows nothing."),
    ("03b_trust", "and a small removal need not get her out"),
)
def users_rest_at_kinks(s):
    """Where the refit rests: length of the gradient, inputs at a kink, and the spread of the true effects."""
    slope, kinks, spread = s.of("03b_trust", "slope_left", "at_kink", "held")
    return slope > 0.1 and kinks >= 1 and spread < 1


@said(
    ("03b_trust", "Smoothness is what the theory asked for, and where it is given the theory does well."),
    ("03b_trust", "With GELU there are none, and influence agrees better with a refit."),
)
def influence_is_better_where_it_is_smooth(s):
    """Correlations of influence with a refit, and of two refits: GELU and ReLU."""
    smooth, again = s.of("03b_trust", "gelu_first", "gelu_again")
    return smooth > s("03b_trust", "relu_first") and again >= s("03b_trust", "relu_again")


@said(
    ("03b_trust", "With free ReLUs and with full retraining they scatter more widely."),
    (
        "03b_trust",
        "The formula and its implementation are right. What follows is about the world, not about the code.",
    ),
)
def nearer_truths_scatter_more(s):
    """Correlations of influence with refits, frozen and free, and with full retraining."""
    frozen, free, retrained = s.of("03b_trust", "frozen_first", "relu_first", "retrained_first")
    return frozen > max(free, retrained)


@said(
    ("03b_trust", "(A short retraining remembers"),
    ("03b_trust", "More `check_steps` make the truth larger, and noisier.)"),
)
def a_short_retraining_shows_less(s):
    """Spread of the estimates, in that of the short retraining."""
    return s("03b_trust", "spread") > 1


@said(
    ("03b_trust", "Sums over a set get worse as the set grows."),
    ("03b_trust", "The paper warns that this gets worse as the set grows; we measure it."),
)
def sums_get_worse_as_sets_grow(s):
    """Errors of sums of influences and of exact single effects: single actions, and the largest sets."""
    first, most, exact, exact_most = s.of(
        "03b_trust", "add_first_1", "add_first_most", "add_exact_1", "add_exact_most"
    )
    return most > first and exact_most > exact


@said(
    ("03c_rcf_influence::rcf_surprise", "comes from reading, and hardly any from learning"),
    ("03c_rcf_influence", "Why do the parameters move so little?"),
    (
        "03c_rcf_influence",
        "Where the parameters count for little, how one computes their part counts for even less",
    ),
    ("03c_rcf_influence::rcf_verdict", "Because it is nearly all input."),
)
def on_rcf_the_input_counts(s):
    """Spread of the part through the input, in that of the part through the parameters."""
    times, whole = s.of("03c_rcf_influence", "rcf_times", "rcf_input_whole")
    return times > 5 and whole > 0.97 and s("04b_attention", "agree_median") > 0.97


@said(
    ("03c_rcf_influence::rcf_slope_verdict", "What has left the history stays lost"),
    ("book/teaching.md", "On paper the third term cancels everything; in the trained network it does not"),
)
def rcf_does_not_compensate(s):
    """How much of the input part is left in the truth."""
    return s("03c_rcf_influence", "rcf_slope") > 0.75


@said(
    (
        "03c_rcf_influence::rcf_third_verdict",
        "With one Hessian for all actions it takes the estimate further from the truth",
    ),
    ("03c_rcf_influence", "goes wrong where the Hessian is that of the whole history (`shared`)"),
    ("03c_rcf_influence", "The others wake up, and with `shared` their steps can be too long"),
)
def the_third_term_goes_wrong_with_one_hessian(s):
    """Errors without and with the third term, by one Hessian and by one for each action."""
    shared, third, own, third_own = s.of(
        "03c_rcf_influence", "rcf_rmse_shared", "rcf_rmse_third", "rcf_rmse_paper", "rcf_rmse_third_own"
    )
    return third > shared and third_own < own


# --- explanations


@said(
    ("04_explanations", "so its sets are often larger, or missing"),
    (
        "04_explanations",
        "Where FIA or pure FIA needs more actions than ACCENT, the reason is that of the worked example",
    ),
)
def fia_takes_more(s):
    """Users whose set by FIA is larger, and mean sizes where all find one."""
    larger, both = s.of("04_explanations", "fia_larger", "n_both")
    ours, fia, pure = s.of("04_explanations", "mean_accent", "mean_fia", "mean_pure_fia")
    return larger > both / 3 and ours < fia < pure


@said(
    ("04_explanations", "A larger slate contains the smaller one, so ACCENT can only gain by it."),
    ("06_analysis", "what is worth measuring is how little there is left to gain"),
)
def larger_slates_gain_little(s):
    """Users whose set is smaller, or first appears, with the largest slate."""
    shrunk, users = s.of("04_explanations", "shrunk", "n_users")
    return 0 <= shrunk < users / 10


@said(
    (
        "04_explanations",
        "all others would miss\ntheir smallest set, or its best version",
    ),
    ("04_explanations", "The runner-up is not always the cheapest replacement"),
)
def the_runner_up_is_mostly_the_replacement(s):
    """Share of the explained users whose replacement is second on the slate."""
    return 50 < s("04_explanations", "share_second") < 100


@said(
    ("04_explanations", "A clear favourite, and a history in which no single action weighs much"),
    (
        "04_explanations",
        "A set is large, or there is none, where the gap is wide in units of the strongest single action.",
    ),
)
def a_wide_gap_makes_it_hard(s):
    """Rank correlations of the set's size."""
    needed, gap, history = s.of("04_explanations", "rank_needed", "rank_gap", "rank_history")
    return needed > gap > history and needed > 0.5


@said(
    ("04_explanations::told_hard", "users without an explanation"),
    ("04_explanations", "**Recognise** the users whom the method cannot explain, and why."),
    ("04b_attention::told_without", "ACCENT finds a set for every user."),
)
def ncf_has_users_without_a_set_and_rcf_none(s):
    """Users without a set of ACCENT's: on NCF, and on RCF."""
    missing, *_ = s.numbers("04_explanations", "told_hard")
    return missing > 0 and s("04b_attention", "n_pair") == s("04_explanations", "n_users")


@said(
    ("04_explanations", "Such a set is formally a counterfactual, but useless to its reader."),
    ("book/reference/limits.md", "Whoever gives up so much gives up more than one recommendation."),
)
def the_largest_set_takes_much_of_a_history(s):
    """Share of a history that the largest set takes."""
    return s("04_explanations", "removed_most") > 25


@said(
    ("book/reference/limits.md", "There can be other sets of the same size, and other replacements."),
    ("book/reference/limits.md", "The share of users with such a choice is given above."),
)
def some_users_have_a_choice(s):
    """Share of the explained users who have another replacement with equally few actions."""
    return s("04_explanations", "share_tied") > 1


@said(
    (
        "04_explanations",
        "Removing such an action moves R and its rivals together; only the *difference* decides who leads.",
    ),
    ("03_influence", "Whatever moves both items alike changes no ranking"),
)
def score_and_gap_are_two_things(s):
    """Correlations of the influences on a score and on a gap: median over users, and one user's."""
    return s("04_explanations", "r_median") < 0.9 and s("03_influence", "correlation_own") < 0.9


@said(
    ("04b_attention", "At best it is a guess at the *size* of an effect; the sign has to come from trying."),
    ("04b_attention", "not for or against what. The attention baselines find the direction by trying"),
)
def attention_tells_size_not_sign(s):
    """Correlations of attention with influence: on the score and on the gap, by size and with its sign."""
    own_size, own, gap_size, gap = s.of(
        "04b_attention", "attention_own_size", "attention_own", "attention_gap_size", "attention_gap"
    )
    return own_size > own and gap_size > gap and own_size > gap_size


@said(("04b_attention", "*smaller* for {glue:text}`attention_smaller`."))
def attention_takes_more_for_more_users(s):
    """Users for whom attention's set is larger, and smaller, than ACCENT's."""
    larger, smaller = s.of("04b_attention", "attention_larger", "attention_smaller")
    return larger > smaller > 0


# --- verification and analysis


@said(
    ("05_verification", "With the same batches in world and control most of the noise cancels."),
    ("03b_trust", "so most of the noise of training\ncancels in the difference"),
)
def the_same_batches_cancel_noise(s):
    """Spread of an effect over seeds, with other batches and with the same ones."""
    other, same = s.of("05_verification", "spread_dropped", "spread_zero")
    return same < 0.5 * other


@said(
    ("05_verification::warm_memory", "what explanations take out acts mostly through the history"),
    ("book/reference/limits.md", "**Further training is not forgetting.** A warm start can remember"),
    ("08_reproduction", "For random sets it remembers, as in [Verification](05_verification)"),
)
def a_warm_start_remembers_random_sets(s):
    """Effect of a removal by a warm start, in that from scratch: sets of methods, and random ones."""
    chosen, drawn = s.of("05_verification", "warm_slope_chosen", "warm_slope_random")
    return drawn < 0.95 < chosen


@said(
    ("05_verification", '"the recommendation" is a coin that any retraining tosses again'),
    ("06_analysis", "the named replacement overtakes in the control as well, where nothing was removed"),
    ("book/teaching.md", "With nothing removed, whose recommendation changes, and why hers?"),
)
def narrow_leads_flip(s):
    """Users whose top changes with nothing removed, and those of them who had a narrow lead."""
    flipped, narrow = s.of("05_verification", "flipped", "flipped_narrow")
    return 0 < flipped <= 2 * narrow and s("05_verification", "floor") > 0


@said(
    ("05_verification", "so its floor is low by construction; other orders show how noisy it is"),
    ("06_analysis::floor_still", "so its floor is low by construction and not by merit"),
)
def rcfs_own_order_hides_its_noise(s):
    """Noise floors of NCF and of RCF."""
    ncf, rcf = s.numbers("06_analysis", "floor")
    return rcf < ncf and rcf < 2


@said(
    ("00_tour", "Not every explanation holds."),
    ("00_tour::tour-12", "and still by"),
    ("06_analysis", "Here is one failure of each model, the one with the smallest set."),
)
def most_sets_hold_and_some_do_not(s):
    """NCF's users with a set, and those whose set holds; CF percentages of both models."""
    holds, found = s.of("05_verification", "n_true", "n_with_set")
    ncf, rcf = s.numbers("06_analysis", "take_cf")
    return found / 2 < holds < found and 50 < ncf < 100 and 50 < rcf < 100


@said(
    ("00_tour", "Mostly not, but one user is no evidence"),
    (
        "06_analysis",
        "- Random sets and a control (retraining with nothing removed) turn percentages into evidence.",
    ),
    ("book/teaching.md", '**3. Random sets "explain" some users.'),
)
def random_sets_hold_for_few(s):
    """Percentages of random sets, and how far ACCENT's are above them, also in chapter 11."""
    ncf, rcf = s.numbers("06_analysis", "cf_random")
    lead = min(s.numbers("06_analysis", "take_above_random"))
    ours, drawn = s.of("11_own_model", "cf_accent", "cf_random")
    return 0 < min(ncf, rcf) and max(ncf, rcf) < 30 and lead > 30 and ours - drawn > 30


@said(
    ("06_analysis", "It is also a matter of definition"),
    ("06_analysis", "the recommendation did change, only not to what was promised"),
    (
        "00_tour",
        "*as first of all items*, that it also leads every other film, which is what the sentence says",
    ),
)
def less_holds_by_what_the_sentence_says(s):
    """ACCENT's percentages by the paper's definition, and where the replacement must lead the catalogue."""
    ncf, rcf = s.numbers("06_analysis", "take_cf")
    ncf_leads, rcf_leads = s.numbers("06_analysis", "take_catalogue")
    return ncf_leads < ncf and rcf_leads < rcf


@said(
    ("book/intro.md", "with so few users a difference between\nmethods easily drowns in chance"),
    ("06_analysis", "with few users only large differences show"),
    ("06_analysis::borne_out", "cannot tell whether ACCENT's sets or attention's hold more often."),
    ("06_analysis::take_attention", "no difference on RCF"),
    ("11_own_model", "With so few users the intervals are wide"),
)
def intervals_are_wide(s):
    """Ends of the intervals of ACCENT's percentages, and methods as close as in chapter 11."""
    ends = re.findall(r"([\d.]+)% to ([\d.]+)%", s.chapters["06_analysis"]["take_between"])
    ours, fia = s.of("11_own_model", "cf_accent", "cf_fia")
    return (
        len(ends) == 2 and all(float(high) - float(low) > 10 for low, high in ends) and abs(ours - fia) < 20
    )


@said(
    ("06_analysis", "Ranking sets and measuring them are two things."),
    ("06_analysis::between", "the correlation is higher on RCF, and ACCENT's CF percentage is higher on RCF"),
)
def rcf_is_estimated_better(s):
    """Correlations and errors of the estimate, and CF percentages, of NCF and RCF."""
    (ncf, rcf), (ncf_error, rcf_error) = (
        s.numbers("06_analysis", f"take_{n}") for n in ("correlation", "rmse")
    )
    ncf_holds, rcf_holds = s.numbers("06_analysis", "take_cf")
    return 0.8 < ncf < rcf and 0.1 < rcf_error < ncf_error < 1 and ncf_holds < rcf_holds


# --- the reader's own


@said(
    ("10_your_data", "A model must predict before it is worth explaining"),
    (
        "10_your_data",
        "The step from there to the third is personal, if anything is",
    ),
)
def the_clubs_model_beats_means(s):
    """Held-out errors of the club's model and of means."""
    ours, means = s.of("10_your_data", "error", "means")
    return ours < means and s("10_your_data", "n_tops") > 10


@said(
    ("11_own_model", "so first order is almost right"),
    ("11_own_model", "and first order is good for users with long histories"),
)
def first_order_is_almost_right_for_mf(s):
    """Leverages, and correlation of first order with the truth."""
    mean, correlation = s.of("11_own_model", "mean_leverage", "first_correlation")
    return mean < 0.2 and correlation > 0.98


@said(
    ("11_own_model", "this one does lean on it."),
    ("11_own_model", "For this model the variant `paper` does not, and it shows."),
    ("11_own_model", "for your own objective take `objective`"),
)
def the_papers_variant_misleads_on_mf(s):
    """Correlation and slope of the variant ``paper``, beside first order of the objective."""
    ours, first = s.of("11_own_model", "paper_correlation", "first_correlation")
    return ours < first - 0.02 and s("11_own_model", "paper_slope") < 0.9


@said(
    (
        "11_own_model",
        "the actions of a set pull in one direction, and once some are gone, those that are left weigh more",
    ),
    ("11_own_model", "three approximations, three factors"),
)
def each_approximation_underestimates_on_mf(s):
    """Slopes: single actions, sums against refits, refits against retraining."""
    single, summed, retrained = s.of(
        "11_own_model", "first_slope", "sum_refit_slope", "refit_retrained_slope"
    )
    return summed > single > 1 and retrained > 1


@said(
    ("11_own_model", "Errors of that sign do not make an explanation false."),
    ("11_own_model", "The gap closes further than was promised; at worst a smaller set would have done."),
)
def mf_is_underestimated(s):
    """Share of the sets for which the estimate was too low."""
    return s("11_own_model", "under") > 50
