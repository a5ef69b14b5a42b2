"""The model card of a version (Mitchell et al. 2019): purpose, performance, inputs, limits and lineage.

All of it is derived from the contract, the lineage and the reports.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lifecycle.pipeline.checks import in_digits
from lifecycle.proposal.report import metrics_alone
from lifecycle.shared.chosen_task import METRICS, TASK
from lifecycle.shared.columns import Column
from lifecycle.shared.inputs import request_columns
from lifecycle.shared.params import Params
from lifecycle.shared.text import foreign, table
from model import contract

_SHOWN = 5  # slices in each of the two groups, best and worst
_NAMED = 20  # slices with too few rows that are listed by name


@dataclass(frozen=True)
class Trained:
    """The results of a pipeline run.

    Attributes:
        metadata: Metadata of the model directory.
        reported: Metrics on the whole holdout, as `evaluate` writes them.
        slices: Metrics of each slice, by column and value.
        params: Parameters of the run.
    """

    metadata: Mapping[str, Any]
    reported: Mapping[str, Any]
    slices: Mapping[str, Mapping[str, Any]]
    params: Params


def card(trained: Trained, tags: Mapping[str, str]) -> str:
    """Return the model card in Markdown.

    Args:
        trained: Results of the pipeline run that trained the model.
        tags: Lineage of the version, as registered.
    """
    metadata, reported, params = trained.metadata, trained.reported, trained.params
    about = (
        f"A {metadata['estimator'].replace('_', ' ')} trained on {metadata['rows']:,} rows of {tags['window']}: "
        f"{TASK.summary_in_words(metadata['target'])}. {TASK.answer_in_words(metadata['threshold'])}"
    )
    parts = [
        f"# {contract.NAME}",
        f"Predicts **{contract.TARGET.name}**: {contract.TARGET.description}",
        about,
        f"## Performance\n\nOn {reported['rows']:,} rows of {tags['holdout']}, which it was not trained on:",
        metrics_alone(reported, ["", "value", f"{params.metrics.confidence:.0%} interval", "baseline"]),
        _against(json.loads(tags["compared"])),
        f"### By slice\n\n{_slices(trained.slices, params.gates.slice_rows)}" if trained.slices else "",
        f"## Inputs\n\n{_inputs()}",
        f"## Limits\n\n{_limits(trained, tags)}",
        f"## Lineage\n\n{_lineage(tags)}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _against(compared: Mapping[str, Any]) -> str:
    if not compared.get("metrics"):
        return ""
    rows = [
        [METRICS[name].label, f"{difference['value']:+.4f}", _interval(difference), difference["verdict"]]
        for name, difference in compared["metrics"].items()
    ]
    intro = f"Compared with the previous champion ({foreign(compared['champion_known_as'])}), on the same rows:"
    if compared["accepted_by"]:
        intro = f"{foreign(compared['accepted_by'])} accepted a regression. {intro}"
    return f"{intro}\n\n{table(['', 'difference', 'interval', ''], rows, 'lrrl')}"


def _interval(difference: Mapping[str, Any]) -> str:
    return "-" if difference["low"] is None else f"{difference['low']:+.4f} to {difference['high']:+.4f}"


def _slices(slices: Mapping[str, Mapping[str, Any]], least: int) -> str:
    """Return a table of the slices with the least and the largest `Task.ranks` among those with enough rows."""
    ranked = [
        (metrics[TASK.ranks]["value"], f"{column} = {value}", metrics)
        for column, values in slices.items()
        for value, metrics in values.items()
        if metrics["rows"] >= least and metrics[TASK.ranks]["value"] is not None
    ]
    ranked.sort(key=lambda entry: entry[0])
    shown = ranked if len(ranked) <= 2 * _SHOWN else [*ranked[:_SHOWN], *ranked[-_SHOWN:]]
    rows = [
        [
            foreign(name),
            f"{metrics['rows']:,}",
            TASK.summary_in_words(metrics["target"]),
            f"{value:.4f}",
            in_digits(metrics[TASK.loss]["value"]),
        ]
        for value, name, metrics in shown
    ]
    ranks, loss = METRICS[TASK.ranks].label, METRICS[TASK.loss].label
    intro = f"The slices with the lowest and the highest {ranks}, of {len(ranked)} with at least {least:,} rows:"
    return f"{intro}\n\n{table(['slice', 'rows', contract.TARGET.name, ranks, loss], rows, 'lrrrr')}"


def _inputs() -> str:
    rows = [
        [f"`{column.name}`", column.type, column.unit or "", _allowed(column), column.description]
        for column in request_columns()
    ]
    return table(["input", "type", "unit", "allowed", "meaning"], rows, "lllll")


def _allowed(column: Column) -> str:
    allowed = ", ".join(column.categories)
    if column.minimum is not None or column.maximum is not None:
        ends = ("" if end is None else f"{end:g}" for end in (column.minimum, column.maximum))
        allowed = " to ".join(ends)
    if column.pattern:
        allowed = foreign(column.pattern)
    return f"{allowed} or missing".strip() if column.nullable else allowed


def _limits(trained: Trained, tags: Mapping[str, str]) -> str:
    trained_on = (
        f"It was trained on {tags['window']}. The less a prediction's inputs are like those of these rows, the less is "
        f"known about its accuracy."
    )
    others = "other seasons" if trained.params.split.by == "time" else "rows that come later"
    limits = [
        trained_on,
        f"It was evaluated on {tags['holdout']} only: {others} may be easier or harder.",
        "It treats a category that it was not trained on as unknown. The service rejects values that are not allowed.",
    ]
    small_slices = [
        foreign(f"{column} = {value}")
        for column, values in trained.slices.items()
        for value, metrics in values.items()
        if metrics["rows"] < trained.params.gates.slice_rows
    ]
    if small_slices:
        more = f" and {len(small_slices) - _NAMED} others" if len(small_slices) > _NAMED else ""
        limits.append(f"These slices have too few rows to evaluate: {', '.join(small_slices[:_NAMED])}{more}.")
    return "\n".join(f"- {limit}" for limit in limits)


def _lineage(tags: Mapping[str, str]) -> str:
    shown = [[name.replace("_", " "), foreign(tags[name], 120)] for name in _IN_CARD if tags.get(name)]
    return table(["", ""], shown, "ll")


_IN_CARD = (
    *("commit", "pull_request", "author", "data", "window", "holdout", "dvc_lock", "model", "contract"),
    *("requirements", "image", "sbom"),
)
