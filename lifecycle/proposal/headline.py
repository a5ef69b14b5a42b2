"""The first lines of the report: the verdict, and the warnings to read before trusting it."""

from collections.abc import Sequence

from lifecycle.pipeline.checks import in_words
from lifecycle.pipeline.evaluate import WHOLE
from lifecycle.proposal.compare import needed_clusters, resolution
from lifecycle.proposal.results import Proposal
from lifecycle.shared.chosen_task import METRICS
from lifecycle.shared.text import foreign

LONGEST_LINE = 200  # characters of a quoted line
_NAMED = 8  # number of settings named


def headline(proposal: Proposal) -> str:
    """Return the headline: the verdict on the primary metric, and the first failed check."""
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
    """Return what these rows can show, what the margin is, and how many rows would be enough."""
    comparison, judge = proposal.comparison, proposal.judged.judge
    if comparison is None:
        return ""
    name = judge.metrics.primary
    delta, _ = comparison.primary(judge)
    margin = judge.gates.worse_by_at_most[name]
    if comparison.origins:
        count, unit = len(comparison.origins.periods), "origins"
        data = f"these {count} origins"
    else:
        count, unit = comparison.parts[WHOLE].clusters, comparison.clusters.partition(" ")[2]
        data = f"this holdout ({comparison.clusters})"
    needed = needed_clusters(delta, count, margin)
    return (
        f"{data} can show differences of {resolution(delta):.2g} in {METRICS[name].label}, the margin is {margin:g}; "
        f"about {needed:,} {unit} would be enough"
    )


def warnings(proposal: Proposal) -> list[str]:
    """Return a paragraph for each warning to read before trusting the verdict."""
    paragraphs: list[str] = []
    if proposal.judge_changes:
        names = ", ".join(foreign(name) for name, _, _ in proposal.judge_changes[:_NAMED])
        paragraphs.append(
            f"⚠️ **This proposal changes what it is judged by** ({names}). "
            f"It is judged by the gates of its base.{_by_its_own(proposal)}"
        )
    if proposal.judge_obstacle:
        paragraphs.append(
            "⚠️ **This proposal is judged by its own gates**, because those of its base do not apply:\n\n"
            + quoted(proposal.judge_obstacle)
        )
    if proposal.asked and proposal.asked.is_due:
        paragraphs.append(
            f"⚠️ **This holdout has judged {proposal.asked.before:,} proposals before.** A gain as large as the margin "
            f"may be luck alone: hold out rows that have judged none."
        )
    breaking = [change for change in proposal.contract_changes if change.breaks]
    if breaking:
        names = ", ".join(dict.fromkeys(foreign(change.column) for change in breaking[:_NAMED]))
        more = f" and {len(breaking) - _NAMED} more" if len(breaking) > _NAMED else ""
        paragraphs.append(
            f"⚠️ **Clients have to change with this proposal**: its contract breaks what they do today ({names}{more}). "
            "The deployment refuses it if the newest requests of production would get a 400."
        )
    return [*paragraphs, *(f"⚠️ {warning}" for warning in proposal.warnings)]


def _by_its_own(proposal: Proposal) -> str:
    if proposal.own is None:
        return ""
    confidence = proposal.own.judge.metrics.confidence
    failed = [in_words(check, confidence) for check in proposal.own.failed]
    return f" By its own gates it would {f'fail: {_first(failed)}' if failed else 'pass'}."


def quoted(text: str) -> str:
    """Quote the output of a program in Markdown."""
    return "\n".join(f"> {foreign(line, LONGEST_LINE)}  " for line in text.splitlines() if line.strip())
