"""The report in Markdown: the verdict in the first line, then what it rests on.

What somebody else has chosen (names, values) goes through `words.foreign`. Sections are left out from the end until the
report fits into a comment, and it says so.
"""

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from model import contract
from model.markdown import table
from model.pipeline.evaluate import WHOLE
from model.pipeline.floors import in_digits
from model.pipeline.metrics import IN_WORDS, METRICS, Floats
from model.proposal.changes import Changes
from model.proposal.compare import MORE_IS_BETTER
from model.proposal.proposal import Built, Curves, Proposal
from model.proposal.words import CHART, LONGEST, foreign

_MOST = 20  # lines of a table
_PLACES = 26  # of a chart
_LONGEST_LINE = 200  # of what a program has said
_MARKS = {"better": "🟢", "no worse": "⚪", "unclear": "🟡", "worse": "🔴"}


def render(proposal: Proposal) -> str:
    """The report."""
    head = [f"## {_verdict(proposal)}", _about(proposal)]
    sections = [section(proposal) for section in _SECTIONS]
    end = [_footer(proposal)]
    left_out = 0
    while True:
        shown = sections[: len(sections) - left_out]
        note = [f"*{left_out} sections are left out: they made this too long for a comment.*"] if left_out else []
        text = "\n\n".join(part for part in [*head, *shown, *note, *end] if part) + "\n"
        if len(text) <= LONGEST or left_out == len(sections):
            return text[:LONGEST]
        left_out += 1


def _verdict(proposal: Proposal) -> str:
    failed = proposal.failed
    if failed and proposal.accepted_by:
        return f"⚠️ Accepted with a regression by {foreign(proposal.accepted_by)}: {failed[0].demand}: {failed[0].found}"
    if failed:
        more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
        return f"❌ Not to be merged. {failed[0].demand}: {failed[0].found}{more}"
    return f"✅ {_passed(proposal)}"


def _passed(proposal: Proposal) -> str:
    if proposal.unchanged:
        return "The model does not change"
    if proposal.obstacle:
        return "Meets every floor; the champion cannot be compared with it"
    if proposal.comparison is None:
        return "Meets every floor; there is no champion to compare it with"
    found = [difference.verdict for difference in proposal.comparison.parts[WHOLE].metrics.values()]
    return f"{'Better' if 'better' in found else 'No worse'} than the model in production"


def _about(proposal: Proposal) -> str:
    rows, span = proposal.reported["rows"], proposal.params.holdout.in_words()
    said = (
        f"**{contract.NAME}**, judged on {span}: {rows:,} rows, {proposal.reported['base_rate']:.1%} {contract.TARGET}."
    )
    if proposal.commit:
        said += f" Champion: `{proposal.commit[:12]}`, {proposal.known_as}."
    else:
        said += f" No champion: {foreign(proposal.known_as)}."
    if proposal.obstacle:
        what = "score these rows**, so only the floors are judged:" if proposal.champion else "be brought up**:"
        said += f"\n\n> **The champion cannot {what}\n>\n{_quoted(proposal.obstacle)}"
    comparison = proposal.comparison
    if comparison:
        excluded = [
            f"{number:,} that the {who} was trained on"
            for who, number in (
                ("champion", comparison.excluded_champion),
                ("candidate", comparison.excluded_candidate),
            )
            if number
        ]
        kept = f"{comparison.parts[WHOLE].rows:,} of these rows"
        without = f" (without {' and '.join(excluded)})" if excluded else ", none of which either was trained on"
        said += f" Both were measured on the same {kept}{without}."
    return said


def _quoted(text: str) -> str:
    return "\n".join(f"> {foreign(line, _LONGEST_LINE)}  " for line in text.splitlines() if line.strip())


def _metrics(proposal: Proposal) -> str:
    interval = f"{proposal.params.metrics.confidence:.0%} interval"
    if proposal.comparison:
        part = proposal.comparison.parts[WHOLE]
        rows = [
            [
                f"{IN_WORDS[name]} {'↑' if name in MORE_IS_BETTER else '↓'}",
                f"{d.champion:.4f}",
                f"{d.candidate:.4f}",
                f"{d.delta.value:+.4f}",
                f"{d.delta.low:+.4f} to {d.delta.high:+.4f}",
                f"{_MARKS[d.verdict]} {d.verdict}",
            ]
            for name, d in part.metrics.items()
        ]
        return table(["", "champion", "candidate", "difference", interval, ""], rows, "lrrrrl")
    return metrics_alone(proposal.reported, ["", "candidate", interval, "base rate"])


def metrics_alone(reported: Mapping[str, Any], header: Sequence[str]) -> str:
    """The metrics of a model that is compared with nothing but always the base rate, as `evaluate` wrote them."""
    rows = [
        [
            IN_WORDS[name],
            in_digits(found["value"]),
            f"{in_digits(found['low'])} to {in_digits(found['high'])}",
            in_digits(reported["baseline"][name]),
        ]
        for name in METRICS
        for found in [reported["model"][name]]
    ]
    return table(header, rows, "lrrr")


def _gate(proposal: Proposal) -> str:
    if not proposal.checks:
        return ""
    failed = proposal.failed
    said = f"{len(failed)} of {len(proposal.checks)} not met" if failed else f"all {len(proposal.checks)} met"
    rows = [["✅" if c.passed else "❌", c.demand, c.found] for c in sorted(proposal.checks, key=attrgetter("passed"))]
    return _folded(f"The gate: {said}", table(["", "demand", "found"], rows, "lll"), opened=bool(failed))


def _charts(proposal: Proposal) -> str:
    if not proposal.comparison:
        return ""
    charts = [
        _chart("ROC", "false positive rate", "true positive rate", proposal.comparison.roc),
        _chart("Calibration", "predicted", "observed", proposal.comparison.calibration),
    ]
    return _folded("ROC and calibration: champion and candidate", "\n\n".join(charts))


def _chart(title: str, x: str, y: str, curves: Curves) -> str:
    lines = [
        *CHART,
        f'  title "{title}: {" and ".join(map(" in ".join, zip(curves.values, ("blue", "orange"), strict=True)))}"',
        f'  x-axis "{x}" {curves.low:.2f} --> {curves.high:.2f}',
        f'  y-axis "{y}" 0 --> 1',
        *(f"  line [{', '.join(f'{value:.3f}' for value in values)}]" for values in curves.values.values()),
        "```",
    ]
    return "\n".join(lines)


def evenly(points: Mapping[str, tuple[Floats, Floats]]) -> Curves:
    """Curves through points whose x ascends, at evenly spaced places of their common range."""
    low = max(float(x[0]) for x, _ in points.values())
    high = min(float(x[-1]) for x, _ in points.values())
    places = np.linspace(low, high, _PLACES)
    return Curves(low, high, {who: np.interp(places, x, y).tolist() for who, (x, y) in points.items()})


def _slices(proposal: Proposal) -> str:
    comparison = proposal.comparison
    if not comparison:
        return ""
    parts = sorted(
        ((key, part) for key, part in comparison.parts.items() if key != WHOLE),
        key=lambda one: one[1].metrics["roc_auc"].delta.value,
    )
    if not parts:
        return ""
    # Of those that are judged, if there are any.
    (column, value), worst = next((one for one in parts if one[1].rows >= proposal.params.gates.slice_rows), parts[0])
    least = f"{worst.metrics['roc_auc'].delta.value:+.4f} ROC AUC"
    said = f"Slices; the worst is {foreign(f'{column} = {value}')}: {least}"
    rows = [
        [
            foreign(f"{column} = {value}"),
            f"{part.rows:,}",
            *(f"{d.delta.value:+.4f} {_MARKS[d.verdict]}" for d in (part.metrics[n] for n in ("roc_auc", "log_loss"))),
        ]
        for (column, value), part in parts
    ]
    return _folded(said, table(["slice", "rows", "ROC AUC ↑", "log loss ↓"], rows, "lrrr"))


def _changes(proposal: Proposal) -> str:
    changes = proposal.changes
    if not changes:
        return ""
    found = [
        _part(
            "Parameters", ["", "champion", "candidate"], [[foreign(v) for v in row] for row in changes.params], "lrr"
        ),
        _data(changes),
        _part(
            "Code",
            ["", "added", "removed"],
            [[foreign(path), _count(added), _count(removed)] for path, added, removed in changes.files],
            "lrr",
        ),
        _part(
            "Packages", ["", "before", "after"], [[foreign(v or "-") for v in row] for row in changes.packages], "lrr"
        ),
    ]
    counted = [
        f"{len(rows)} {what}{'s' if len(rows) != 1 else ''}"
        for what, rows in (("parameter", changes.params), ("file", changes.files), ("package", changes.packages))
        if rows
    ]
    said = ", ".join(counted) or "nothing in parameters, code or packages"
    return _folded(f"What changes: {said}", "\n\n".join(part for part in found if part))


def _data(changes: Changes) -> str:
    if all(before == after for _, before, after in changes.months):
        return ""
    months = [[month, _count(before), _count(after)] for month, before, after in changes.months]
    drifted = ", ".join(f"{foreign(name)} {index:.2f}" for name, index in changes.drift[:5])
    return "\n\n".join(
        [
            _part("Rows to train on", ["month", "champion", "candidate"], months, "lrr"),
            f"Drift between the two training sets (population stability index, from 0.25 on a large shift): {drifted}"
            if drifted
            else "",
        ]
    )


def _costs(proposal: Proposal) -> str:
    columns: list[tuple[str, Built]] = [("candidate", proposal.candidate)]
    if proposal.champion:
        columns.insert(0, ("champion", proposal.champion))
    rows = [
        ["model folder", *(f"{built.size / 2**20:.2f} MiB" for _, built in columns)],
        ["a row predicted in", *(_or_dash(built.latency, lambda ms: f"{ms:.3f} ms") for _, built in columns)],
        ["trained in", *(_or_dash(built.seconds, lambda seconds: f"{seconds:.1f} s") for _, built in columns)],
    ]
    return _folded("Size and speed", table(["", *(who for who, _ in columns)], rows, "l" + "r" * len(columns)))


_REPRODUCED = {
    "bit for bit": "The committed `dvc.lock` was confirmed: the same outputs, bit for bit.",
    "in metrics only": "The committed `dvc.lock` was confirmed in its metrics; other outputs differ in their bits.",
    "not": "The committed `dvc.lock` is not what these sources give; this report is about what they give.",
    "no lock committed": "No `dvc.lock` is committed; this report is about what the sources give.",
}


def _footer(proposal: Proposal) -> str:
    said = [_REPRODUCED[proposal.reproduced]]
    if proposal.unchanged:
        said.append("Merging makes no new version, unless what serves it changes.")
    elif proposal.passed:
        said.append("Merging trains this model again from main, releases it as a new version and deploys it.")
    else:
        said.append("The label `accept-regression`, set by a maintainer, lets it pass all the same.")
    said.append("The plots of `dvc.yaml` are in `plots.html`, an artifact of the run.")
    return f"<sub>{' '.join(said)}</sub>"


_SECTIONS: tuple[Callable[[Proposal], str], ...] = (_metrics, _gate, _charts, _slices, _changes, _costs)


def _part(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], align: str) -> str:
    if not rows:
        return ""
    more = f"\n\n… and {len(rows) - _MOST:,} more" if len(rows) > _MOST else ""
    return f"**{title}**\n\n{table(header, rows[:_MOST], align)}{more}"


def _folded(title: str, body: str, *, opened: bool = False) -> str:
    return f"<details{' open' if opened else ''}><summary>{_html(title)}</summary>\n\n{body}\n\n</details>"


def _html(title: str) -> str:
    """A title with code spans, where Markdown is not read."""
    parts = title.split("`")
    return "".join(f"<code>{_escaped(part)}</code>" if at % 2 else _escaped(part) for at, part in enumerate(parts))


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"


def _or_dash(value: float | None, shown: Callable[[float], str]) -> str:
    return "-" if value is None else shown(value)
