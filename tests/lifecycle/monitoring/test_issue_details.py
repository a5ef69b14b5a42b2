"""What an issue tells of a finding."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lifecycle.monitoring.check import check
from lifecycle.monitoring.findings import KINDS
from lifecycle.monitoring.issue_details import Details, advice, details
from lifecycle.monitoring.log import open_log
from lifecycle.shared.tables import to_columns
from lifecycle.shared.text import clean
from tests.lifecycle.monitoring.conftest import SINCE, UNTIL, VERSION, Watched, numbers, with_values, write_log

ROWS = 3_000


def told(watched: Watched, folder: Path, rows: pa.Table) -> dict[str, Details]:
    """Return the details of each kind of finding."""
    with open_log(write_log(folder, *watched.records(rows)), SINCE, UNTIL) as log:
        result = check(log, VERSION, watched.reference, watched.params)
        found = details(log.of(VERSION), result, watched.reference, watched.params)
    return {finding.kind: of_finding for finding, of_finding in found.items()}


def test_how_much_and_where_values_are_missing(watched: Watched, tmp_path: Path) -> None:
    """Half of the flights from JFK miss a column, since two weeks ago."""
    rows = watched.sample(ROWS, 0)
    origins = np.array(rows.column("origin").to_pylist())
    lost = (origins == "JFK") & (np.arange(ROWS) % 2 == 0) & (np.arange(ROWS) >= ROWS // 2)
    rows = with_values(rows, "plane_seats", np.where(lost, np.nan, numbers(rows, "plane_seats")))
    missing = told(watched, tmp_path / "log", rows)["missing"]
    sure, much, weeks, where, means = missing.facts
    share = np.isnan(numbers(rows, "plane_seats"))
    assert sure.startswith("How sure: 3,000 predictions were judged, which tell as much about plane_seats as ")
    assert much == f"How much of the traffic: {share.mean():.1%} of the predictions."
    assert weeks.startswith(f"Last 7 days: {share[ROWS * 3 // 4 :].mean():.1%}; the 7 days before: ")
    by_carrier = {
        name: share[np.array(rows.column("carrier").to_pylist()) == name].mean()
        for name in ("MQ", "AA", "DL", "B6", "UA", "EV", "US", "WN", "9E")
    }
    worst = max(by_carrier, key=lambda name: by_carrier[name])
    assert where == f"Most of all where carrier is {worst}: {by_carrier[worst]:.1%} of these predictions."
    assert means.startswith("Mean of the last 7 days: ")


def test_chart_shows_the_column_before_and_after(watched: Watched, tmp_path: Path) -> None:
    rows = watched.sample(ROWS, 0)
    last = np.arange(ROWS) >= ROWS * 3 // 4
    kilometres = np.where(last, 1.609344, 1) * numbers(rows, "distance")
    unit = told(watched, tmp_path / "log", with_values(rows, "distance", kilometres))["unit"]
    assert "How much of the traffic: 25% of the predictions, all since then." in unit.facts
    assert unit.chart.startswith("```mermaid")
    assert clean(unit.chart).strip() == unit.chart
    titles, labels, _, now, before = unit.chart.splitlines()[3:8]
    assert titles.startswith('  title "distance: since 2013-03-22 in blue, 2013-0')
    values = [line.strip(" barline[]").split(", ") for line in (now, before)]
    assert len(values[0]) == len(values[1]) == labels.count('", "') + 1
    assert [sum(map(float, series)) for series in values] == pytest.approx([100, 100], abs=1)


def test_in_which_slice_outcomes_differ_from_predictions(watched: Watched, tmp_path: Path) -> None:
    """Since a week, all flights from JFK are late."""
    rows = watched.sample(ROWS, 0)
    from_jfk = np.array(rows.column("origin").to_pylist()) == "JFK"
    late = np.array(rows.column("late").to_pylist())
    late[ROWS * 3 // 4 :] |= from_jfk[ROWS * 3 // 4 :]
    rate = told(watched, tmp_path / "log", with_values(rows, "late", late))["break"]
    sure, weeks, where = rate.facts
    assert sure.startswith("How sure: 3,000 outcomes are known.")
    last, before = (late[ROWS * 3 // 4 :], late[ROWS // 2 : ROWS * 3 // 4])
    assert weeks.startswith(f"Last 7 days: {last.mean():.1%} late in 750 outcomes, predicted ")
    assert f"; the 7 days before: {before.mean():.1%} late in 750 outcomes, predicted " in weeks
    predicted = watched.predictor.predict(to_columns(rows))
    surplus = late[from_jfk].mean() - predicted[from_jfk].mean()
    start = "Most of all where origin is JFK: the mean outcome differs from the mean prediction by "
    assert where.startswith(start)
    assert float(where.removeprefix(start).rstrip(".")) == pytest.approx(surplus, abs=0.001)
    assert rate.chart == ""


def test_the_runbook_has_advice_for_each_kind() -> None:
    for kind in KINDS:
        assert "Fix:" in advice(kind), kind
    assert "](../blob/main/deploy/runbook.md#modelrequestsrefused)" in advice("volume")
