"""The first gates of a project: floors from the baseline and the first model, margins from the holdout's intervals."""

import json
import math
from pathlib import Path
from typing import Any

from lifecycle.pipeline import stage
from lifecycle.shared.chosen_task import METRICS, TASK
from lifecycle.shared.clusters import count_in_words
from lifecycle.shared.rounding import round_up

# Share of the first model's skill, at the worse end of its interval, that a model must have.
_FLOOR = 0.5
# Margin as share of half the interval's width. Two models on the same rows differ by less than one model's uncertainty.
_MARGIN = 0.5
# Live metrics come from other rows than the holdout's, so they may differ by both uncertainties.
_LIVE = 3.0


def before_training(metrics: tuple[str, ...]) -> dict[str, str]:
    """Return gates that every model passes, for the first training."""
    return {
        "primary": metrics[0],
        "floors": "{}",
        "margins": f"{{{metrics[0]}: 1000}}",
        "live": "{}",
        "comment": "  # Not chosen yet.",
    }


def after_training(reports: Path = stage.REPORTS) -> dict[str, str]:
    """Return gates from the metrics of the first model."""
    measured: dict[str, Any] = json.loads((reports / "metrics.json").read_text(encoding="utf-8"))
    floors, margins, live = {}, {}, {}
    for name in TASK.gated:
        interval, baseline, metric = measured["model"][name], measured["baseline"][name], METRICS[name]
        if interval["low"] is None:
            continue
        half = (interval["high"] - interval["low"]) / 2
        margins[name] = round_up(max(_MARGIN * half, 1e-6), digits=2)
        worse = interval["low"] if metric.higher_is_better else interval["high"]
        skill = math.nan if baseline is None else metric.skill(worse, baseline)
        if skill > 0:
            floors[name] = math.floor(_FLOOR * skill * 100) / 100
        if metric.live and name == TASK.gated[0]:
            live[name] = round_up(_LIVE * half, digits=2)
    if TASK.gated[0] not in margins:
        margins = {TASK.gated[0]: 1000}
    clusters = measured["clusters"]
    return {
        "primary": TASK.gated[0],
        "floors": _yaml(floors),
        "margins": _yaml(margins),
        "live": _yaml(live),
        "comment": (
            f"  # Chosen by `make adopt` from the first model, on {measured['rows']:,} rows in "
            f"{count_in_words(**clusters)}. Floors are half of its\n  # skill at the worse end of the interval, "
            f"margins a quarter of the interval's width. `make gates` proposes margins."
        ),
    }


def _yaml(values: dict[str, float]) -> str:
    return "{" + ", ".join(f"{name}: {value:.10g}" for name, value in values.items()) + "}"
