"""The model card of a version (Mitchell et al. 2019): what it is for, of what it is made, how good it is, its limits.

Everything in it is derived: from the contract, the lineage and the reports.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lifecycle.pipeline.checks import in_digits
from lifecycle.proposal.report import metrics_alone
from lifecycle.shared.columns import Column
from lifecycle.shared.metrics import METRICS
from lifecycle.shared.params import Params
from lifecycle.shared.text import foreign, table
from model import contract

_SHOWN = 5  # of the best slices and of the worst
_NAMED = 20  # slices with few rows


@dataclass(frozen=True)
class Trained:
    """What `make` leaves behind.

    Attributes:
        metadata: Of the model folder.
        reported: What `evaluate` wrote of the whole holdout.
        slices: What it wrote by column and value.
        params: With which all of it was made.
    """

    metadata: Mapping[str, Any]
    reported: Mapping[str, Any]
    slices: Mapping[str, Mapping[str, Any]]
    params: Params


def card(trained: Trained, tags: Mapping[str, str]) -> str:
    """The model card.

    Args:
        trained: What it is about.
        tags: The version's lineage.
    """
    metadata, reported, params = trained.metadata, trained.reported, trained.params
    target = contract.TARGET
    about = (
        f"A {metadata['estimator'].replace('_', ' ')} trained on {metadata['rows']:,} rows of {tags['window']}, of "
        f"which {metadata['base_rate']:.1%} are {target}. From a probability of {metadata['threshold']:g} on its label "
        f"is {target}."
    )
    parts = [
        f"# {contract.NAME}",
        f"Predicts the probability of **{target}**: {contract.TARGET_DESCRIPTION}",
        about,
        f"## How good it is\n\nOn {reported['rows']:,} rows of {tags['holdout']}, which it was not trained on:",
        metrics_alone(reported, ["", "value", f"{params.metrics.confidence:.0%} interval", "always the base rate"]),
        _against(json.loads(tags["compared"])),
        f"### By slice\n\n{_slices(trained.slices, params.gates.slice_rows)}",
        f"## What it needs\n\n{_inputs()}",
        f"## Limits\n\n{_limits(trained, tags)}",
        f"## Where it comes from\n\n{_lineage(tags)}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _against(compared: Mapping[str, Any]) -> str:
    if not compared.get("metrics"):
        return ""
    rows = [
        [METRICS[name].label, f"{found['value']:+.4f}", _ends(found), found["verdict"]]
        for name, found in compared["metrics"].items()
    ]
    said = f"Against the model that it took over from ({foreign(compared['champion_known_as'])}), on the same rows:"
    if compared["accepted_by"]:
        said += f" A regression was accepted by {foreign(compared['accepted_by'])}."
    return f"{said}\n\n{table(['', 'difference', 'interval', ''], rows, 'lrrl')}"


def _ends(found: Mapping[str, Any]) -> str:
    return "-" if found["low"] is None else f"{found['low']:+.4f} to {found['high']:+.4f}"


def _slices(slices: Mapping[str, Mapping[str, Any]], least: int) -> str:
    """The slices with the largest and the smallest ROC AUC, of those that have enough rows."""
    known = [
        (found["roc_auc"]["value"], f"{column} = {value}", found)
        for column, values in slices.items()
        for value, found in values.items()
        if found["rows"] >= least and found["roc_auc"]["value"] is not None
    ]
    known.sort(key=lambda one: one[0])
    chosen = known if len(known) <= 2 * _SHOWN else [*known[:_SHOWN], *known[-_SHOWN:]]
    rows = [
        [
            foreign(name),
            f"{found['rows']:,}",
            f"{found['base_rate']:.1%}",
            f"{auc:.4f}",
            in_digits(found["log_loss"]["value"]),
        ]
        for auc, name, found in chosen
    ]
    said = f"Of {len(known)} slices with at least {least:,} rows, those that it tells apart worst and best:"
    return f"{said}\n\n{table(['slice', 'rows', contract.TARGET, 'ROC AUC', 'log loss'], rows, 'lrrrr')}"


def _inputs() -> str:
    rows = [
        [f"`{column.name}`", column.type, column.unit or "", _legal(column), column.description]
        for column in contract.INPUTS
    ]
    return table(["input", "type", "unit", "legal", "meaning"], rows, "lllll")


def _legal(column: Column) -> str:
    legal = ", ".join(column.categories)
    if column.minimum is not None or column.maximum is not None:
        ends = ("" if end is None else f"{end:g}" for end in (column.minimum, column.maximum))
        legal = " to ".join(ends)
    if column.pattern:
        legal = foreign(column.pattern)
    return f"{legal} or missing".strip() if column.nullable else legal


def _limits(trained: Trained, tags: Mapping[str, str]) -> str:
    seen = (
        f"It has seen {tags['window']}. The further a prediction lies from that, the less is known of how good it is."
    )
    said = [
        seen,
        f"It was judged on {tags['holdout']} alone: other seasons may be easier or harder.",
        "A category that it has not seen is taken as unknown, and a value outside of what is legal is refused.",
    ]
    few = [
        foreign(f"{column} = {value}")
        for column, values in trained.slices.items()
        for value, found in values.items()
        if found["rows"] < trained.params.gates.slice_rows
    ]
    if few:
        more = f" and {len(few) - _NAMED} others" if len(few) > _NAMED else ""
        said.append(f"There were too few rows to judge it by themselves: {', '.join(few[:_NAMED])}{more}.")
    return "\n".join(f"- {one}" for one in said)


def _lineage(tags: Mapping[str, str]) -> str:
    shown = [[name.replace("_", " "), foreign(tags[name], 120)] for name in _IN_CARD if tags.get(name)]
    return table(["", ""], shown, "ll")


_IN_CARD = (
    *("commit", "pull_request", "author", "data", "window", "holdout", "dvc_lock", "model", "contract"),
    *("requirements", "image", "sbom"),
)
