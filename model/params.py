"""params.yaml as typed, frozen, strict settings."""

import json
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, Field, ValidationError, model_validator

from model import contract
from model.console import UserError
from model.estimator import Count, Hyperparameters
from model.months import month_range
from model.settings import Settings

PARAMS = Path("params.yaml")

Month = Annotated[str, Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])$")]
MetricName = Literal["roc_auc", "average_precision", "log_loss", "brier_score", "calibration_error"]
# What can be told of production, where rows are counted and not kept.
LiveMetricName = Literal["roc_auc", "average_precision", "log_loss", "brier_score"]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


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
    """How the metrics and their intervals are computed."""

    resamples: Annotated[int, Field(ge=100)]
    confidence: Annotated[float, Field(gt=0, lt=1)]
    calibration_bins: Count


Margin = Annotated[float, Field(ge=0)]


class Gates(Settings):
    """What a model must hold to be merged.

    Attributes:
        at_least: Floors on the holdout, by metric.
        at_most: Ceilings on the holdout, by metric.
        worse_by_at_most: How much worse than the champion, by metric.
        slice_rows: Slices with fewer rows are shown and not judged.
        slices_worse_by_at_most: How much worse than the champion in a slice, by metric.
        latency_milliseconds: Of predicting a single row.
        answer_milliseconds: Of a single row, asked of the image over HTTP.
        model_mebibytes: Size of the model folder.
    """

    at_least: dict[MetricName, float]
    at_most: dict[MetricName, float]
    worse_by_at_most: dict[MetricName, Margin]
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
        method: See model/monitoring/drift.py.
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


class Params(Settings):
    """All of params.yaml."""

    window: Months
    holdout: Months
    seed: Seed
    estimator: str
    hyperparameters: Hyperparameters
    model_format: Literal["onnx", "skops"]
    threshold: Annotated[float, Field(gt=0, lt=1)]
    metrics: Metrics
    slices: tuple[Annotated[str, AfterValidator(_known_category)], ...]
    gates: Gates
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
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing. `git checkout {path}` brings it back.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {error}") from error
    try:
        # As JSON, because strict settings take a list for a tuple from there only.
        return Params.model_validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        lines = [f"  {_where(e['loc'])}{_what(dict(e))}" for e in error.errors()]
        raise UserError(f"{path} cannot be used:\n" + "\n".join(lines)) from error


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
