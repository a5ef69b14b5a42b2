"""The first lines of the report: the verdict, and what a reader has to know before trusting it."""

from collections.abc import Sequence

from lifecycle.pipeline.checks import in_words
from lifecycle.pipeline.evaluate import WHOLE
from lifecycle.proposal.compare import needed_clusters, resolution
from lifecycle.proposal.results import Proposal
from lifecycle.shared.metrics import METRICS
from lifecycle.shared.text import foreign

LONGEST_LINE = 200  # of what a program has said
_NAMED = 8  # settings


def headline(proposal: Proposal) -> str:
    """The headline. It says of the primary metric what the tables say, and names what fails."""
    verdict = _verdict(proposal)
    return (
        f"{verdict} (⚠️ changes what it is judged by)" if proposal.judge_changes or proposal.judge_obstacle else verdict
    )


def _verdict(proposal: Proposal) -> str:
    confidence = proposal.judged.judge.metrics.confidence
    failed = [in_words(check, confidence) for check in proposal.failed]
    if failed and proposal.accepted_by:
        return f"⚠️ Accepted with a regression by {foreign(proposal.accepted_by)}: {_first(failed)}"
    if failed:
        if proposal.too_few_rows:
            return f"🟡 Too few rows to tell: {_too_few(proposal)}"
        return f"❌ Do not merge: {_first(failed)}"
    return _passed(proposal)


def _first(failed: Sequence[str]) -> str:
    more = f"; and {len(failed) - 1} more" if len(failed) > 1 else ""
    return f"{failed[0].splitlines()[0][:LONGEST_LINE]}{more}"


def _passed(proposal: Proposal) -> str:
    if proposal.unchanged:
        return "✅ The model does not change"
    if proposal.comparison is None:
        return "✅ Meets every floor; there is no champion to compare it with"
    if proposal.verdict == "unclear":
        return f"🟡 Too few rows to tell, which the gates let pass: {_too_few(proposal)}"
    better = proposal.verdict == "better"
    return f"✅ {'Better' if better else 'No worse'} than the model in production"


def _too_few(proposal: Proposal) -> str:
    """What these rows can show, what the gates want to know, and what would help."""
    comparison, judge = proposal.comparison, proposal.judged.judge
    if comparison is None:
        return ""
    name = judge.metrics.primary
    delta, _ = comparison.primary(judge)
    margin = judge.gates.worse_by_at_most[name]
    if comparison.origins:
        count, unit = len(comparison.origins.periods), "origins"
        said = f"these {count} origins"
    else:
        count, unit = comparison.parts[WHOLE].clusters, comparison.clusters.partition(" ")[2]
        said = f"this holdout ({comparison.clusters})"
    needed = needed_clusters(delta, count, margin)
    return (
        f"{said} can show differences of {resolution(delta):.2g} in {METRICS[name].label}, the margin is {margin:g}; "
        f"about {needed:,} {unit} would tell"
    )


def warnings(proposal: Proposal) -> list[str]:
    """A paragraph for each thing that a reader has to know before trusting the verdict."""
    said: list[str] = []
    if proposal.judge_changes:
        names = ", ".join(foreign(name) for name, _, _ in proposal.judge_changes[:_NAMED])
        said.append(
            f"⚠️ **This proposal changes what it is judged by** ({names}). "
            f"It is judged by the gates of its base.{_by_its_own(proposal)}"
        )
    if proposal.judge_obstacle:
        said.append(
            "⚠️ **This proposal is judged by its own gates**, because those of its base cannot be used by its code:\n\n"
            + quoted(proposal.judge_obstacle)
        )
    if proposal.asked and proposal.asked.is_due:
        said.append(
            f"⚠️ **This holdout has judged {proposal.asked.before:,} proposals before.** By now a gain as large as the "
            f"margin may be luck alone: hold out a new period."
        )
    return [*said, *(f"⚠️ {warning}" for warning in proposal.warnings)]


def _by_its_own(proposal: Proposal) -> str:
    if proposal.own is None:
        return ""
    confidence = proposal.own.judge.metrics.confidence
    failed = [in_words(check, confidence) for check in proposal.own.failed]
    return f" By its own it would {f'fail: {_first(failed)}' if failed else 'pass'}."


def quoted(text: str) -> str:
    """Lines that a program has said, as a quotation."""
    return "\n".join(f"> {foreign(line, LONGEST_LINE)}  " for line in text.splitlines() if line.strip())
