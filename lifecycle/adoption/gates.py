"""The first gates of a project: floors from the baseline and the first model, margins from the holdout's intervals."""

import json
import math
from pathlib import Path
from typing import Any

from lifecycle.pipeline import stage
from lifecycle.shared.chosen_task import METRICS, TASK
from lifecycle.shared.clusters import count_in_words
from lifecycle.shared.rounding import round_up
from lifecycle.shared.yaml_text import edit_yaml

# Share of the first model's skill, at the worse end of its interval, that a model must have.
_FLOOR = 0.5
# Margin as share of half the interval's width. Two models on the same rows differ by less than one model's uncertainty.
_MARGIN = 0.5
# Live metrics come from other rows than the holdout's, so they may differ by both uncertainties.
_LIVE = 3.0


# Stands for the comment on the gates until they are chosen.
_UNCHOSEN = "  # Not chosen yet."


def before_training(metrics: tuple[str, ...]) -> dict[str, str]:
    """Return the texts of gates that every model passes, for the first training; see `params_text`."""
    return {
        "primary": metrics[0],
        "floors": "{}",
        "margins": f"{{{metrics[0]}: 1000}}",
        "live": "{}",
        "comment": _UNCHOSEN,
    }


def choose_gates(text: str, reports: Path = stage.REPORTS) -> str:
    """Return the text of params.yaml with gates from the metrics of the first model, unless gates have been chosen."""
    if _UNCHOSEN not in text:
        return text
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
    gates = {"skill_at_least": floors}
    if TASK.gated[0] in margins:
        gates["worse_by_at_most"] = margins
    clusters = count_in_words(**measured["clusters"])
    comment = (
        f"  # Chosen by `make adopt` from the first model, on {measured['rows']:,} rows in {clusters}.\n"
        f"  # Floors are half of its skill at the interval's worse end, margins a quarter of the interval's width.\n"
        f"  # `make gates` proposes margins."
    )
    edited = edit_yaml(text, {"gates": gates, "monitoring": {"worse_by_at_most": live}})
    return edited.replace(_UNCHOSEN, comment)
