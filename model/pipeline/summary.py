"""The end of `make`: what came out, how long it took, what to try next."""

import json
from typing import Any

import numpy as np

from model import contract
from model.params import Gates, Params
from model.pipeline import stage

_NAMES = {
    "roc_auc": "ROC AUC",
    "average_precision": "average precision",
    "log_loss": "log loss",
    "brier_score": "Brier score",
    "calibration_error": "calibration error",
}


def summary(params: Params, run: str) -> str:
    """The result of the last run, in a screenful."""
    reported = json.loads((stage.REPORTS / "metrics.json").read_text(encoding="utf-8"))
    metadata = json.loads((stage.MODEL / "metadata.json").read_text(encoding="utf-8"))
    window, holdout = metadata["window"], params.holdout
    rate = f"{reported['base_rate']:.1%} {contract.TARGET}"
    times = [(name, stage.seconds_taken(name)) for name in stage.STAGES]
    took = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in times if seconds is not None)
    following = np.datetime64(holdout.last, "M") + 1
    return "\n".join(
        [
            f"{contract.NAME}: {metadata['estimator']}",
            f"  trained on {_span(window['first'], window['last'])}, {metadata['rows']:,} rows",
            f"  judged on {_span(holdout.first, holdout.last)}, {reported['rows']:,} rows, {rate}",
            "",
            f"  {'':18} {'model':>7}   {f'{params.metrics.confidence:.0%} interval':18} {'base rate':>9}   gate",
            *(
                _line(name, found, reported["baseline"][name], params.gates)
                for name, found in reported["model"].items()
            ),
            "",
            f"  stages: {took or 'all from the cache'}",
            f"  MLflow run: {run}",
            "",
            "Next:",
            "  make ui                look at the run, its plots and its model in MLflow",
            "  another estimator      `estimator: lightgbm` in params.yaml, `make`, `.venv/bin/dvc metrics diff`",
            f"  the next month         `.venv/bin/python -m model.data ingest {following}`, move window and holdout on",
            "                         by a month in params.yaml, `make`",
        ]
    )


def _span(first: str, last: str) -> str:
    return first if first == last else f"{first} to {last}"


def _line(name: str, found: dict[str, Any], baseline: float, gates: Gates) -> str:
    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.4f}"

    between = f"{number(found['low'])} to {number(found['high'])}"
    gate = _gate(name, found["value"], gates)
    return f"  {_NAMES[name]:18} {number(found['value']):>7}   {between:18} {number(baseline):>9}   {gate}"


def _gate(name: str, value: float | None, gates: Gates) -> str:
    said = []
    for words, sign, bounds in (("at least", 1, gates.at_least), ("at most", -1, gates.at_most)):
        for bound in (bound for metric, bound in bounds.items() if metric == name):
            passed = value is not None and sign * value >= sign * bound
            said.append(f"{words} {bound:g}: {'passed' if passed else 'MISSED'}")
    return ", ".join(said)
