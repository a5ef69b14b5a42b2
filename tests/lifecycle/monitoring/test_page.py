"""The page of distributions, in a real browser, and the snapshot of a day."""

import re
import subprocess
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from lifecycle.monitoring.check import check
from lifecycle.monitoring.drift_page import write_page
from lifecycle.monitoring.log import open_log
from lifecycle.monitoring.snapshot import write_snapshot
from lifecycle.pipeline.reference import Reference
from lifecycle.shared.distributions import VARIABLES
from lifecycle.shared.histograms import UNSEEN, Bins, shares
from model import contract
from tests.lifecycle.missing import need
from tests.lifecycle.monitoring.conftest import SINCE, UNTIL, VERSION, Watched, numbers, with_values, write_log


def opened_in_a_browser(page: Path, folder: Path) -> str:
    """Return the page as HTML after a browser without network access has rendered it."""
    need("chromium")
    options = (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={folder}",
        "--virtual-time-budget=20000",
    )
    offline = "--host-resolver-rules=MAP * ~NOTFOUND"
    command = ["chromium", *options, offline, "--window-size=1300,20000", "--dump-dom", page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def hostile(text: str) -> str:
    """Return a value that runs as code if a page contains it unescaped."""
    return f"""<img src=x onerror="document.title='{text}'">"""


def with_label(reference: Reference, variable: str, old: str, new: str) -> Reference:
    """Return a reference with one label replaced."""
    labels = tuple(new if label == old else label for label in reference.bins[variable].labels)
    return reference.model_copy(update={"bins": reference.bins | {variable: Bins(labels=labels)}})


def test_page(watched: Watched, tmp_path: Path) -> None:
    known, unknown = hostile("of-the-data"), hostile("of-a-client")
    reference = with_label(watched.reference, "carrier", "UA", known)
    rows = watched.sample(3_000, 0)
    renamed = {"UA": known, "DL": unknown}
    rows = with_values(rows, "carrier", [renamed.get(value, value) for value in rows["carrier"].to_pylist()])
    rows = with_values(rows, "humidity", numbers(rows, "humidity") / 100)
    page = tmp_path / "report.html"
    with open_log(write_log(tmp_path / "log", *watched.records(rows)), SINCE, UNTIL) as log:
        result = check(log, VERSION, reference, watched.params)
    write_page(page, result, reference)

    shown = opened_in_a_browser(page, tmp_path / "browser")
    assert "Version 1, 2013-03-01 00:00 to 2013-03-29 00:00 UTC: 3,000 predictions. Status: act." in shown
    assert f"<title>{contract.NAME} in production</title>" in shown
    assert "<img" not in shown
    assert "of-a-client" not in shown  # unseen categories are only counted
    assert shown.count("<svg") == len(VARIABLES)
    # Drifted variables come first, then those closest to their threshold.
    furthest_first = sorted(result.drifts, key=lambda drift: drift.found / drift.threshold, reverse=True)
    drifted = [f"{drift.variable.name}: drifted" for drift in furthest_first if drift.drifted]
    assert {"humidity: drifted", "carrier: drifted"} <= {*drifted}
    others = [drift.variable.name for drift in furthest_first if not drift.drifted]
    assert re.findall("<b>(.+?)</b>", shown) == drifted + others
    for drift in result.drifts:
        distance = f"distance {drift.found:.3f} from {drift.compared[0]}, threshold {drift.threshold:.3f}: "
        assert distance + ("drifted" if drift.drifted else "no drift") in shown
    assert "<script" not in shown
    assert not re.search(r"""(?:src|href)=["'](?!#)""", shown)


def described(svg: str) -> dict[tuple[str, str], str]:
    """Return the share of each bar and line by series and bin, from the descriptions for screen readers."""
    marks = re.findall(r'aria-label="(production|[^"]+ months?), ([^"]+): ([^"]+%)"', svg)
    return {(series, name): share for series, name, share in marks}


def test_bars_and_lines_are_the_counts(watched: Watched, tmp_path: Path) -> None:
    rows = watched.sample(2_000, 0)
    rows = with_values(rows, "origin", ["LGB" if value == "LGA" else value for value in rows["origin"].to_pylist()])
    rows = with_values(rows, "wind_speed", numbers(rows, "wind_speed") + 40)
    with open_log(write_log(tmp_path / "log", *watched.records(rows)), SINCE, UNTIL) as log:
        result = check(log, VERSION, watched.reference, watched.params)
    page, months = tmp_path / "report.html", watched.reference.periods
    write_page(page, result, watched.reference)
    assert result.live
    shown = dict(re.findall(r"<b>([^:]+?)(?:: drifted)?</b>.+?(<svg.+?</svg>)", page.read_text("utf-8"), re.DOTALL))
    for name, bins in watched.reference.bins.items():
        (nearest,) = (drift.compared[0] for drift in result.drifts if drift.variable.name == name)
        by_series = {
            "production": shares(result.live.counts[name]),
            f"{nearest}, the nearest month": shares(months[nearest].counts[name]),
            "all known months": shares(np.sum([month.counts[name] for month in months.values()], axis=0)),
        }
        expected = {
            (series, bin_name): f"{share:.2%}"
            for series, bin_shares in by_series.items()
            for bin_name, share in zip(bins.names(), bin_shares, strict=True)
            if share
        }
        drawn = described(shown[name])
        others = {series: share for (series, bin_name), share in drawn.items() if bin_name.endswith(" others")}
        assert bool(others) == (len(bins.labels) > 30)
        if others:
            # The rarest labels are added up.
            drawn = {key: share for key, share in drawn.items() if not key[1].endswith(" others")}
            left = [share for key, share in expected.items() if key not in drawn and key[0] == "production"]
            assert percent(others["production"]) == pytest.approx(sum(map(percent, left)), abs=0.005 * len(left))
            assert drawn.items() <= expected.items()
        else:
            assert drawn == expected
    assert described(shown["origin"])["production", UNSEEN] == f"{rows['origin'].to_pylist().count('LGB') / 2_000:.2%}"


def percent(text: str) -> float:
    return float(text.removesuffix("%"))


def test_too_few_rows_have_no_plots(watched: Watched, tmp_path: Path) -> None:
    rows = watched.sample(watched.params.monitoring.rows - 1, 0)
    page = tmp_path / "report.html"
    with open_log(write_log(tmp_path / "log", *watched.records(rows)), SINCE, UNTIL) as log:
        write_page(page, check(log, VERSION, watched.reference, watched.params), watched.reference)
    text = page.read_text(encoding="utf-8")
    assert f": {rows.num_rows} predictions. Status: ok." in text
    assert "too few" in text
    assert "<svg" not in text


def test_snapshot_of_a_day(watched: Watched, tmp_path: Path) -> None:
    """It counts the rows of that day and version only."""
    day, file = date(2013, 3, 7), tmp_path / "2013-03-07.parquet"
    predictions, feedback = watched.records(watched.sample(2_800, 0))
    with open_log(write_log(tmp_path / "log", predictions, feedback), SINCE, UNTIL) as log:
        write_snapshot(file, log.of(VERSION).of_day(day), watched.reference, day, VERSION)
    lines = pq.read_table(file).to_pylist()
    assert {(line["day"], line["version"]) for line in lines} == {(day, VERSION)}
    begin = datetime.combine(day, datetime.min.time(), UTC)
    expected = [
        begin.timestamp() <= time < (begin + timedelta(days=1)).timestamp() for time in predictions["time"].to_pylist()
    ]
    for variable in VARIABLES:
        assert sum(line["rows"] for line in lines if line["variable"] == variable.name) == sum(expected) == 100
