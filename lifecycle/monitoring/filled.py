"""A single value that stands in for others, such as the default of a sensor that fails now and then."""

import numpy as np

from lifecycle.monitoring.drift import Drift
from lifecycle.monitoring.findings import Finding, Level
from lifecycle.monitoring.live import Live
from lifecycle.shared.histograms import shares

# Without the value, the distribution is nearer to the known one by this factor.
_NEARER = 0.5


def find_filled(live: Live, drift: Drift, by: float) -> Finding | None:
    """Find the value that stands in for others.

    No value can have been more frequent than its bin was. A value with a bin of its own was frequent before, so that
    more of it is a drift.

    Args:
        live: Rows of production.
        drift: Drift of a number.
        by: Largest tolerated increase of the share of such a value.

    Returns:
        The finding; None if there is no such value.
    """
    variable, reference = drift.variable, live.reference
    edges, counts = reference.bins[variable.name].edges, live.seen.counts[variable.name]
    ends = (-np.inf, *edges, np.inf)
    for place in range(len(edges) + 1 if edges else 0):
        low, high, before = ends[place], ends[place + 1], live.most(variable, place)
        if low == high or not live.exceeds(variable, live.share(variable, place), before + by):
            continue
        # As in the bins, the least edge belongs to the bin above it, and each other one to the bin below.
        above, below = ">" if place > 1 else ">=", "<" if place == 0 else "<="
        inside = f"{variable.sql} {above} '{low}'::DOUBLE AND {variable.sql} {below} '{high}'::DOUBLE"
        by_value = live.rows.filter(inside).aggregate(f"{variable.sql} AS value, count(*) AS rows", "value")
        ((value, rows),) = by_value.order("rows DESC, value").limit(1).fetchall()
        others = np.array(counts)
        others[place] -= rows
        is_nearer = drift.distance_of(shares(others), live) < _NEARER * drift.distance_of(shares(counts), live)
        if is_nearer and live.exceeds(variable, rows / live.seen.rows, before + by):
            evidence = f"is {value:g} in {rows / live.seen.rows:.1%} of the rows, before in at most {before:.1%}."
            affected = f"{variable.sql} = '{value!r}'::DOUBLE"
            return Finding("filled", variable.name, Level.ACT, evidence, affected=affected)
    return None
