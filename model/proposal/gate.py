"""The gate: what params.yaml demands of a proposed model, each demand a check that is passed or not."""

from collections.abc import Mapping

from model.params import Gates
from model.pipeline.evaluate import WHOLE
from model.pipeline.floors import Check
from model.pipeline.metrics import IN_WORDS, Interval
from model.proposal.compare import Part
from model.proposal.proposal import Built
from model.proposal.words import foreign


def budgets(gates: Gates, built: Built) -> list[Check]:
    """The demands on the model file."""
    mebibytes, latency = built.size / 2**20, built.latency
    return [
        Check(
            f"a row predicted within {gates.latency_milliseconds:g} ms",
            "not measured" if latency is None else f"{latency:.2f} ms",
            latency is not None and latency <= gates.latency_milliseconds,
        ),
        Check(
            f"model folder of at most {gates.model_mebibytes:g} MiB",
            f"{mebibytes:.1f} MiB",
            mebibytes <= gates.model_mebibytes,
        ),
    ]


def against_champion(gates: Gates, parts: Mapping[tuple[str, str], Part]) -> list[Check]:
    """The demands on the difference to the champion, overall and by slice."""
    checks = []
    for name, margin in gates.worse_by_at_most.items():
        difference = parts[WHOLE].metrics[name]
        found = f"{difference.verdict}: {interval_words(difference.delta)}"
        demand = f"{IN_WORDS[name]} worse than the champion's by at most {margin:g}"
        checks.append(Check(demand, found, difference.verdict in {"better", "no worse"}))
    for name, margin in gates.slices_worse_by_at_most.items():
        judged = {key: part for key, part in parts.items() if key != WHOLE and part.rows >= gates.slice_rows}
        failed = [key for key, part in judged.items() if part.metrics[name].verdict == "worse"]
        found = ", ".join(foreign(f"{column} = {value}") for column, value in failed) or f"none of {len(judged)}"
        checks.append(Check(f"no slice in which {IN_WORDS[name]} is worse by more than {margin:g}", found, not failed))
    return checks


def interval_words(delta: Interval) -> str:
    """A difference with its interval."""
    return f"{delta.value:+.4f} ({delta.low:+.4f} to {delta.high:+.4f})"
