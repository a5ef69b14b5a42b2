"""The texts of the files that a project has of its own."""

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from lifecycle.adoption import regressors
from lifecycle.adoption.adoption_plan import Plan
from lifecycle.shared.columns import Column, Target
from lifecycle.shared.files import sha256, write_json
from lifecycle.shared.source import Source
from lifecycle.shared.tasks.kinds import task_of

# The files that a project has of its own.
YOURS = (
    *("model/contract.py", "model/data.py", "model/features.py", "model/estimator.py"),
    *("params.yaml", "dvc.yaml", "README.md"),
)
# Their hashes as adoption has written them, so that it can tell them from edited ones.
_WRITTEN = Path("artifacts/adoption.json")
_WIDTH = 120  # characters in a line, as the checks require
# The estimators of a number; those of classes are the template's own.
REGRESSORS = Path(regressors.__file__)

_CONTRACT = '''\
"""The contract: each input column of the model, and its target. Everything is declared once, here.

YOURS TO EDIT. Validation, the request schema of the service, the monitored columns and the model card are derived from
this file. An input may only hold what is known at the time of the prediction.
"""

from lifecycle.shared.columns import Column, Target

NAME = {name}

INPUTS: tuple[Column, ...] = (
{columns}
)

# These columns identify a row, also across data sets and versions: no two rows have the same values.
IDENTITY: tuple[str, ...] = ({identity},)

# The time of the event that a row describes; None if rows have no time.
TIME: str | None = {time}
# What several rows belong to, such as a customer or a machine; None if there is nothing like that.
GROUP: str | None = {group}
# Rows of one cluster are not independent of one another: they share a day, or a customer's habits. Intervals are
# computed from whole clusters. "day" (of TIME), "row" (all rows are independent) or the name of an input. If None,
# clusters are the days of TIME or the values of GROUP; with both, whichever are fewer; with neither, the rows.
CLUSTER: str | None = None

TARGET = {target}
'''

_DATA = '''\
"""The source of the data.

YOURS TO EDIT: `make ingest` validates what `fetch` returns and adds it to data/.
"""

from collections.abc import Iterator

import pandas as pd

from lifecycle.shared.source import Source
{environment}
SOURCE = {source}
# By column of the contract, the SQL of its values in terms of the source's columns, as DuckDB reads it.
COLUMNS = {{
{columns}
}}


def fetch(part: str) -> Iterator[pd.DataFrame]:
    """Return the rows of {what}: the contract's inputs as known at the prediction, and the target.

    Args:
        part: {part}

    Returns:
        Frames with some of the rows each, or one frame with all of them, in any order; none if the source has no rows.
    """
    return SOURCE.rows(part, COLUMNS{time})
'''

_FEATURES = '''\
"""The features: one function turns the contract's columns into numbers, in training and in the service.

YOURS TO EDIT. These features follow from the contract. To add one of your own, append its name to NAMES and its column
to the matrix. It works on NumPy columns, so that the serving image needs no pandas, and depends only on the row.
"""

import numpy as np
from numpy.typing import NDArray

from lifecycle.shared import plain_features
from lifecycle.shared.columns import Codes, Columns

# Columns of the contract whose feature is the code of the category.
CODED = plain_features.CODED
# The features, in the order of the matrix. The first ones are categories, whose codes have no order.
CATEGORICAL = plain_features.CATEGORICAL
NAMES = plain_features.NAMES
UNSEEN = plain_features.UNSEEN  # the code of a category that is not in the training data


def features(columns: Columns, codes: Codes) -> NDArray[np.float32]:
    """Compute the feature matrix.

    Args:
        columns: The contract's inputs by name, each of shape (rows,); see `Columns`.
        codes: For each column of `CODED`, the code of each category in the training data.

    Returns:
        Matrix of shape (rows, len(NAMES)), NaN where a value is missing.
    """
    return plain_features.features(columns, codes)
'''


def record_written() -> None:
    """Remember the files as they are."""
    write_json(_WRITTEN, {path: sha256(Path(path)) for path in YOURS})


def is_as_written(path: str) -> bool:
    """Return whether a file is as adoption has written it."""
    written = json.loads(_WRITTEN.read_text(encoding="utf-8")) if _WRITTEN.exists() else {}
    return written.get(path) == sha256(Path(path))


def contract_text(plan: Plan) -> str:
    """Return the text of model/contract.py."""
    return _CONTRACT.format(
        name=_string(plan.name),
        columns="\n".join(_call(column, "    ") for column in plan.columns),
        identity=", ".join(map(_literal, plan.identity)),
        time=_literal(plan.time),
        group=_literal(plan.group),
        target=_call(plan.target, "").rstrip(","),
    )


def data_text(plan: Plan, source: Source) -> str:
    """Return the text of model/data.py. The URL of a database is read from DATA_URL, because it may have a password."""
    by_time = plan.split.by == "time"
    location = 'os.environ.get("DATA_URL", "")' if source.query else _string(source.location)
    query = f", query={_string(source.query)}" if source.query else ""
    about_url = "\n# The URL of the database may have a password, so it is not written here.\n"
    batch = "The number of the batch; `make ingest` leaves out the rows of earlier ones."
    text = _DATA.format(
        environment=about_url if source.query else "",
        source=f"Source({location}{query})",
        columns="\n".join(_entry(name, sql) for name, sql in plan.sql.items()),
        what=f"a {plan.split.period}" if by_time else "the source",
        part=f"The {plan.split.period}." if by_time else batch,
        time=f", time={_string(str(plan.time))}" if by_time else "",
    )
    return text.replace("from collections.abc", "import os\nfrom collections.abc", 1) if source.query else text


def readme_text(plan: Plan) -> str:
    """Return the text of README.md."""
    return _README.format(name=plan.name, target=plan.target.name)


def features_text() -> str:
    """Return the text of model/features.py."""
    return _FEATURES


def _call(column: Column | Target, indent: str) -> str:
    """Return the call that makes a column, without what has its default value."""
    lines = [f"{indent}{type(column).__name__}("]
    for attribute in fields(column):
        value = getattr(column, attribute.name)
        if value != attribute.default:
            lines.append(f"{indent}    {attribute.name}={_literal(value)},")
    return "\n".join([*lines, f"{indent}),"])


def _literal(value: Any) -> str:
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, tuple):
        return f"({', '.join(map(_literal, value))}{',' if len(value) == 1 else ''})"
    return repr(value)


def _string(text: str) -> str:
    """Return a text as literal, in the quotes that the formatter would choose."""
    quote = "'" if text.count('"') > text.count("'") else '"'
    escaped = json.dumps(text, ensure_ascii=False)[1:-1].replace('\\"', '"').replace(quote, f"\\{quote}")
    return f"{quote}{escaped}{quote}"


def _entry(name: str, sql: str) -> str:
    """Return a line of `COLUMNS`."""
    line = f"    {_string(name)}: {_string(sql)},"
    return line if len(line) <= _WIDTH else f"{line}  # noqa: E501"


def params_text(plan: Plan, gates: Mapping[str, Any]) -> str:
    """Return the text of params.yaml.

    Args:
        plan: The plan.
        gates: Text of the gates and of the live margins, by "primary", "floors", "margins", "live" and "comment".
    """
    by_time = plan.split.by == "time"
    how = f"period: {plan.split.period}" if by_time else f"salt: {plan.split.salt}"
    least = max(1, min(100, plan.rows // 100))
    return _PARAMS.format(
        split=f"{{by: {plan.split.by}, {how}}}",
        window=f"{{first: {plan.window.first}, last: {plan.window.last}}}",
        holdout=f"{{first: {plan.holdout.first}, last: {plan.holdout.last}}}",
        estimators=_HYPERPARAMETERS.format(
            least=least,
            loss="\n    loss: squared_error" if plan.target.type == "number" else "",
            linear=_LINEAR["number" if plan.target.type == "number" else "classes"],
        ),
        threshold=0.5 if task_of(plan.target).has_threshold else "null",
        max_age="90           # after the last period of data that the champion knows" if by_time else "null",
        new_labels=max(100, plan.rows // 2),
        **gates,
    )


_README = """\
# {name}

Predicts `{target}`. `model/` and `params.yaml` define the model, `lifecycle/` takes it to production and watches it.

```console
make              # bring data, model and metrics up to date
make check        # check your model: style, types, and the pipeline on a sample of your data
make serve        # serve the model on http://localhost:3000
make help         # list all targets
```

To change the model, edit `model/` or `params.yaml` and open a pull request: CI compares the new model with the one in
production and comments the verdict. A merge releases it.

[Your data](docs/data.md) · [pipeline](docs/pipeline.md) · [proposals and gates](docs/proposals.md) ·
[releases and rollback](docs/releases.md) · [service and its log](docs/serving.md) ·
[monitoring and retraining](docs/monitoring.md) · [settings](docs/settings.md) · [operations](docs/operations.md) ·
[troubleshooting](docs/troubleshooting.md) · [upgrade](docs/upgrade.md)
"""

_LINEAR = {
    "classes": "logistic_regression:\n    C: 1.0\n    max_iter: 500",
    "number": "ridge:\n    alpha: 1.0",
}
_HYPERPARAMETERS = """\
  hist_gradient_boosting:{loss}
    max_iter: 200
    learning_rate: 0.05
    max_leaf_nodes: 31
    min_samples_leaf: {least}
    max_features: 0.5
    l2_regularization: 1.0
  {linear}
  random_forest:
    n_estimators: 100
    min_samples_leaf: {least}
    max_features: sqrt
  lightgbm:
    n_estimators: 200
    learning_rate: 0.05
    num_leaves: 31
    min_child_samples: {least}
    colsample_bytree: 0.5
    reg_lambda: 1.0"""

_PARAMS = """\
# What a run of the pipeline depends on besides code and data. Edit, then run `make`; an error names a misspelt key.

# How rows become training data and holdout: docs/data.md.
split: {split}
# Parts to train on and parts to judge on; first and last are included.
window: {window}
holdout: {holdout}

seed: 1

# One of the names under hyperparameters.
estimator: hist_gradient_boosting
hyperparameters:
{estimators}

# onnx: fast, small, needs neither scikit-learn nor pandas to serve. skops: for an estimator that cannot be exported;
# serving then needs scikit-learn in exactly the version of the training, starts slower and answers many times slower.
model_format: onnx

# Rows with at least this probability are labelled true; null unless the target is true or false.
threshold: {threshold}

metrics:
  primary: {primary}
  confidence: 0.95       # level of the intervals
  calibration_bins: 10

# Categories of the contract; the metrics are also shown and judged for each of their values.
slices: []

# Candidate and champion are compared on the holdout, and as recipes at earlier origins: each is trained without the
# period (or the folds) that it is judged on.
comparison:
  origins: 4
  seeds: 1               # models per recipe and origin, each with another seed

# What a model must reach to be merged. A pull request is judged by the gates of its base.
gates:
{comment}
  # Skill over the baseline on the same rows: 0 is the baseline, 1 a perfect model.
  skill_at_least: {floors}
  # The largest loss against the champion that still passes.
  worse_by_at_most: {margins}
  # If there are too few rows to tell whether the primary metric loses more than that: refuse, or pass (and say so)
  # unless it looks as if it does.
  unclear: pass
  # A slice with at least this many rows fails if the whole interval of its loss lies beyond the margin.
  slice_rows: 500
  slices_worse_by_at_most: {{}}
  latency_milliseconds: 5   # of a single row, without HTTP
  answer_milliseconds: 20   # of a single row, from the finished image over HTTP
  model_mebibytes: 50

# When a check of production warns. Production is compared with the data that the model was trained and judged on.
monitoring:
  days: 28
  rows: 200                  # with fewer, neither distributions nor live metrics are judged
  season: []                 # columns that vary with the season, which are compared with the same season
  # jensen_shannon, psi or kolmogorov_smirnov. Whatever the threshold, a difference that is common in that data is not
  # a drift.
  drift: {{method: jensen_shannon, threshold: 0.1}}
  columns: {{}}
  drifted_importance: 0.1    # share of all columns' importance from which drift is a warning
  missing: 0.05
  unseen: 0.02
  out_of_range: 0.02
  repeated: 0.1
  # The largest loss of live metrics against the holdout; the whole interval must lie beyond it for a warning.
  worse_by_at_most: {live}

# When the repository proposes a new model by itself: if both drift and live metrics call for it, if the champion is
# old, or if there are many new outcomes.
retraining:
  window: expanding          # or a number of periods
  max_age_days: {max_age}
  new_labels: {new_labels}   # outcomes in the prediction log since then
  cooldown_days: 14          # between two proposals
  auto_merge: false          # if the verdict is "better" and all gates are passed
"""
