"""The page of pictures, in a real browser, and the snapshot of a day."""

import re
import subprocess
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq

from lifecycle.monitoring.check import check
from lifecycle.monitoring.drift_page import write_page
from lifecycle.monitoring.log import opened
from lifecycle.monitoring.snapshot import write_snapshot
from lifecycle.shared.distributions import VARIABLES
from lifecycle.shared.histograms import UNSEEN
from tests.lifecycle.missing import need
from tests.lifecycle.monitoring.conftest import SINCE, UNTIL, VERSION, Watched, with_values, write_log


def opened_in_a_browser(page: Path, folder: Path) -> str:
    """What is shown, as HTML; whoever may load something, from nowhere but this page."""
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


def test_page(watched: Watched, tmp_path: Path) -> None:
    hostile = '<img src=x onerror=alert("of-a-client")>'
    rows = watched.sample(3_000, 0)
    rows = with_values(rows, "carrier", [hostile if value == "UA" else value for value in rows["carrier"].to_pylist()])
    page = tmp_path / "report.html"
    with opened(write_log(tmp_path / "log", *watched.records(rows)), SINCE, UNTIL) as log:
        found = check(log, VERSION, watched.reference, watched.params)
        write_page(page, log.of(VERSION), watched.reference, found.drifts)
    text = page.read_text(encoding="utf-8")
    assert "of-a-client" not in text
    shown = opened_in_a_browser(page, tmp_path / "browser")
    for variable in VARIABLES:
        assert f">{variable.name}<" in shown
    assert shown.count('class="main-svg"') >= len(VARIABLES)
    assert UNSEEN in shown
    # What differs most comes first.
    assert shown.index(">carrier<") < shown.index(">distance<")
    assert not re.search(r"""<(?:script|link|img)[^>]+(?:src|href)=["']https?:""", text)


def test_snapshot_of_a_day(watched: Watched, tmp_path: Path) -> None:
    """Of that day alone, and of that version; days can be added up."""
    day, file = date(2013, 3, 7), tmp_path / "2013-03-07.parquet"
    predictions, feedback = watched.records(watched.sample(2_800, 0))
    with opened(write_log(tmp_path / "log", predictions, feedback), SINCE, UNTIL) as log:
        write_snapshot(file, log.of(VERSION).of_day(day), watched.reference, day, VERSION)
    lines = pq.read_table(file).to_pylist()
    assert {(line["day"], line["version"]) for line in lines} == {(day, VERSION)}
    begin = datetime.combine(day, datetime.min.time(), UTC)
    expected = [
        begin.timestamp() <= time < (begin + timedelta(days=1)).timestamp() for time in predictions["time"].to_pylist()
    ]
    for variable in VARIABLES:
        assert sum(line["rows"] for line in lines if line["variable"] == variable.name) == sum(expected) == 100
