"""The page of distributions: inputs and predictions of production, and those of the periods that the model knows.

The page shows the counts that drift is computed from, as shares, and no rows. Each bin of a number holds about a
twentieth of the training data. All bins are drawn equally wide, so that neither a long tail nor a frequent value hides
the others.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lifecycle.monitoring.check import CheckResult
from lifecycle.monitoring.drift import Drift
from lifecycle.pipeline.reference import Reference
from lifecycle.shared import vega
from lifecycle.shared.distributions import Distributions
from lifecycle.shared.files import write_text
from lifecycle.shared.histograms import Bins, Shares, shares
from lifecycle.shared.parts import kind_of
from model import contract

# Largest number of labels with a bar of their own; the rarest others share a bar.
_MOST_LABELS = 30
_WIDTH, _HEIGHT = 540, 150
# Gap before the bars of unseen and missing values, in widths of a bar.
_GAP = 0.5
_METHODS = {
    "jensen_shannon": "Jensen-Shannon distance",
    "psi": "population stability index",
    "kolmogorov_smirnov": "Kolmogorov-Smirnov distance",
}
_COLOURS = ("#a6cee3", "#d95f02", "#333333")
_ABOUT = (
    "Variables that have drifted come first, then those closest to their threshold. A bar is the share of the "
    "predictions in a bin. A line is the share in the nearest part of the data that the model was trained or evaluated "
    "on, or in all of them. Each bin of a number holds about a twentieth of the training data; all are drawn equally "
    "wide. Values before the first edge or after the last one are outside of the training range."
)


class _Bar(NamedTuple):
    """A bar of the plot.

    Attributes:
        name: Name of its values.
        bins: Positions of the bins whose shares it adds up.
        begin: Left end, in widths of a bar.
    """

    name: str
    bins: Sequence[int]
    begin: float


class _Label(NamedTuple):
    """A text below the bars, and its place in widths of a bar."""

    text: str
    at: float


def write_page(path: Path, check: CheckResult, reference: Reference) -> None:
    """Draw the distribution of each variable, if there are enough rows.

    Args:
        path: HTML file to write.
        check: Result of the check of a version.
        reference: Reference of this version.
    """
    summary = (
        f"Version {check.version}, {check.since:%Y-%m-%d %H:%M} to {check.until:%Y-%m-%d %H:%M} UTC: "
        f"{check.rows:,} predictions. Status: {check.status.name.lower()}."
    )
    furthest_first = sorted(check.drifts, key=lambda drift: (not drift.drifted, -drift.found / drift.threshold))
    pictures = [_picture(drift, check.live, reference) for drift in furthest_first if check.live]
    paragraphs = [summary, _ABOUT if pictures else "There are too few predictions to show their distribution."]
    write_text(path, vega.page(f"{contract.NAME} in production", paragraphs, pictures))


def _picture(drift: Drift, live: Distributions, reference: Reference) -> vega.Picture:
    name, nearest = drift.variable.name, drift.compared[0]
    bins, periods = reference.bins[name], reference.periods
    by_series = {
        "production": shares(live.counts[name]),
        f"{nearest}, the nearest {kind_of(nearest)}": shares(periods[nearest].counts[name]),
        f"all known {kind_of(nearest)}s": shares(np.sum([period.counts[name] for period in periods.values()], axis=0)),
    }
    if drift.variable.kind == "category":
        bars, labels = _of_category(bins, np.max([*by_series.values()], axis=0))
    else:
        bars, labels = _of_number(bins)
    distance = f"{_METHODS[drift.distance.method]} {drift.found:.3f} from {nearest}, threshold {drift.threshold:.3f}"
    title = f"{name}: drifted" if drift.drifted else name
    return vega.Picture(vega.to_svg(_specification(bars, labels, by_series)), title, f"{distance}: {_verdict(drift)}")


def _verdict(drift: Drift) -> str:
    if drift.drifted:
        return "drifted"
    if drift.found > drift.threshold:
        return "no drift: the difference is not significant, or the training window as a whole is close"
    return "no drift"


def _of_number(bins: Bins) -> tuple[list[_Bar], list[_Label]]:
    """Return a bar for each bin, and the edges between them as labels."""
    *names, missing = bins.names()
    bars = [_Bar(name, [position], position) for position, name in enumerate(names)]
    edges = [_Label(edge, at) for at, edge in enumerate(bins.edge_names(), start=1)]
    end = len(names) + _GAP
    return [*bars, _Bar(missing, [len(names)], end)], [*(edges or [_Label(names[0], 0.5)]), _Label(missing, end + 0.5)]


def _of_category(bins: Bins, largest: Shares) -> tuple[list[_Bar], list[_Label]]:
    """Return a bar for each label, or for the most frequent ones and one for all others.

    Args:
        bins: Bins of the category.
        largest: Largest share of each bin in any of the series.
    """
    names, known = bins.names(), len(bins.labels)
    rarest_last = np.argsort(-largest[:known], kind="stable").tolist()
    frequent, rare = sorted(rarest_last[:_MOST_LABELS]), rarest_last[_MOST_LABELS:]
    bars = [_Bar(names[position], [position], begin) for begin, position in enumerate(frequent)]
    if rare:
        bars.append(_Bar(f"{len(rare)} others", rare, len(bars)))
    end = len(bars) + _GAP
    bars += [_Bar(names[position], [position], end + position - known) for position in range(known, bins.size)]
    return bars, [_Label(bar.name, bar.begin + 0.5) for bar in bars]


def _specification(bars: Sequence[_Bar], labels: Sequence[_Label], by_series: Mapping[str, Shares]) -> dict[str, Any]:
    """Return the Vega-Lite specification: the first series as bars, the others as lines over them.

    Texts from the data are values of it, never parts of an expression.
    """
    values = {series: [*_values(series, of_bins, bars)] for series, of_bins in by_series.items()}
    (_, as_bars), *as_lines = values.items()
    horizontal = {"type": "quantitative", "axis": None, "scale": {"domain": [0, bars[-1].begin + 1], "nice": False}}
    encoding = {
        "x": horizontal | {"field": "begin"},
        "x2": {"field": "end"},
        "y": {"field": "share", "type": "quantitative", "axis": {"format": ".0~%", "title": None, "tickCount": 5}},
        "color": {
            "field": "series",
            "scale": {"domain": [*by_series], "range": _COLOURS},
            "legend": {"orient": "top", "title": None},
        },
        "description": {"field": "description"},
    }
    return {
        "width": _WIDTH,
        "height": _HEIGHT,
        "layer": [
            {
                "data": {"values": as_bars},
                "mark": {"type": "rect", "stroke": "white"},
                "encoding": encoding | {"y2": {"datum": 0}},
            },
            {
                "data": {"values": [value for _, series in as_lines for value in series]},
                "mark": {"type": "rule", "strokeWidth": 2},
                "encoding": encoding,
            },
            {
                "data": {"values": [label._asdict() for label in labels]},
                "mark": {
                    "type": "text",
                    "angle": 315,
                    "align": "right",
                    "baseline": "top",
                    "limit": 90,
                    "aria": False,
                },
                "encoding": {
                    "x": horizontal | {"field": "at"},
                    "y": {"value": _HEIGHT + 5},
                    "text": {"field": "text"},
                },
            },
        ],
    }


def _values(series: str, shares_of_bins: Shares, bars: Sequence[_Bar]) -> Iterator[dict[str, Any]]:
    """Yield the values to draw for a series; bars without rows are left out."""
    for bar in bars:
        share = float(shares_of_bins[list(bar.bins)].sum())
        if share:
            description = f"{series}, {bar.name}: {share:.2%}"
            place = {"begin": bar.begin, "end": bar.begin + 1}
            yield {"series": series, **place, "share": share, "description": description}
