"""The report in Markdown: the verdict in the first line, then the evidence.

Names and values from outside go through `text.foreign`. If the report is too long for a comment, its last sections are
left out, and a note says so.
"""

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from lifecycle.pipeline.checks import in_digits, in_words
from lifecycle.pipeline.evaluate import WHOLE
from lifecycle.proposal.changes import Changes
from lifecycle.proposal.compare import Difference, Part, Verdict
from lifecycle.proposal.headline import headline, quoted, warnings
from lifecycle.proposal.results import Built, Chart, Comparison, Curves, Judged, Proposal
from lifecycle.shared.chosen_task import METRICS, TASK
from lifecycle.shared.clusters import count_in_words
from lifecycle.shared.intervals import Interval
from lifecycle.shared.metrics import Floats
from lifecycle.shared.params import Judge
from lifecycle.shared.text import CHART, LONGEST, foreign, table
from model import contract

_WAY_ON = "> Choose a holdout that both can be judged on, or ask a maintainer to set the label `accept-regression`."
_MOST = 20  # rows of a table
_PLACES = 26  # points of a curve
_MARKS = {"better": "🟢", "no worse": "⚪", "unclear": "🟡", "worse": "🔴", "undefined": "❔", "not judged": ""}


def render(proposal: Proposal) -> str:
    """Return the report."""
    head = [f"## {headline(proposal)}", *warnings(proposal), _about(proposal)]
    sections = [section(proposal) for section in _SECTIONS]
    end = [_footer(proposal)]
    left_out = 0
    while True:
        shown = sections[: len(sections) - left_out]
        note = [f"*{left_out} sections are left out, because the comment would be too long.*"] if left_out else []
        text = "\n\n".join(part for part in [*head, *shown, *note, *end] if part) + "\n"
        if len(text) <= LONGEST or left_out == len(sections):
            return text[:LONGEST]
        left_out += 1


def _about(proposal: Proposal) -> str:
    rows, span = proposal.reported["rows"], proposal.params.holdout.in_words()
    clusters = count_in_words(**proposal.reported["clusters"])
    text = (
        f"**{contract.NAME}**, judged on {span}: {rows:,} rows in {clusters}, "
        f"{TASK.summary_in_words(proposal.reported['target'])}."
    )
    if proposal.commit:
        text += f" Champion: `{proposal.commit[:12]}`, {proposal.known_as}."
    else:
        text += f" No champion: {foreign(proposal.known_as)}."
    if proposal.comparison:
        text += f" {_rows(proposal.comparison)} {_statement(proposal, proposal.comparison)}{_asked(proposal)}"
    if proposal.obstacle:
        obstacle = "> **The models cannot be compared**, so the check fails:"
        text += "\n".join(["\n", obstacle, ">", quoted(proposal.obstacle), ">", _WAY_ON])
    return text


def _rows(comparison: Comparison) -> str:
    kept = comparison.parts[WHOLE].rows
    if not comparison.left_out:
        return f"Both were evaluated on the same {kept:,} rows, and neither was trained on any of them."
    without = " and ".join(f"{count:,} that {why}" for why, count in comparison.left_out.items())
    return f"Both were evaluated on the same {kept:,} of {comparison.rows:,} rows (without {without})."


def _asked(proposal: Proposal) -> str:
    asked = proposal.asked
    if asked is None:
        return ""
    before = f"{asked.before:,} proposal{'s were' if asked.before != 1 else ' was'} judged on this holdout before"
    due = f"; after {asked.due:,} a new holdout is due" if asked.due and not asked.is_due else ""
    return f" {before}{due}."


def _statement(proposal: Proposal, comparison: Comparison) -> str:
    """Return what the verdict is about."""
    if comparison.origins:
        origins = ", ".join(comparison.origins.periods)
        if proposal.params.split.by == "time":
            return f"The verdict is about the recipes in periods like {origins}, each trained on the rows before it."
        return f"The verdict is about the recipes on rows like those of {origins}, each trained without these."
    span = proposal.params.holdout.in_words()
    unit = comparison.clusters.partition(" ")[2]
    return f"With one origin, the verdict is about these two models, and about {unit} like those of {span}."


def _metrics(proposal: Proposal) -> str:
    comparison, judge = proposal.comparison, proposal.judged.judge
    interval = f"{judge.metrics.confidence:.0%} interval"
    if comparison is None:
        return metrics_alone(proposal.reported, ["", "candidate", interval, "baseline"])
    header, align = ["", "champion", "candidate", "difference", interval, ""], "lrrrrl"
    rows = [
        [
            _named(name, judge),
            f"{difference.champion:.4f}",
            f"{difference.candidate:.4f}",
            *_difference(difference.delta),
            _marked(difference.verdict),
        ]
        for name, difference in comparison.parts[WHOLE].metrics.items()
    ]
    on_holdout = table(header, rows, align)
    if not comparison.origins:
        return on_holdout
    origins = comparison.origins
    trained = "on the rows before it" if proposal.params.split.by == "time" else "without these folds"
    over = [
        [
            _named(name, judge),
            *(f"{difference[name]:+.4f}" for difference in origins.differences),
            *_difference(delta),
            _marked(verdict),
        ]
        for name, (delta, verdict) in origins.metrics.items()
    ]
    header = ["", *origins.periods, "mean difference", interval, ""]
    return "\n\n".join(
        [
            f"**The recipes over the origins**: candidate minus champion, each trained {trained}",
            table(header, over, "l" + "r" * (len(header) - 2) + "l"),
            f"**The two models on the holdout** ({comparison.clusters})",
            on_holdout,
        ]
    )


def _named(name: str, judge: Judge) -> str:
    metric = METRICS[name]
    label = f"**{metric.label}**" if name == judge.metrics.primary else metric.label
    return f"{label} {'↑' if metric.higher_is_better else '↓'}"


def _difference(delta: Interval) -> list[str]:
    return [f"{delta.value:+.4f}", f"{delta.low:+.4f} to {delta.high:+.4f}" if np.isfinite(delta.low) else "-"]


def _marked(verdict: Verdict) -> str:
    return f"{_MARKS[verdict]} {verdict}"


def metrics_alone(reported: Mapping[str, Any], header: Sequence[str]) -> str:
    """Return the table of a model's metrics beside those of the baseline, as `evaluate` wrote them."""
    rows = [
        [
            METRICS[name].label,
            in_digits(metric["value"]),
            f"{in_digits(metric['low'])} to {in_digits(metric['high'])}",
            in_digits(reported["baseline"][name]),
        ]
        for name in METRICS
        for metric in [reported["model"][name]]
    ]
    return table(header, rows, "lrrr")


def _gate(proposal: Proposal) -> str:
    shown = [("The gate", proposal.judged)]
    if proposal.own:
        shown = [
            ("The gate of the base, which decides", proposal.judged),
            ("The gate that this proposal brings", proposal.own),
        ]
    return "\n\n".join(_checks(title, judged) for title, judged in shown)


def _checks(title: str, judged: Judged) -> str:
    failed, checks = judged.failed, judged.checks
    summary = f"{len(failed)} of {len(checks)} checks failed" if failed else f"all {len(checks)} checks passed"
    confidence = judged.judge.metrics.confidence
    lines = [
        f"- {'✅' if check.passed else '❌'} {in_words(check, confidence)}"
        for check in sorted(checks, key=attrgetter("passed"))
    ]
    return _folded(f"{title}: {summary}", "\n".join(lines), opened=bool(failed))


def _charts(proposal: Proposal) -> str:
    if not proposal.comparison:
        return ""
    charts = proposal.comparison.charts
    titles = " and ".join(chart.title for chart in charts)
    return _folded(f"{titles}: champion and candidate", "\n\n".join(map(_chart, charts)))


def _chart(chart: Chart) -> str:
    curves = chart.curves
    low, high = TASK.chart_range or (min(map(min, curves.values.values())), max(map(max, curves.values.values())))
    colours = " and ".join(map(" in ".join, zip(curves.values, ("blue", "orange"), strict=True)))
    lines = [
        *CHART,
        f'  title "{chart.title}: {colours}"',
        f'  x-axis "{chart.x}" {curves.low:.2f} --> {curves.high:.2f}',
        f'  y-axis "{chart.y}" {low:g} --> {high:g}',
        *(f"  line [{', '.join(f'{value:.3f}' for value in values)}]" for values in curves.values.values()),
        "```",
    ]
    return "\n".join(lines)


def evenly(points: Mapping[str, tuple[Floats, Floats]]) -> Curves:
    """Interpolate curves with ascending x at evenly spaced places of their common range."""
    low = max(float(x[0]) for x, _ in points.values())
    high = min(float(x[-1]) for x, _ in points.values())
    places = np.linspace(low, high, _PLACES)
    return Curves(low, high, {who: np.interp(places, x, y).tolist() for who, (x, y) in points.items()})


def _slices(proposal: Proposal) -> str:
    comparison, judge = proposal.comparison, proposal.judged.judge
    if not comparison:
        return ""
    shown = [*judge.gates.slices_worse_by_at_most] or [judge.metrics.primary]
    first = METRICS[shown[0]]

    def gained(part: Part) -> float:
        value = first.improvement(part.metrics[first.name].delta.value)
        return value if np.isfinite(value) else np.inf

    parts = sorted(
        ((key, part) for key, part in comparison.parts.items() if key != WHOLE), key=lambda entry: gained(entry[1])
    )
    if not parts:
        return ""
    # The worst of the slices that are judged, or of all if none is judged.
    (column, value), worst = next((entry for entry in parts if entry[1].rows >= judge.gates.slice_rows), parts[0])
    least = f"{worst.metrics[first.name].delta.value:+.4f} {first.label}"
    title = f"Slices; the worst is {foreign(f'{column} = {value}')}: {least}"
    rows = [
        [
            foreign(f"{column} = {value}"),
            f"{part.rows:,}",
            *(_in_slice(part.metrics[name], judged=part.rows >= judge.gates.slice_rows) for name in shown),
        ]
        for (column, value), part in parts
    ]
    header = [
        "slice",
        "rows",
        *(f"{METRICS[name].label} {'↑' if METRICS[name].higher_is_better else '↓'}" for name in shown),
    ]
    return _folded(title, table(header, rows, "lr" + "r" * len(shown)))


def _in_slice(difference: Difference, *, judged: bool) -> str:
    if not np.isfinite(difference.delta.value):
        return "-"
    return f"{difference.delta.value:+.4f} {_MARKS[difference.verdict] if judged else ''}".strip()


def _changes(proposal: Proposal) -> str:
    changes = proposal.changes
    if not changes:
        return ""
    parts = [
        _part(
            "Parameters", ["", "champion", "candidate"], [[foreign(v) for v in row] for row in changes.params], "lrr"
        ),
        proposal.data_edits,
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
    if proposal.data_edits:
        counted.append("rows that main has")
    summary = ", ".join(counted) or "nothing in parameters, code, packages or known rows"
    return _folded(f"What changes: {summary}", "\n\n".join(part for part in parts if part))


def _data(changes: Changes) -> str:
    if all(before == after for _, before, after in changes.parts):
        return ""
    parts = [[part, _count(before), _count(after)] for part, before, after in changes.parts]
    drifted = ", ".join(f"{foreign(name)} {index:.2f}" for name, index in changes.drift[:5])
    return "\n\n".join(
        [
            _part("Rows to train on", ["part", "champion", "candidate"], parts, "lrr"),
            f"Drift between the two training sets (population stability index; 0.25 is a large shift): {drifted}"
            if drifted
            else "",
        ]
    )


def _costs(proposal: Proposal) -> str:
    columns: list[tuple[str, Built]] = [("candidate", proposal.candidate)]
    if proposal.champion:
        columns.insert(0, ("champion", proposal.champion))
    rows = [
        ["model directory", *(f"{built.size / 2**20:.2f} MiB" for _, built in columns)],
        ["latency of a row", *(_or_dash(built.latency, lambda ms: f"{ms:.3f} ms") for _, built in columns)],
        ["training time", *(_or_dash(built.seconds, lambda seconds: f"{seconds:.1f} s") for _, built in columns)],
    ]
    return _folded("Size and speed", table(["", *(who for who, _ in columns)], rows, "l" + "r" * len(columns)))


_REPRODUCED = {
    "bit for bit": "The committed `dvc.lock` was confirmed: the outputs are the same, bit for bit.",
    "in metrics only": "The committed `dvc.lock` was confirmed in its metrics; other outputs differ in some bits.",
    "not": "The committed `dvc.lock` is out of date; this report is about the result of the sources.",
    "no lock committed": "No `dvc.lock` is committed; this report is about the result of the sources.",
}


def _footer(proposal: Proposal) -> str:
    sentences = [_REPRODUCED[proposal.reproduced]]
    if proposal.unchanged:
        sentences.append("Merging creates no new version, unless the service changes.")
    elif proposal.passed:
        sentences.append("Merging trains this model again from main, releases it as a new version and deploys it.")
    else:
        sentences.append("A maintainer can let it pass with the label `accept-regression`.")
    sentences.append("The plots of `dvc.yaml` are in `plots.html`, an artifact of the run.")
    return f"<sub>{' '.join(sentences)}</sub>"


def _contract(proposal: Proposal) -> str:
    rows = [
        [foreign(change.column), foreign(change.change), f"{'⚠️ ' if change.breaks else ''}{foreign(change.effect)}"]
        for change in proposal.contract_changes
    ]
    return _part("The contract, for clients", ["column", "change", "what it means"], rows, "lll")


_SECTIONS: tuple[Callable[[Proposal], str], ...] = (_metrics, _gate, _contract, _charts, _slices, _changes, _costs)


def _part(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], align: str) -> str:
    if not rows:
        return ""
    more = f"\n\n… and {len(rows) - _MOST:,} more" if len(rows) > _MOST else ""
    return f"**{title}**\n\n{table(header, rows[:_MOST], align)}{more}"


def _folded(title: str, body: str, *, opened: bool = False) -> str:
    return f"<details{' open' if opened else ''}><summary>{_html(title)}</summary>\n\n{body}\n\n</details>"


def _html(title: str) -> str:
    """Return a title with code spans as HTML, for places where Markdown is not rendered."""
    parts = title.split("`")
    return "".join(f"<code>{_escaped(part)}</code>" if at % 2 else _escaped(part) for at, part in enumerate(parts))


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"


def _or_dash(value: float | None, shown: Callable[[float], str]) -> str:
    return "-" if value is None else shown(value)
