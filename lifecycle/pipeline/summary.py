"""The summary that `make` prints last: the metrics, the time of each stage, and next steps."""

import json
from collections.abc import Mapping
from typing import Any

from lifecycle.pipeline import stage
from lifecycle.pipeline.checks import Check, in_digits, reported_floors
from lifecycle.shared.chosen_task import METRICS, TASK
from lifecycle.shared.clusters import count_in_words
from lifecycle.shared.params import Params
from lifecycle.shared.parts import later
from model import contract


def summary(params: Params, run: str | None) -> str:
    """Describe the result of the last run.

    Args:
        params: Parameters of the run.
        run: Id of its MLflow run; None if it was not tracked.
    """
    reported = json.loads((stage.REPORTS / "metrics.json").read_text(encoding="utf-8"))
    metadata = json.loads((stage.MODEL / "metadata.json").read_text(encoding="utf-8"))
    window, holdout = metadata["window"], params.holdout
    target = TASK.summary_in_words(reported["target"])
    times = [(name, stage.seconds_taken(name)) for name in stage.STAGES]
    timings = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in times if seconds is not None)
    clusters = count_in_words(**reported["clusters"])
    floors = {check.metric: check for check in reported_floors(params.gates, reported)}
    return "\n".join(
        [
            f"{contract.NAME}: {metadata['estimator']}",
            f"  trained on {_span(window['first'], window['last'])}, {metadata['rows']:,} rows",
            f"  judged on {_span(holdout.first, holdout.last)}, {reported['rows']:,} rows in {clusters}, {target}",
            "",
            *_metrics(reported, floors, f"{params.metrics.confidence:.0%} interval"),
            "",
            f"  stages: {timings or 'all from the cache'}",
            *([f"  MLflow run: {run}"] if run else []),
            "",
            "Next:",
            "  make ui                look at the run, its plots and its model in MLflow",
            "  another estimator      `estimator: lightgbm` in params.yaml, `make`, `.venv/bin/dvc metrics diff`",
            *_next_data(params),
        ]
    )


def _next_data(params: Params) -> list[str]:
    if params.split.by != "time":
        return ["  more rows              `make ingest`, `make`"]
    period, name = params.split.period, later(params.holdout.last, 1)
    return [
        f"  {f'the next {period}':22} `make ingest PART={name}`, move window and holdout on by a {period} in",
        "                         params.yaml, `make`",
    ]


def _span(first: str, last: str) -> str:
    return first if first == last else f"{first} to {last}"


def _metrics(reported: dict[str, Any], floors: Mapping[str, Check], interval: str) -> list[str]:
    """Return the lines of a table of all metrics."""
    rows = [("", "model", interval, "baseline", "skill")]
    rows += [_row(name, reported, floors.get(name)) for name in METRICS]
    of_label, of_value, of_interval, of_baseline = (
        max(least, *(len(row[place]) for row in rows)) for place, least in enumerate((18, 7, 18, 9))
    )
    return [
        f"  {label:{of_label}} {value:>{of_value}}   {interval:{of_interval}} {baseline:>{of_baseline}}   {skill}"
        for label, value, interval, baseline, skill in rows
    ]


def _row(name: str, reported: dict[str, Any], floor: Check | None) -> tuple[str, str, str, str, str]:
    metric = reported["model"][name]
    interval = f"{in_digits(metric['low'])} to {in_digits(metric['high'])}"
    value, baseline = in_digits(metric["value"]), in_digits(reported["baseline"][name])
    gate = ""
    if floor:
        skill = "-" if floor.found is None else f"{floor.found:.3f}"
        gate = f"{skill}, at least {floor.allowed:g}: {'passed' if floor.passed else 'MISSED'}"
    return METRICS[name].label, value, interval, baseline, gate
