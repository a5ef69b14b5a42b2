"""The gate: the requirements of params.yaml for a proposed model, each as a check that passes or fails."""

from collections.abc import Iterator, Mapping

from lifecycle.pipeline.checks import Check
from lifecycle.pipeline.evaluate import WHOLE
from lifecycle.proposal.compare import Difference, Part
from lifecycle.proposal.results import Built, Origins
from lifecycle.shared.chosen_task import METRICS
from lifecycle.shared.params import Gates, Judge
from lifecycle.shared.text import foreign

_NO_INTERVAL = "has no interval on these rows: all outcomes are equal, or all rows are in one cluster"


def budgets(gates: Gates, built: Built) -> list[Check]:
    """Return the checks of latency and size."""
    mebibytes, latency = built.size / 2**20, built.latency
    within = latency is not None and latency <= gates.latency_milliseconds
    return [
        Check("time to predict a row", "budget", gates.latency_milliseconds, latency, None, within, unit="ms"),
        Check(
            *("size of the model directory", "budget", gates.model_mebibytes, mebibytes, None),
            mebibytes <= gates.model_mebibytes,
            unit="MiB",
        ),
    ]


def against_champion(judge: Judge, parts: Mapping[tuple[str, str], Part], origins: Origins | None) -> list[Check]:
    """Return the checks of the differences to the champion: over the origins, on the holdout and by slice.

    The primary metric has to be shown to be no worse. The other metrics fail only if they are shown to be worse. With
    several origins, these decide, and the holdout only guards, because it is a single period.

    Args:
        judge: Gates and primary metric.
        parts: Comparison on the holdout and its slices.
        origins: Comparison of the recipes over several origins; None if there is only one.
    """
    return [*_margins(judge, parts[WHOLE], origins), *_slices(judge.gates, parts)]


def _margins(judge: Judge, whole: Part, origins: Origins | None) -> Iterator[Check]:
    for name, margin in judge.gates.worse_by_at_most.items():
        on_holdout = whole.metrics[name]
        if origins:
            delta, verdict = origins.metrics[name]
            over_origins = Difference(0, 0, delta, verdict)
            passed = _is_acceptable(judge, over_origins) if name == judge.metrics.primary else verdict != "worse"
            where = f"over {len(origins.periods)} origins"
            yield _difference(name, margin, over_origins, where, passed=passed)
            passed = on_holdout.verdict not in {"worse", "undefined"}
            yield _difference(name, margin, on_holdout, "on the holdout", passed=passed)
        else:
            decides = name == judge.metrics.primary
            guarded = on_holdout.verdict not in {"worse", "undefined"}
            passed = _is_acceptable(judge, on_holdout) if decides else guarded
            yield _difference(name, margin, on_holdout, "", passed=passed)


def _is_acceptable(judge: Judge, difference: Difference) -> bool:
    """Return whether a model passes with this difference of the primary metric.

    If there are too few rows to tell, a setting may let it pass, unless it looks worse by more than the margin.
    """
    name = judge.metrics.primary
    looks_worse = METRICS[name].improvement(difference.delta.value) < -judge.gates.worse_by_at_most[name]
    if difference.verdict == "unclear":
        return judge.gates.unclear == "pass" and not looks_worse
    return difference.verdict in {"better", "no worse"}


def _difference(name: str, margin: float, difference: Difference, where: str, *, passed: bool) -> Check:
    if difference.verdict == "undefined":
        return Check(name, "difference", None, None, None, passed, where, explanation=_NO_INTERVAL)
    unclear = "there are too few rows to be sure" if difference.verdict == "unclear" else ""
    return Check(
        name, "difference", margin, difference.delta.value, difference.delta, passed, where, explanation=unclear
    )


def _slices(gates: Gates, parts: Mapping[tuple[str, str], Part]) -> Iterator[Check]:
    """Yield a check for each slice that is worse, and one for each metric without such a slice."""
    judged = {key: part for key, part in parts.items() if key != WHOLE and part.rows >= gates.slice_rows}
    for name, margin in gates.slices_worse_by_at_most.items():
        failed = {key: part.metrics[name] for key, part in judged.items() if part.metrics[name].verdict == "worse"}
        for (column, value), difference in failed.items():
            yield _difference(name, margin, difference, f"where {foreign(f'{column} = {value}')}", passed=False)
        if not failed:
            explanation = (
                f"is not worse by more than {margin:g} in any of {len(judged)} slices"
                if judged
                else f"is judged in no slice: none has {gates.slice_rows:,} rows"
            )
            yield Check(name, "difference", None, None, None, passed=True, explanation=explanation)
