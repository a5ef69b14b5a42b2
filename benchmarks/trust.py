"""Measure how often verdicts are wrong, and write docs/verdict.md.

The pairs compared are equal models, models with a real loss, models on small holdouts, and models on resampled days.
"""

import itertools
import os
import platform
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from tqdm import tqdm

from lifecycle.pipeline.evaluate import WHOLE, point_metrics, slices_of
from lifecycle.pipeline.ingest import ingest
from lifecycle.pipeline.prepare import prepare
from lifecycle.proposal.compare import ENOUGH_ROWS, Part, Rows, compare, compare_over_origins
from lifecycle.proposal.gate import against_champion
from lifecycle.proposal.headline import headline
from lifecycle.proposal.origins import at_origin
from lifecycle.proposal.results import Built, Comparison, Judged, Origins, Proposal
from lifecycle.shared.chosen_task import METRICS
from lifecycle.shared.clusters import Clusters, cluster_columns, find_clusters
from lifecycle.shared.intervals import groups_of, jackknife, leave_out_each
from lifecycle.shared.params import Params, load_params
from lifecycle.shared.parts import part_range, read_part
from lifecycle.shared.tables import to_target
from lifecycle.shared.tasks.binary_scores import BinaryScores
from lifecycle.shared.text import table
from model.features import NAMES

ROOT = Path(__file__).parent.parent
REPORT = ROOT / "docs/verdict.md"
YEAR = part_range("2013-01", "2013-12")
JUDGED = YEAR[3:]  # with at least three months to train on
TODAYS = YEAR[6:]  # with four origins
PRIMARY = "roc_auc"

Probabilities = dict[tuple[str, str], NDArray[np.float32]]


@dataclass(frozen=True)
class Month:
    """The rows of a month that models are evaluated on."""

    target: NDArray[np.bool_]
    days: Clusters
    slices: dict[tuple[str, str], NDArray[np.intp]]


# --- models -----------------------------------------------------------------------------------------------------------

EQUAL = {
    "seeds": "other seeds",
    "samples": "bootstrap samples of the rows",
    "features": "one more irrelevant feature",
    "halves": "halves of the days",
}
VARIANTS = 4
# Changes to the hyperparameters that make a recipe worse.
WORSE: dict[str, dict[str, Any]] = {
    "25 rounds": {"max_iter": 25},
    "30 rounds": {"max_iter": 30},
    "50 rounds": {"max_iter": 50},
    "3 leaves": {"max_leaf_nodes": 3},
    "4 leaves": {"max_leaf_nodes": 4},
    "8 leaves": {"max_leaf_nodes": 8},
}
# Features that matter much in some months and not at all in others.
DROPPED = {"no temperature": ("temperature", "dew_point")}
WORSE_SEEDS = 2


def train_all(params: Params, data: Path, folder: Path) -> Probabilities:
    """Train each model on the months before each judged month, and return its probabilities for that month."""
    probabilities: Probabilities = {}
    for month in tqdm(JUDGED, "train"):
        back = len(part_range(month, params.holdout.first)) - 1
        shifted = at_origin(params, back) if month <= params.holdout.first else _later(params, month)
        prepared = folder / month
        prepare(shifted, data, prepared)
        rows = pq.read_table(prepared / "train.parquet")
        target = to_target(rows)
        matrix = np.column_stack([rows.column(name).to_numpy() for name in rows.column_names[:-1]])
        days = _days_of(shifted, data)
        judged = _matrix_of(prepared)
        for name, fit in _models(params).items():
            probabilities[name, month] = fit(matrix, target, days, judged, YEAR.index(month))
    return probabilities


def _later(params: Params, month: str) -> Params:
    window = params.window.model_copy(update={"last": YEAR[YEAR.index(month) - 1]})
    return params.model_copy(update={"window": window, "holdout": type(window)(first=month, last=month)})


def _days_of(params: Params, data: Path) -> NDArray[np.intp]:
    tables = (read_part(month, data).select(cluster_columns()) for month in params.window.parts())
    return np.concatenate([find_clusters(table).numbers for table in tables])


def _matrix_of(prepared: Path) -> NDArray[np.float32]:
    import json

    from lifecycle.shared.tables import to_columns
    from model.features import features

    codes = json.loads((prepared / "codes.json").read_text(encoding="utf-8"))
    return features(to_columns(pq.read_table(prepared / "holdout.parquet")), codes)


_Fit = Callable[..., NDArray[np.float32]]


def _models(params: Params) -> dict[str, _Fit]:
    """Return the fit functions of all models by name: the kinds of EQUAL, and the recipes of WORSE and DROPPED."""
    models: dict[str, _Fit] = {}
    for number in range(VARIANTS):
        models[f"seeds {number}"] = _fitted(params, number)
        models[f"samples {number}"] = _fitted(params, number, _sampled)
        models[f"halves {number}"] = _fitted(params, number, _halved)
        models[f"features {number}"] = _with_noise(params, number)
    for name, settings in WORSE.items():
        for number in range(WORSE_SEEDS):
            models[f"{name} {number}"] = _fitted(_changed(params, settings), number)
    for name, features in DROPPED.items():
        for number in range(WORSE_SEEDS):
            models[f"{name} {number}"] = _without(params, number, features)
    return models


def _changed(params: Params, settings: Mapping[str, Any]) -> Params:
    chosen = params.chosen_hyperparameters().model_copy(update=settings)
    hyperparameters = params.hyperparameters.model_copy(update={params.estimator: chosen})
    return params.model_copy(update={"hyperparameters": hyperparameters})


def _seeded(params: Params, number: int) -> Any:
    return params.model_copy(update={"seed": number}).build_estimator()


def _all(days: NDArray[np.intp], number: int, origin: int) -> NDArray[np.intp]:  # noqa: ARG001 - same signature as the others
    return np.arange(len(days))


def _sampled(days: NDArray[np.intp], number: int, origin: int) -> NDArray[np.intp]:
    random = np.random.default_rng([1, number, origin])
    return np.sort(random.integers(0, len(days), len(days)))


def _halved(days: NDArray[np.intp], number: int, origin: int) -> NDArray[np.intp]:
    """Choose half of the days: numbers 0 and 1 are the halves of one division, 2 and 3 of another, and so on."""
    unique_days = np.unique(days)
    shuffled = np.random.default_rng([2, number // 2, origin]).permutation(unique_days)
    return np.flatnonzero(np.isin(days, shuffled[number % 2 :: 2]))


def _fitted(params: Params, number: int, rows: Callable[..., NDArray[np.intp]] = _all) -> _Fit:
    def fit(matrix: Any, target: Any, days: Any, judged: Any, origin: int) -> NDArray[np.float32]:
        chosen = rows(days, number, origin)
        pipeline = _seeded(params, number).fit(matrix[chosen], target[chosen])
        return np.asarray(pipeline.predict_proba(judged)[:, 1], dtype=np.float32)

    return fit


def _without(params: Params, number: int, features: Sequence[str]) -> _Fit:
    columns = [NAMES.index(name) for name in features]

    def fit(matrix: Any, target: Any, days: Any, judged: Any, origin: int) -> NDArray[np.float32]:  # noqa: ARG001
        pipeline = _seeded(params, number).fit(np.delete(matrix, columns, axis=1), target)
        return np.asarray(pipeline.predict_proba(np.delete(judged, columns, axis=1))[:, 1], dtype=np.float32)

    return fit


def _with_noise(params: Params, number: int) -> _Fit:
    def fit(matrix: Any, target: Any, days: Any, judged: Any, origin: int) -> NDArray[np.float32]:  # noqa: ARG001
        random = np.random.default_rng([3, number, origin])
        wider, judged = (np.column_stack([rows, random.normal(size=len(rows))]) for rows in (matrix, judged))
        pipeline = _seeded(params, number).fit(wider.astype(np.float32), target)
        return np.asarray(pipeline.predict_proba(judged.astype(np.float32))[:, 1], dtype=np.float32)

    return fit


# --- verdicts ---------------------------------------------------------------------------------------------------------


class Court:
    """Judges pairs of models like proposals, with any month as the holdout."""

    def __init__(self, params: Params, months: Mapping[str, Month], scores: Probabilities) -> None:
        self.params, self.months, self.scores = params, months, scores
        self._points: dict[tuple[str, str], NDArray[np.float64]] = {}

    def point(self, name: str, month: str) -> NDArray[np.float64]:
        """Return the metrics of a model in a month."""
        if (name, month) not in self._points:
            self._points[name, month] = point_metrics(self.months[month].target, self.scores[name, month], self.params)
        return self._points[name, month]

    def judge(self, champion: str, candidate: str, today: str) -> Proposal:
        """Judge a candidate like a proposal, against a champion, with a month as the holdout."""
        periods = tuple(YEAR[YEAR.index(today) - self.params.comparison.origins + 1 : YEAR.index(today) + 1])
        differences = tuple(
            dict(zip(METRICS, (self.point(candidate, period) - self.point(champion, period)).tolist(), strict=True))
            for period in periods
        )
        origins = Origins(
            periods, differences, compare_over_origins(differences, self.params, len(self.months[today].target))
        )
        month = self.months[today]
        rows = Rows(month.target, self.scores[champion, today], self.scores[candidate, today], month.days, month.slices)
        return judge(self.params, compare(rows, self.params), origins)

    def losses(self, champion: str, candidate: str) -> list[float]:
        """Return the candidate's loss of the primary metric in each month."""
        place = [*METRICS].index(PRIMARY)
        return [float(self.point(champion, month)[place] - self.point(candidate, month)[place]) for month in JUDGED]


def judge(params: Params, parts: Mapping[tuple[str, str], Part], origins: Origins | None) -> Proposal:
    """Make a proposal from a comparison alone."""
    comparison = Comparison("", dict(parts), origins, 0, {}, ())
    checks = tuple(against_champion(params, parts, origins))
    return Proposal(
        commit="",
        known_as="",
        reported={},
        params=params,
        candidate=Built(None, 0, None),
        reproduced="not",
        judged=Judged(params, checks, comparison),
    )


@dataclass(frozen=True)
class Share:
    """A share of comparisons with its standard error, by a jackknife over the models."""

    value: float
    error: float
    trials: int

    def __str__(self) -> str:
        return f"{self.value:.1%} ± {1.96 * self.error:.1%}"


def share(pairs: Sequence[tuple[str, str, bool]]) -> Share:
    """Compute the share of pairs of models for which a test is true.

    Pairs that share a model are not independent: the standard error is a jackknife that leaves out one model at a time.

    Args:
        pairs: Names of the two models, and the result of the test.
    """
    models = sorted({name for first, second, _ in pairs for name in (first, second)})
    value = float(np.mean([result for _, _, result in pairs]))
    without = [np.mean([result for first, second, result in pairs if name not in {first, second}]) for name in models]
    count = len(models)
    return Share(value, float(np.sqrt((count - 1) / count * np.sum((without - np.mean(without)) ** 2))), len(pairs))


def of_kind(court: Court, name: str) -> list[tuple[str, str]]:
    """Return the unordered pairs of equal models of a kind."""
    names = sorted({model for model, _ in court.scores if model.startswith(f"{name} ")})
    return list(itertools.combinations(names, 2))


@dataclass(frozen=True)
class Outcome:
    """The result of a comparison of two models."""

    champion: str
    candidate: str
    month: str
    verdict: str
    refused: bool

    @property
    def is_told_apart(self) -> bool:
        """Whether the verdict says that they differ."""
        return self.verdict in {"better", "worse"}


def outcomes(court: Court, pairs: Iterable[tuple[str, str]]) -> list[Outcome]:
    """Judge pairs of models in each month that has enough origins."""
    return [
        Outcome(champion, candidate, month, str(proposal.verdict), not proposal.passed)
        for champion, candidate in pairs
        for month in TODAYS
        for proposal in [court.judge(champion, candidate, month)]
    ]


def shares(results: Sequence[Outcome], *tests: Callable[[Outcome], bool]) -> list[str]:
    """Compute for each test the share of outcomes for which it is true."""
    return [str(share([(result.champion, result.candidate, test(result)) for result in results])) for test in tests]


_TOLD_APART: Callable[[Outcome], bool] = lambda outcome: outcome.is_told_apart  # noqa: E731
_UNCLEAR: Callable[[Outcome], bool] = lambda outcome: outcome.verdict == "unclear"  # noqa: E731
_WORSE: Callable[[Outcome], bool] = lambda outcome: outcome.verdict == "worse"  # noqa: E731
_REFUSED: Callable[[Outcome], bool] = lambda outcome: outcome.refused  # noqa: E731


def equal_models(court: Court) -> str:
    """Make a table of the kinds of equal models; each pair is compared in both directions."""
    rows, everything = [], list[Outcome]()
    for kind, words in EQUAL.items():
        pairs = of_kind(court, kind)
        both_ways = tqdm([*pairs, *((second, first) for first, second in pairs)], f"equal: {words}")
        results = outcomes(court, both_ways)
        everything += results
        rows.append([words, f"{len(results):,}", *shares(results, _TOLD_APART, _UNCLEAR, _REFUSED)])
    rows.append(["**all**", f"{len(everything):,}", *shares(everything, _TOLD_APART, _UNCLEAR, _REFUSED)])
    by_month = [[result for result in everything if result.month == month] for month in TODAYS]
    worst = [
        max(float(np.mean([test(result) for result in results])) for results in by_month)
        for test in (_TOLD_APART, _REFUSED)
    ]
    rows.append([f"the worst of {len(TODAYS)} months", "", f"{worst[0]:.1%}", "", f"{worst[1]:.1%}"])
    header = ["equal models", "comparisons", "better or worse", "too few rows to tell", "refused"]
    return table(header, rows, "lrrrr")


def real_losses(court: Court) -> str:
    """Make a table of worse recipes: what they lose, and how often the gate refuses them."""
    rows = []
    for recipe in tqdm([*WORSE, *DROPPED], "real losses"):
        pairs = [
            (f"seeds {champion}", f"{recipe} {candidate}")
            for champion, candidate in itertools.product(range(WORSE_SEEDS), repeat=2)
        ]
        by_month = np.mean([court.losses(*pair) for pair in pairs], axis=0)
        results = outcomes(court, pairs)
        mean, least, most = (f"{value:.4f}" for value in (by_month.mean(), by_month.min(), by_month.max()))
        cells = [recipe, mean, f"{least} to {most}", f"{len(results):,}"]
        rows.append([*cells, *shares(results, _WORSE, _UNCLEAR, _REFUSED)])
    header = ["recipe", "ROC AUC lost", "by month", "comparisons", "worse", "too few rows to tell", "refused"]
    return table(header, rows, "lrrrrrr")


# --- small holdouts ---------------------------------------------------------------------------------------------------

SIZES = (300, 2_000, ENOUGH_ROWS)
SMALL_TRIALS = 40


def small_holdouts(court: Court) -> str:
    """Make a table of the verdicts on equal models with holdouts of few rows."""
    rows = []
    for size, origins in itertools.product(SIZES, (1, court.params.comparison.origins)):
        proposals: list[Proposal] = []
        for trial in tqdm(range(SMALL_TRIALS), f"{size} rows, {origins} origins"):
            random = np.random.default_rng([4, size, trial])
            few = _few_rows(court, size, random)
            champion, candidate = (f"samples {number}" for number in random.choice(VARIANTS, 2, replace=False))
            proposals += [_judge_few(few, champion, candidate, today, origins) for today in TODAYS]
        counted = [np.mean([proposal.verdict == name for proposal in proposals]) for name in _SMALL_VERDICTS]
        counted.append(np.mean([not proposal.passed for proposal in proposals]))
        counted.append(np.mean([headline(proposal).startswith("❌") for proposal in proposals]))
        rows.append([f"{size:,}", str(origins), f"{len(proposals):,}", *(f"{value:.1%}" for value in counted)])
    header = ["rows", "origins", "comparisons", "better", "no worse", "too few rows to tell", "worse", "refused"]
    header.append("red headline (❌)")
    return table(header, rows, "r" * len(header))


_SMALL_VERDICTS = ("better", "no worse", "unclear", "worse")


def _few_rows(court: Court, size: int, random: np.random.Generator) -> Court:
    """Return the same models on a random sample of each month's rows."""
    months, scores = {}, dict[tuple[str, str], NDArray[np.float32]]()
    for name, month in court.months.items():
        chosen = np.sort(random.choice(len(month.target), size, replace=False))
        months[name] = Month(month.target[chosen], Clusters("day", month.days.numbers[chosen]), {})
        scores |= {
            key: all_rows[chosen] for key, all_rows in court.scores.items() if key[1] == name and "samples" in key[0]
        }
    return Court(court.params, months, scores)


def _judge_few(court: Court, champion: str, candidate: str, today: str, origins: int) -> Proposal:
    if origins > 1:
        return court.judge(champion, candidate, today)
    month = court.months[today]
    rows = Rows(month.target, court.scores[champion, today], court.scores[candidate, today], month.days, {})
    return judge(court.params, compare(rows, court.params), None)


# --- independent worlds -----------------------------------------------------------------------------------------------

WORLDS = 500


def independent_nulls(params: Params) -> str:
    """Make a table of how often the verdict tells equal models of simulated worlds apart."""
    told_apart = {1: 0, params.comparison.origins: 0}
    for world in tqdm(range(WORLDS), "simulated worlds"):
        random = np.random.default_rng([5, world])
        months = [_simulated(random) for _ in range(params.comparison.origins)]
        differences = [
            dict(
                zip(
                    METRICS,
                    (
                        point_metrics(rows.targets, rows.candidate, params)
                        - point_metrics(rows.targets, rows.champion, params)
                    ).tolist(),
                    strict=True,
                )
            )
            for rows in months
        ]
        over = compare_over_origins(differences, params, len(months[-1].targets))[PRIMARY][0]
        single = compare(months[-1], params)[WHOLE].metrics[PRIMARY].delta
        for count, delta in ((params.comparison.origins, over), (1, single)):
            told_apart[count] += not delta.low <= 0 <= delta.high
    rows = [[str(count), f"{WORLDS}", _wilson(number, WORLDS)] for count, number in told_apart.items()]
    return table(["origins", "worlds", "interval excludes 0"], rows, "rrr")


def _simulated(random: np.random.Generator, days: int = 30, flights: int = 60) -> Rows:
    """Simulate a month with a random effect of each day, and two models that are equally far from the truth."""
    logits = random.normal(-0.8, 1, (days, flights))
    day_effect = random.normal(0, 0.7, (days, 1))
    target = random.random((days, flights)) < _sigmoid(logits + day_effect)
    # Each model has an error for each row, and one for each day, such as for its weather.
    champion, candidate = (
        _sigmoid(logits + random.normal(0, 0.3, (days, flights)) + random.normal(0, 0.3, (days, 1))) for _ in range(2)
    )
    numbers = np.repeat(np.arange(days), flights)
    return Rows(
        target.ravel(),
        champion.ravel().astype(np.float32),
        candidate.ravel().astype(np.float32),
        Clusters("day", numbers),
        {},
    )


def _sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-logits)))


def _wilson(number: int, trials: int) -> str:
    """Format a share with its 95% interval (Wilson 1927)."""
    z, observed = 1.96, number / trials
    middle = (observed + z**2 / (2 * trials)) / (1 + z**2 / trials)
    reach = z / (1 + z**2 / trials) * np.sqrt(observed * (1 - observed) / trials + z**2 / (4 * trials**2))
    return f"{observed:.1%} ({middle - reach:.1%} to {middle + reach:.1%})"


# --- coverage ---------------------------------------------------------------------------------------------------------

COVERAGE_TRIALS = 600
RESAMPLES = 300
DAYS = 30


def coverage(court: Court) -> str:
    """Make a table of how often the intervals of each method, for 30 drawn days, cover the value of all days."""
    pools = {"one model": ("seeds 0", None), "difference": ("samples 0", "samples 1")}
    lines = []
    for quantity, (first, second) in pools.items():
        covered: dict[str, list[NDArray[np.bool_]]] = {}
        target = np.concatenate([court.months[m].target for m in TODAYS])
        days = np.concatenate([court.months[m].days.numbers for m in TODAYS])
        models = [np.concatenate([court.scores[name, m] for m in TODAYS]) for name in (first, second) if name]
        truth = _value(court.params, target, models)
        unique_days = np.unique(days)
        rows_of = {day: np.flatnonzero(days == day) for day in unique_days}
        for trial in tqdm(range(COVERAGE_TRIALS), f"coverage: {quantity}"):
            random = np.random.default_rng([6, trial])
            parts = [rows_of[day] for day in random.choice(unique_days, DAYS)]
            drawn = np.concatenate(parts)
            clusters = np.repeat(np.arange(DAYS), list(map(len, parts)))
            sample, scores = target[drawn], [model[drawn] for model in models]
            for method, ends in _intervals(court.params, sample, scores, clusters, random).items():
                covered.setdefault(method, []).append((ends[0] <= truth) & (truth <= ends[1]))
        for method, trials in covered.items():
            lines.append([quantity, method, *(f"{value:.1%}" for value in np.mean(trials, axis=0))])
    return table(["", "method", *(metric.label for metric in METRICS.values())], lines, "llrrrrr")


def _value(params: Params, target: NDArray[np.bool_], models: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    points = [point_metrics(target, model, params) for model in models]
    return points[0] if len(points) == 1 else points[1] - points[0]


def _intervals(
    params: Params,
    target: NDArray[np.bool_],
    models: Sequence[NDArray[np.float32]],
    clusters: NDArray[np.intp],
    random: np.random.Generator,
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    scores = [BinaryScores(target, model, bins=params.metrics.calibration_bins, threshold=0.5) for model in models]

    def measure(weights: NDArray[np.unsignedinteger]) -> NDArray[np.float64]:
        points = [model.metrics(weights) for model in scores]
        return points[0] if len(points) == 1 else points[1] - points[0]

    whole = measure(np.ones((1, len(target)), dtype=np.uint8))[0]

    def jackknifed(groups: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        without = leave_out_each(measure, groups)
        ends = [jackknife(value, without[:, at], params.metrics.confidence) for at, value in enumerate(whole)]
        return np.array([interval.low for interval in ends]), np.array([interval.high for interval in ends])

    def percentiles(weights: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        low, high = np.quantile(measure(weights), [0.025, 0.975], axis=0)
        return low, high

    by_day = random.multinomial(DAYS, np.full(DAYS, 1 / DAYS), RESAMPLES).astype(np.uint8)[:, clusters]
    return {
        "jackknife by days, Student's t (what the gate uses)": jackknifed(groups_of(clusters)),
        "percentile bootstrap by days": percentiles(by_day),
        "jackknife by rows (days ignored)": jackknifed(groups_of(np.arange(len(target)))),
    }


# --- later months -----------------------------------------------------------------------------------------------------


def later_months(court: Court) -> str:
    """Make a table of how often the mean difference of later months lies in the interval of an earlier one."""
    rows = []
    for kind, words in EQUAL.items():
        inside: dict[str, list[bool]] = {"one": [], "several": []}
        for first, second in of_kind(court, kind):
            for today in TODAYS[:-1]:
                differences = [
                    dict(zip(METRICS, (court.point(second, m) - court.point(first, m)).tolist(), strict=True))
                    for m in YEAR[YEAR.index(today) - court.params.comparison.origins + 1 : YEAR.index(today) + 1]
                ]
                month = court.months[today]
                over = compare_over_origins(differences, court.params, len(month.target))[PRIMARY][0]
                both = Rows(month.target, court.scores[first, today], court.scores[second, today], month.days, {})
                single = compare(both, court.params)[WHOLE].metrics[PRIMARY].delta
                place = [*METRICS].index(PRIMARY)
                following = YEAR[YEAR.index(today) + 1 :]
                later = float(
                    np.mean([court.point(second, m)[place] - court.point(first, m)[place] for m in following])
                )
                inside["one"].append(single.low <= later <= single.high)
                inside["several"].append(over.low <= later <= over.high)
        rows.append([words, f"{len(inside['one'])}", *(f"{np.mean(flags):.1%}" for flags in inside.values())])
    header = ["equal models", "comparisons", "inside the holdout's interval", "inside the interval over the origins"]
    return table(header, rows, "lrrr")


# --- the page ---------------------------------------------------------------------------------------------------------


def deviations(court: Court) -> str:
    """Make a table of the typical difference between equal models in each month."""
    place, rows = [*METRICS].index(PRIMARY), []
    for kind, words in EQUAL.items():
        pairs = of_kind(court, kind)
        by_pair = [
            [court.point(second, m)[place] - court.point(first, m)[place] for m in JUDGED] for first, second in pairs
        ]
        rows.append([words, *(f"{np.sqrt(np.mean(np.square(month))):.4f}" for month in np.transpose(by_pair))])
    return table(["typical difference in ROC AUC", *JUDGED], rows, "l" + "r" * len(JUDGED))


def main() -> None:
    """Train, judge, and write the page."""
    params = load_params(ROOT / "params.yaml")
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "data"
        for month in tqdm(YEAR, "months"):
            ingest(month, load_params().split, data)
        scores = train_all(params, data, Path(name))
        months = {month: _month(params, data, month) for month in JUDGED}
    court = Court(params, months, scores)
    text = (ROOT / "benchmarks/trust_template.md").read_text(encoding="utf-8")
    values = {
        "EQUAL": equal_models(court),
        "LOSSES": real_losses(court),
        "SMALL": small_holdouts(court),
        "WORLDS": independent_nulls(params),
        "COVERAGE": coverage(court),
        "COVERAGE_TRIALS": f"{COVERAGE_TRIALS:,}",
        "LATER": later_months(court),
        "DEVIATIONS": deviations(court),
        "ORIGINS": str(params.comparison.origins),
        "MARGIN": f"{params.gates.worse_by_at_most[PRIMARY]:g}",
        "ENOUGH_ROWS": f"{ENOUGH_ROWS:,}",
        "MACHINE": f"{os.cpu_count()} cores, Python {platform.python_version()}",
    }
    for key, value in values.items():
        text = text.replace(f"{{{key}}}", value)
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(text, encoding="utf-8")
    print(text)


def _month(params: Params, data: Path, month: str) -> Month:
    rows = read_part(month, data)
    slices = slices_of(rows.select(list(params.slices)))
    return Month(to_target(rows), find_clusters(rows.select(cluster_columns())), slices)


if __name__ == "__main__":
    main()
