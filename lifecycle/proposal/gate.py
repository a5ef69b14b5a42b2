"""The gate: what params.yaml demands of a proposed model, each demand a check that is passed or not."""

from collections.abc import Iterator, Mapping

from lifecycle.pipeline.checks import Check
from lifecycle.pipeline.evaluate import WHOLE
from lifecycle.proposal.compare import Difference, Part
from lifecycle.proposal.results import Built, Origins
from lifecycle.shared.metrics import METRICS
from lifecycle.shared.params import Gates, Judge
from lifecycle.shared.text import foreign

_NO_INTERVAL = "has no interval on these rows: all outcomes are the same, or they are in one cluster"


def budgets(gates: Gates, built: Built) -> list[Check]:
    """The demands on the model file."""
    mebibytes, latency = built.size / 2**20, built.latency
    within = latency is not None and latency <= gates.latency_milliseconds
    return [
        Check("time to predict a row", "budget", gates.latency_milliseconds, latency, None, within, unit="ms"),
        Check(
            *("size of the model folder", "budget", gates.model_mebibytes, mebibytes, None),
            mebibytes <= gates.model_mebibytes,
            unit="MiB",
        ),
    ]


def against_champion(judge: Judge, parts: Mapping[tuple[str, str], Part], origins: Origins | None) -> list[Check]:
    """The demands on the differences to the champion: over the origins, on the holdout and by slice.

    The primary metric has to be shown to be no worse; the others must not be shown to be worse. Where there are several
    origins, these decide, and the holdout only guards: it is one period, which does not come back.

    Args:
        judge: Its gates and the primary metric are used.
        parts: Both models on the holdout and its slices.
        origins: Both recipes at several origins; None where there is one.
    """
    return [*_margins(judge, parts[WHOLE], origins), *_slices(judge.gates, parts)]


def _margins(judge: Judge, whole: Part, origins: Origins | None) -> Iterator[Check]:
    for name, margin in judge.gates.worse_by_at_most.items():
        found = whole.metrics[name]
        if origins:
            delta, judged = origins.metrics[name]
            decided = Difference(0, 0, delta, judged)
            passed = _is_acceptable(judge, decided) if name == judge.metrics.primary else judged != "worse"
            where = f"over {len(origins.periods)} origins"
            yield _difference(name, margin, decided, where, passed=passed)
            yield _difference(name, margin, found, "on the holdout", passed=found.verdict not in {"worse", "undefined"})
        else:
            decides = name == judge.metrics.primary
            passed = _is_acceptable(judge, found) if decides else found.verdict not in {"worse", "undefined"}
            yield _difference(name, margin, found, "", passed=passed)


def _is_acceptable(judge: Judge, found: Difference) -> bool:
    """Whether the difference of the primary metric lets a model pass.

    Where the rows are too few to tell, a setting may let it pass, unless it looks worse by more than the margin.
    """
    name = judge.metrics.primary
    looks_worse = METRICS[name].improvement(found.delta.value) < -judge.gates.worse_by_at_most[name]
    if found.verdict == "unclear":
        return judge.gates.unclear == "pass" and not looks_worse
    return found.verdict in {"better", "no worse"}


def _difference(name: str, margin: float, found: Difference, where: str, *, passed: bool) -> Check:
    if found.verdict == "undefined":
        return Check(name, "difference", None, None, None, passed, where, explanation=_NO_INTERVAL)
    unclear = "these rows are too few to be sure" if found.verdict == "unclear" else ""
    return Check(name, "difference", margin, found.delta.value, found.delta, passed, where, explanation=unclear)


def _slices(gates: Gates, parts: Mapping[tuple[str, str], Part]) -> Iterator[Check]:
    """A check for each slice that is worse, and one for each metric where none is."""
    judged = {key: part for key, part in parts.items() if key != WHOLE and part.rows >= gates.slice_rows}
    for name, margin in gates.slices_worse_by_at_most.items():
        failed = {key: part.metrics[name] for key, part in judged.items() if part.metrics[name].verdict == "worse"}
        for (column, value), difference in failed.items():
            yield _difference(name, margin, difference, f"where {foreign(f'{column} = {value}')}", passed=False)
        if not failed:
            said = (
                f"is worse by more than {margin:g} in none of {len(judged)} slices"
                if judged
                else f"is judged in no slice: none has {gates.slice_rows:,} rows"
            )
            yield Check(name, "difference", None, None, None, passed=True, explanation=said)
