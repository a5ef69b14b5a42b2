"""Expected metrics against those that outcomes show, on the months of the real year; part of benchmarks/watch.md."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from tqdm import tqdm

from lifecycle.pipeline.ingest import ingest
from lifecycle.pipeline.prepare import prepare
from lifecycle.shared.chosen_task import METRICS, TASK
from lifecycle.shared.expectation import expect, find_gaps
from lifecycle.shared.intervals import MOST_GROUPS, Interval
from lifecycle.shared.params import Params, load_params
from lifecycle.shared.parts import part_range, read_part
from lifecycle.shared.tables import to_columns, to_target
from model import contract
from model.features import features

YEAR = part_range("2013-01", "2013-12")
LIVE = YEAR[4:]
CONFIDENCE = 0.95
DELAYS = (1, 7, 30)  # days from a prediction to its outcome
NEAR = 0.02  # of ROC AUC
CLUSTER = "cluster"

TEMPLATE = """\
## Before outcomes arrive

The metrics that probabilities let expect, and those that the outcomes of {months} show later, for a model that stays
(of January to March, evaluated on April) and for one that is trained anew each month (evaluated on the month before).
The mean error is compared with that of the promise: that the metric stays as on the holdout.

| model | metric | error of the estimate | error of the promise | inside of the 95% interval |
| --- | --- | ---: | ---: | ---: |
{errors}

How many days it takes from the start of a month until ROC AUC is within {near} of that of the whole month, and stays
there: medians over the {count} months of the model that is trained anew, and in how many of them it happens at all:

| | days | months |
| --- | ---: | ---: |
{early}

ROC AUC by month, of the model that is trained anew:

| month | promised | expected | observed |
| --- | ---: | --- | ---: |
{by_month}
"""


class Month(NamedTuple):
    """A month of production.

    Attributes:
        estimates: Expected metrics with their intervals, by name.
        observed: Metrics by name.
        promised: Metrics of the holdout by name.
        rows: Its rows, with `prediction`, `outcome`, `day` and the cluster column.
    """

    estimates: Mapping[str, Interval]
    observed: Mapping[str, float]
    promised: Mapping[str, float]
    rows: Any


def section() -> str:
    """Train, estimate, and return the section of the page."""
    with tempfile.TemporaryDirectory() as name:
        data, params = Path(name) / "data", load_params()
        for month in tqdm(YEAR, "months", disable=None):
            ingest(month, params.split, data)
        staying = _scored(params, data, Path(name), "2013-03", ("2013-04", *LIVE))
        results = {
            "stays": [_month(staying["2013-04"], staying[month]) for month in LIVE],
            "trained anew": [_trained_anew(params, data, Path(name), month) for month in tqdm(LIVE, disable=None)],
        }
    anew = results["trained anew"]
    return TEMPLATE.format(
        months=f"{LIVE[0]} to {LIVE[-1]}",
        errors="\n".join(line for model, months in results.items() for line in _errors(model, months)),
        near=NEAR,
        count=len(LIVE),
        early="\n".join(_early(anew)),
        by_month="\n".join(
            f"| {name} | {month.promised['roc_auc']:.3f} | {_in_words(month.estimates['roc_auc'])} | "
            f"{month.observed['roc_auc']:.3f} |"
            for name, month in zip(LIVE, anew, strict=True)
        ),
    )


def _trained_anew(params: Params, data: Path, folder: Path, month: str) -> Month:
    place = YEAR.index(month)
    holdout = YEAR[place - 1]
    scored = _scored(params, data, folder, YEAR[place - 2], (holdout, month))
    return _month(scored[holdout], scored[month])


def _scored(params: Params, data: Path, folder: Path, last: str, months: Sequence[str]) -> dict[str, Any]:
    """Train on the months up to the last one, and score others."""
    window, scored, pipeline = params.window.model_copy(update={"first": YEAR[0], "last": last}), {}, None
    for month in months:
        holdout = params.holdout.model_copy(update={"first": month, "last": month})
        prepared = folder / f"{last}-{month}"
        prepare(params.model_copy(update={"window": window, "holdout": holdout}), data, prepared)
        if pipeline is None:
            train = pq.read_table(prepared / "train.parquet")
            matrix = np.column_stack([train.column(name).to_numpy() for name in train.column_names[:-1]])
            pipeline = params.build_estimator().fit(matrix, to_target(train))
        rows = read_part(month, data)
        codes = json.loads((prepared / "codes.json").read_text(encoding="utf-8"))
        probability = TASK.predict(pipeline, features(to_columns(rows), codes))
        day = rows.column(str(contract.TIME)).to_numpy().astype("datetime64[D]").astype(np.intp)
        columns = {"prediction": probability.astype(np.float64), "outcome": to_target(rows), "day": day}
        scored[month] = pd.DataFrame({**columns, CLUSTER: day % MOST_GROUPS})
    return scored


def _month(holdout: Any, rows: Any) -> Month:
    gaps = find_gaps(duckdb.from_df(holdout), CLUSTER)
    return Month(expect(duckdb.from_df(rows), CLUSTER, gaps, CONFIDENCE), _live(rows), _live(holdout), rows)


def _live(rows: Any) -> dict[str, float]:
    names, values, _ = TASK.live(duckdb.from_df(rows), CLUSTER)
    return dict(zip(names, values.tolist(), strict=True))


def _errors(model: str, months: Sequence[Month]) -> list[str]:
    lines = []
    for name in months[0].estimates:
        estimated = np.mean([abs(month.estimates[name].value - month.observed[name]) for month in months])
        promised = np.mean([abs(month.promised[name] - month.observed[name]) for month in months])
        inside = sum(
            month.estimates[name].low <= month.observed[name] <= month.estimates[name].high for month in months
        )
        cells = (METRICS[name].label, f"{estimated:.3f}", f"{promised:.3f}", f"{inside} of {len(months)}")
        lines.append(f"| {model} | {' | '.join(cells)} |")
    return lines


def _early(months: Sequence[Month]) -> list[str]:
    """Return the days that it takes, for the estimate and for outcomes with each delay."""

    def expected(rows: Any) -> float:
        names, values, _ = TASK.expected(duckdb.from_df(rows), CLUSTER)
        return float(values[names.index("roc_auc")])

    lines = {"expected, without outcomes": [_days(month, expected, 0) for month in months]}
    for delay in DELAYS:
        label = f"outcomes after {delay} day{'s' if delay > 1 else ''}"
        lines[label] = [_days(month, lambda rows: _live(rows)["roc_auc"], delay) for month in months]
    return [
        f"| {label} | {np.median([day for day in days if day]) if any(days) else '-':g} | {sum(map(bool, days))} |"
        for label, days in lines.items()
    ]


def _days(month: Month, measure: Any, delay: int) -> int | None:
    """Return the first day from which on a measure is near the metric of the month; None if it never is."""
    first, last = month.rows["day"].min(), month.rows["day"].max()
    near = []
    for day in range(first, last + 1):
        rows = month.rows[month.rows["day"] <= day]
        near.append(len(rows) > 0 and abs(measure(rows) - month.observed["roc_auc"]) <= NEAR)
    away = [place for place, is_near in enumerate(near) if not is_near]
    start = away[-1] + 1 if away else 0
    return start + 1 + delay if start < len(near) else None


def _in_words(interval: Interval) -> str:
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
