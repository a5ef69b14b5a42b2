"""params.yaml as typed, frozen and strict settings."""

import json
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, ValidationError, model_validator

from lifecycle.shared.chosen_task import METRICS, TASK
from lifecycle.shared.console import UserError
from lifecycle.shared.inputs import feature_columns
from lifecycle.shared.parts import is_fold, kind_of, part_range
from lifecycle.shared.settings import Settings
from lifecycle.shared.yaml_text import YAMLError, explain_yaml, parse_yaml
from model import contract
from model.estimator import Count, Hyperparameters

PARAMS = Path("params.yaml")

_S = TypeVar("_S", bound=Settings)

Seed = Annotated[int, Field(ge=0, lt=2**32)]


def _known_metric(name: str) -> str:
    if name not in METRICS:
        raise ValueError(f"there is no metric {name!r}; allowed: {', '.join(METRICS)}{_meant(name, list(METRICS))}")
    return name


def _live_metric(name: str) -> str:
    live = [metric.name for metric in METRICS.values() if metric.live]
    if _known_metric(name) not in live:
        raise ValueError(f"{name!r} cannot be computed in production; allowed: {', '.join(live)}")
    return name


MetricName = Annotated[str, AfterValidator(_known_metric)]
LiveMetricName = Annotated[str, AfterValidator(_live_metric)]


def _known_part(name: str) -> str:
    kind_of(name)
    return name


Part = Annotated[str, AfterValidator(_known_part)]


class Split(Settings):
    """The way in which rows become training data and holdout.

    Attributes:
        by: ``time``: the holdout comes after the window. ``group`` or ``row``: the holdout is a random part of the
            groups (GROUP in the contract) or of the rows, which stay in it for ever.
        period: Length of a part, for a split by time.
        salt: Number that the random assignment depends on, for a split by group or by row. Another number makes other
            parts: then no model can be compared with an earlier one.
    """

    by: Literal["time", "group", "row"]
    period: Literal["day", "week", "month"] | None = None
    salt: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        needed = {"period": self.by == "time", "salt": self.by != "time"}
        for name, is_needed in needed.items():
            if is_needed != (getattr(self, name) is not None):
                raise ValueError(f"a split by {self.by} {'needs' if is_needed else 'has no'} {name}")
        return self


class Span(Settings):
    """A span of parts of the data, both ends included; see lifecycle/shared/parts.py."""

    first: Part
    last: Part

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        kinds = kind_of(self.first), kind_of(self.last)
        if kinds[0] != kinds[1]:
            raise ValueError(f"first ({self.first}) is a {kinds[0]}, but last ({self.last}) is a {kinds[1]}")
        if self.first > self.last:
            raise ValueError(f"first ({self.first}) lies after last ({self.last}), so the span is empty")
        return self

    def parts(self) -> list[str]:
        """Return each part of the span."""
        return part_range(self.first, self.last)

    def in_words(self) -> str:
        """Return the first and the last part, or the only one."""
        return self.first if self.first == self.last else f"{self.first} to {self.last}"


class Metrics(Settings):
    """Settings of the metrics that models are measured by.

    Attributes:
        primary: Metric that decides whether a model is better; the other metrics only guard against losses.
        confidence: Confidence level of the intervals.
        calibration_bins: Number of bins of the calibration error and of the calibration curve.
    """

    primary: MetricName
    confidence: Annotated[float, Field(gt=0, lt=1)]
    calibration_bins: Count


class ComparisonSettings(Settings):
    """Settings of the comparison between a candidate and the champion.

    Attributes:
        origins: Number of points in time up to which both recipes are trained; each model is judged on the period that
            follows. The last origin is that of the holdout.
        seeds: Number of models, with different seeds, that each recipe trains at each origin; their metrics are
            averaged.
    """

    origins: Count
    seeds: Count


Margin = Annotated[float, Field(ge=0)]


class Gates(Settings):
    """Requirements that a model must meet to be merged.

    Attributes:
        skill_at_least: Least skill over the baseline on the same rows, by metric: 0 is the baseline, 1 a perfect model.
        worse_by_at_most: The largest loss against the champion that still passes, by metric.
        unclear: Whether a model passes if there are too few rows to tell whether its primary metric is worse than
            allowed. A model that looks worse by more than the margin never passes.
        slice_rows: Least number of rows of a slice that is judged; smaller slices are only shown.
        slices_worse_by_at_most: The largest loss against the champion in a slice that still passes, by metric.
        latency_milliseconds: The longest time to predict a single row that still passes.
        answer_milliseconds: The longest time that the image may take to answer a single-row request over HTTP.
        model_mebibytes: The largest size of the model directory that still passes.
        rejected_share: Largest share of production's newest rows that a version may reject and still be deployed.
    """

    skill_at_least: dict[MetricName, Annotated[float, Field(lt=1)]]
    worse_by_at_most: dict[MetricName, Margin]
    unclear: Literal["refuse", "pass"]
    slice_rows: Count
    slices_worse_by_at_most: dict[MetricName, Margin]
    latency_milliseconds: Annotated[float, Field(gt=0)]
    answer_milliseconds: Annotated[float, Field(gt=0)]
    model_mebibytes: Annotated[float, Field(gt=0)]
    # The params.yaml of a commit before this setting lacks it.
    rejected_share: Annotated[float, Field(ge=0, le=1)] = 0.0


class Retraining(Settings):
    """Rules by which the repository proposes a new model by itself.

    Attributes:
        window: ``expanding`` to keep the first period of the window, or the number of periods of the new window.
        max_age_days: Number of days after the champion's last period of data from which a new model is due; null
            without a split by time.
        new_labels: Number of outcomes reported since then from which a new model is due.
        cooldown_days: Least number of days between two proposals.
        auto_merge: Whether a proposal that is better and passes each gate is merged automatically.
    """

    window: Literal["expanding"] | Count
    max_age_days: Count | None
    new_labels: Count
    cooldown_days: Annotated[int, Field(ge=0)]
    auto_merge: bool


def _known_category(name: str) -> str:
    categories = [column.name for column in contract.INPUTS if column.type == "category"]
    if name not in categories:
        raise ValueError(f"{name!r} is not a category of the contract; allowed: {', '.join(categories)}")
    return name


def _known_column(name: str) -> str:
    columns = [column.name for column in feature_columns()]
    if name not in columns:
        raise ValueError(f"{name!r} is not an input of the contract that is watched{_meant(name, columns)}")
    return name


ColumnName = Annotated[str, AfterValidator(_known_column)]
Share = Annotated[float, Field(gt=0, lt=1)]


class Distance(Settings):
    """A distance between two distributions, and the threshold above which it counts as drift.

    Attributes:
        method: Name of the distance; see lifecycle/shared/histograms.py.
        threshold: Largest distance that does not count as drift.
    """

    method: Literal["jensen_shannon", "psi", "kolmogorov_smirnov"]
    threshold: Annotated[float, Field(gt=0)]


class Monitoring(Settings):
    """Thresholds of the checks of production.

    Attributes:
        days: Number of days that a check covers.
        rows: Least number of rows to judge distributions, and of outcomes to judge live metrics.
        season: Columns that are compared with the same season.
        drift: Distance and threshold of the columns that `columns` does not name.
        columns: Distance and threshold by column.
        drifted_importance: Share of the importance of all columns from which the drifted columns are a warning.
        missing: Largest tolerated increase of the share of rows with a missing value.
        unseen: Largest tolerated increase of the share of rows with an unseen category.
        repeated: Largest tolerated share of rows whose identity an earlier row has.
        out_of_range: Largest tolerated increase of the share of rows outside of the range of the training data.
        worse_by_at_most: The largest loss against the holdout that is tolerated, by metric. A loss is a finding if its
            whole interval lies beyond.
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
    repeated: Share = 0.1  # the params.yaml of a commit before this setting lacks it
    worse_by_at_most: dict[LiveMetricName, Margin]


class Judge(Settings):
    """Settings that a proposal is judged by. A pull request is judged by those of its base, not by its own.

    Attributes:
        threshold: Least probability at which a row is labelled positive; null unless the target is true or false.
        metrics: Settings of the metrics.
        slices: Categories of the contract; the metrics are also shown and judged for each of their values.
        comparison: Settings of the comparison with the champion.
        gates: Requirements that a model must meet.
    """

    threshold: Annotated[float, Field(gt=0, lt=1)] | None
    metrics: Metrics
    slices: tuple[Annotated[str, AfterValidator(_known_category)], ...]
    comparison: ComparisonSettings
    gates: Gates

    @model_validator(mode="after")
    def _threshold_fits_the_target(self) -> Self:
        if TASK.has_threshold != (self.threshold is not None):
            needed = "is needed to label a target that is true or false" if TASK.has_threshold else "must be null"
            raise ValueError(f"threshold: {needed} (the type of the target is {contract.TARGET.type})")
        return self

    @model_validator(mode="after")
    def _primary_has_a_margin(self) -> Self:
        if self.metrics.primary not in self.gates.worse_by_at_most:
            raise ValueError(
                f"gates.worse_by_at_most: has no {self.metrics.primary}, the primary metric; "
                f"add the largest loss against the champion that still passes"
            )
        return self

    @model_validator(mode="after")
    def _slices_are_judged(self) -> Self:
        if self.gates.slices_worse_by_at_most and not self.slices:
            raise ValueError(
                "slices: is empty, so gates.slices_worse_by_at_most judges nothing; add a slice or remove those margins"
            )
        return self


class Params(Judge):
    """All of params.yaml."""

    split: Split
    window: Span
    holdout: Span
    seed: Seed
    estimator: str
    hyperparameters: Hyperparameters
    model_format: Literal["onnx", "skops"]
    monitoring: Monitoring
    retraining: Retraining

    @model_validator(mode="after")
    def _parts_fit_the_split(self) -> Self:
        columns = {"time": contract.TIME, "group": contract.GROUP}
        if columns.get(self.split.by, "") is None:
            use = self.split.by
            raise ValueError(f"split: by {use} needs {use.upper()} in model/contract.py, which is None")
        wanted = self.split.period or "fold"
        for name, part in (("window", self.window.first), ("holdout", self.holdout.first)):
            if kind_of(part) != wanted:
                raise ValueError(f"{name}: {part} is a {kind_of(part)}, but with this `split` it has to be a {wanted}")
        return self

    @model_validator(mode="after")
    def _holdout_apart_from_window(self) -> Self:
        if is_fold(self.holdout.first):
            common = [part for part in self.holdout.parts() if part in self.window.parts()]
            if common:
                raise ValueError(
                    f"window and holdout have {', '.join(common)} in common: a model is judged on rows that it was not "
                    f"trained on"
                )
        elif self.holdout.first <= self.window.last:
            raise ValueError(
                f"the holdout starts in {self.holdout.first}, but the window goes on to {self.window.last}: a model is "
                f"judged on periods after those it was trained on. End the window earlier or start the holdout later"
            )
        return self

    @model_validator(mode="after")
    def _time_only_by_time(self) -> Self:
        if self.split.by != "time":
            if self.monitoring.season:
                raise ValueError("monitoring.season: must be empty without a split by time")
            if self.retraining.window != "expanding":
                raise ValueError("retraining.window: must be expanding without a split by time")
        if (self.split.by == "time") != (self.retraining.max_age_days is not None):
            state = "is needed with" if self.split.by == "time" else "must be null without"
            raise ValueError(f"retraining.max_age_days: {state} a split by time")
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
        """Build the chosen estimator as an unfitted scikit-learn pipeline."""
        return self.chosen_hyperparameters().build(self.seed)

    def chosen_hyperparameters(self) -> Any:
        """Return the settings of the chosen estimator."""
        return getattr(self.hyperparameters, self.estimator)


def load_params(path: Path = PARAMS) -> Params:
    """Read params.yaml.

    Raises:
        UserError: If it is missing, is not valid YAML, or has unknown, missing or invalid settings; names each setting.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing. `git checkout {path}` restores it.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not valid YAML: {error}") from error
    return _validated(Params, _parsed(text, str(path)), str(path))


def parse_judge(text: str, source: str) -> Judge:
    """Parse the settings that proposals are judged by from the text of a params.yaml.

    Args:
        text: params.yaml of any commit; its other settings may be for other code.
        source: Name of the text in error messages.

    Raises:
        UserError: If it is not valid YAML, or this code cannot use these settings.
    """
    values = _parsed(text, source)
    settings = values if isinstance(values, dict) else {}
    return _validated(Judge, {name: settings[name] for name in Judge.model_fields if name in settings}, source)


def _parsed(text: str, source: str) -> Any:
    try:
        return parse_yaml(text)
    except YAMLError as error:
        raise UserError(f"{source} is not valid YAML: {explain_yaml(error)}") from error


def _validated(settings: type[_S], values: Any, source: str) -> _S:
    try:
        # Validated as JSON, because strict settings accept a list for a tuple only in JSON.
        return settings.model_validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        lines = [f"  {_location(e['loc'])}{_problem(dict(e))}" for e in error.errors()]
        raise UserError(f"{source} cannot be used:\n" + "\n".join(lines)) from error


def _location(location: tuple[int | str, ...]) -> str:
    return f"{'.'.join(map(str, location))}: " if location else ""


def _problem(error: dict[str, Any]) -> str:
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
    """Return a suggestion for a misspelt word; empty if no known word is similar."""
    close = get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
