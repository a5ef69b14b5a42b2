"""params.yaml as typed, frozen, strict settings."""

import json
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, ValidationError, model_validator

from lifecycle.shared.console import UserError
from lifecycle.shared.metrics import METRICS
from lifecycle.shared.months import month_range
from lifecycle.shared.settings import Settings
from lifecycle.shared.yaml_text import YAMLError, explain_yaml, parse_yaml
from model import contract
from model.estimator import Count, Hyperparameters

PARAMS = Path("params.yaml")

_S = TypeVar("_S", bound=Settings)

Month = Annotated[str, Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])$")]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


def _known_metric(name: str) -> str:
    if name not in METRICS:
        raise ValueError(f"there is no metric {name!r}; allowed: {', '.join(METRICS)}{_meant(name, list(METRICS))}")
    return name


def _live_metric(name: str) -> str:
    live = [metric.name for metric in METRICS.values() if metric.live]
    if _known_metric(name) not in live:
        raise ValueError(f"{name!r} cannot be computed of production; allowed: {', '.join(live)}")
    return name


MetricName = Annotated[str, AfterValidator(_known_metric)]
LiveMetricName = Annotated[str, AfterValidator(_live_metric)]


class Months(Settings):
    """A span of months, both ends included."""

    first: Month
    last: Month

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.first > self.last:
            raise ValueError(f"first ({self.first}) lies after last ({self.last}), so it holds no month")
        return self

    def months(self) -> list[str]:
        """Each month of the span, as ``YYYY-MM``."""
        return month_range(self.first, self.last)

    def in_words(self) -> str:
        """First and last month; the only one, if they are the same."""
        return self.first if self.first == self.last else f"{self.first} to {self.last}"


class Metrics(Settings):
    """How models are measured.

    Attributes:
        primary: The metric that decides whether a model is better; the others guard.
        confidence: Of the intervals.
        calibration_bins: Bins of the calibration error and of the calibration curve.
    """

    primary: MetricName
    confidence: Annotated[float, Field(gt=0, lt=1)]
    calibration_bins: Count


class ComparisonSettings(Settings):
    """What a candidate and the champion are compared on.

    Attributes:
        origins: Points in time up to which both recipes are trained, to judge each on the period that follows; the last
            one is that of the holdout.
        seeds: Models that each recipe trains at each origin, with different seeds; their metrics are averaged.
    """

    origins: Count
    seeds: Count


Margin = Annotated[float, Field(ge=0)]


class Gates(Settings):
    """What a model must hold to be merged.

    Attributes:
        skill_at_least: Skill over the baseline on the same rows, by metric: 0 is the baseline, 1 a perfect model.
        worse_by_at_most: By how much a metric may be worse than the champion's.
        unclear: Whether a model passes where the rows are too few to tell if its primary metric is worse than allowed;
            one that looks worse by more than the margin does not.
        slice_rows: Slices with fewer rows are shown but not judged.
        slices_worse_by_at_most: By how much a metric may be worse than the champion's in a slice.
        latency_milliseconds: Time to predict a single row.
        answer_milliseconds: Time to answer a request with a single row, asked of the image over HTTP.
        model_mebibytes: Size of the model folder.
    """

    skill_at_least: dict[MetricName, Annotated[float, Field(lt=1)]]
    worse_by_at_most: dict[MetricName, Margin]
    unclear: Literal["refuse", "pass"]
    slice_rows: Count
    slices_worse_by_at_most: dict[MetricName, Margin]
    latency_milliseconds: Annotated[float, Field(gt=0)]
    answer_milliseconds: Annotated[float, Field(gt=0)]
    model_mebibytes: Annotated[float, Field(gt=0)]


class Retraining(Settings):
    """When and how the repository proposes a new model by itself.

    Attributes:
        window: Whether it begins where it did, or has so many months.
        max_age_days: After the last month that the champion knows.
        new_labels: Outcomes in the prediction log since then.
        cooldown_days: Between two proposals.
        auto_merge: Whether one that is better, and passes each gate, may be merged by itself.
    """

    window: Literal["expanding"] | Count
    max_age_days: Count
    new_labels: Count
    cooldown_days: Annotated[int, Field(ge=0)]
    auto_merge: bool


def _known_category(name: str) -> str:
    categories = [column.name for column in contract.INPUTS if column.type == "category"]
    if name not in categories:
        raise ValueError(f"{name!r} is no category of the contract; allowed: {', '.join(categories)}")
    return name


def _known_column(name: str) -> str:
    columns = [column.name for column in contract.INPUTS]
    if name not in columns:
        raise ValueError(f"{name!r} is no input of the contract{_meant(name, columns)}")
    return name


ColumnName = Annotated[str, AfterValidator(_known_column)]
Share = Annotated[float, Field(gt=0, lt=1)]


class Distance(Settings):
    """How far apart two distributions are, and from where on they are taken for different.

    Attributes:
        method: See lifecycle/monitoring/drift.py.
        threshold: In terms of the method.
    """

    method: Literal["jensen_shannon", "psi", "kolmogorov_smirnov"]
    threshold: Annotated[float, Field(gt=0)]


class Monitoring(Settings):
    """When a model in production has to be looked at.

    Attributes:
        days: That are looked at.
        rows: With fewer nothing is said.
        season: Columns that are compared with the same season.
        drift: Of a column, unless `columns` says otherwise.
        columns: By column.
        drifted_importance: The share of the importance of all columns, from which on columns that drift are a warning.
        missing: By how much the share of rows with a missing value may grow.
        unseen: By how much the share of rows with unseen categories may grow.
        out_of_range: By how much the share of rows outside of the range of the training data may grow.
        worse_by_at_most: How much worse than promised, by metric: the whole interval has to lie beyond.
    """

    days: Count
    rows: Count
    season: tuple[ColumnName, ...]
    drift: Distance
    columns: dict[ColumnName, Distance]
    drifted_importance: Share
    missing: Share
    unseen: Share
    out_of_range: Share
    worse_by_at_most: dict[LiveMetricName, Margin]


class Judge(Settings):
    """What a proposal is judged by. A pull request is judged by that of its base, not by its own.

    Attributes:
        threshold: Probability from which on a row is labelled.
        metrics: How models are measured.
        slices: Categories of the contract by whose values the metrics are also shown and judged.
        comparison: What candidate and champion are compared on.
        gates: What is demanded.
    """

    threshold: Annotated[float, Field(gt=0, lt=1)]
    metrics: Metrics
    slices: tuple[Annotated[str, AfterValidator(_known_category)], ...]
    comparison: ComparisonSettings
    gates: Gates

    @model_validator(mode="after")
    def _primary_has_a_margin(self) -> Self:
        if self.metrics.primary not in self.gates.worse_by_at_most:
            raise ValueError(
                f"gates.worse_by_at_most: has no {self.metrics.primary}, the primary metric; "
                f"say by how much it may be worse than the champion's"
            )
        return self

    @model_validator(mode="after")
    def _slices_are_judged(self) -> Self:
        if self.gates.slices_worse_by_at_most and not self.slices:
            raise ValueError("slices: is empty, so gates.slices_worse_by_at_most judges nothing; remove one of the two")
        return self


class Params(Judge):
    """All of params.yaml."""

    window: Months
    holdout: Months
    seed: Seed
    estimator: str
    hyperparameters: Hyperparameters
    model_format: Literal["onnx", "skops"]
    monitoring: Monitoring
    retraining: Retraining

    @model_validator(mode="after")
    def _holdout_after_window(self) -> Self:
        if self.holdout.first <= self.window.last:
            raise ValueError(
                f"the holdout starts in {self.holdout.first}, but the window goes on to {self.window.last}: a model is "
                f"judged on months after those it was trained on. End the window earlier or start the holdout later"
            )
        return self

    @model_validator(mode="after")
    def _known_estimator(self) -> Self:
        names = list(Hyperparameters.model_fields)
        if self.estimator not in names:
            raise ValueError(
                f"estimator: there is no {self.estimator!r}; allowed: {', '.join(names)}{_meant(self.estimator, names)}"
            )
        return self

    def build_estimator(self) -> Any:
        """The chosen estimator, unfitted, as a scikit-learn pipeline."""
        return self.chosen_hyperparameters().build(self.seed)

    def chosen_hyperparameters(self) -> Any:
        """The settings of the chosen estimator."""
        return getattr(self.hyperparameters, self.estimator)


def load_params(path: Path = PARAMS) -> Params:
    """Read params.yaml.

    Raises:
        UserError: Where it is missing, no YAML, or has an unknown, missing or wrong key or value; names each.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing. `git checkout {path}` brings it back.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not valid YAML: {error}") from error
    return _validated(Params, _parsed(text, str(path)), str(path))


def parse_judge(text: str, source: str) -> Judge:
    """Read from the text of a params.yaml what proposals are judged by.

    Args:
        text: Of any commit; what it says besides may be of other code.
        source: What to call it in errors.

    Raises:
        UserError: Where it is no YAML, or this part of it cannot be used by this code.
    """
    values = _parsed(text, source)
    known = values if isinstance(values, dict) else {}
    return _validated(Judge, {name: known[name] for name in Judge.model_fields if name in known}, source)


def _parsed(text: str, source: str) -> Any:
    try:
        return parse_yaml(text)
    except YAMLError as error:
        raise UserError(f"{source} is not valid YAML: {explain_yaml(error)}") from error


def _validated(settings: type[_S], values: Any, source: str) -> _S:
    try:
        # As JSON, because strict settings take a list for a tuple from there only.
        return settings.model_validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        lines = [f"  {_where(e['loc'])}{_what(dict(e))}" for e in error.errors()]
        raise UserError(f"{source} cannot be used:\n" + "\n".join(lines)) from error


def _where(location: tuple[int | str, ...]) -> str:
    return f"{'.'.join(map(str, location))}: " if location else ""


def _what(error: dict[str, Any]) -> str:
    location = error["loc"]
    if error["type"] == "extra_forbidden":
        allowed = _allowed(location[:-1])
        return f"unknown key; allowed here: {', '.join(allowed)}{_meant(str(location[-1]), allowed)}"
    if error["type"] == "missing":
        return "is missing"
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    return f"{error['msg'][0].lower()}{error['msg'][1:]} (it is {error['input']!r})"


def _allowed(location: tuple[int | str, ...]) -> list[str]:
    settings: Any = Params
    for key in location:
        settings = settings.model_fields[key].annotation
    return list(settings.model_fields)


def _meant(word: str, known: list[str]) -> str:
    close = get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
