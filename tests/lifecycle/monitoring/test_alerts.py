"""Alerts of a real Prometheus, whose history is made up."""

import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest

from lifecycle.monitoring.alerts import alerts_of
from lifecycle.monitoring.findings import Level
from lifecycle.monitoring.issue_details import advice
from lifecycle.shared.console import UserError
from tests.lifecycle.missing import need
from tests.lifecycle.serving.conftest import eventually, free_port

HOUR = 3600
# Alerts that fire as long as Prometheus runs.
STUCK = [
    {
        "alert": "FeatureStuck",
        "expr": "vector(1)",
        "labels": {"feature": name, "severity": "warning"},
        "annotations": {"summary": f"{name} is nearly constant."},
    }
    for name in ("origin", "carrier")
]
RULES = json.dumps({"groups": [{"name": "now", "interval": "1s", "rules": STUCK}]})


@contextmanager
def prometheus(folder: Path, history: Mapping[str, tuple[float, float]]) -> Iterator[int]:
    """Run a Prometheus that has alerts, with the times in seconds when each series of them began and ended."""
    need("prometheus", "promtool")
    samples = [
        f"ALERTS{{{labels}}} 1 {moment}\n"
        for labels, (first, last) in history.items()
        for moment in range(int(first), int(last) + 1, 60)
    ]
    text = "".join(["# TYPE ALERTS gauge\n", *samples, "# EOF\n"])
    (folder / "history").write_text(text, encoding="utf-8")
    data = str(folder / "data")
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(folder / "history"), data]
    subprocess.run(command, check=True, capture_output=True)
    (folder / "rules.yml").write_text(RULES, encoding="utf-8")
    (folder / "prometheus.yml").write_text("rule_files: [rules.yml]\n", encoding="utf-8")
    port = free_port()
    options = [f"--web.listen-address=127.0.0.1:{port}", f"--storage.tsdb.path={data}"]
    command = ["prometheus", f"--config.file={folder / 'prometheus.yml'}", *options]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        eventually(lambda: fires(port))
        yield port
    finally:
        server.terminate()
        server.wait(10)


def fires(port: int) -> bool:
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}/api/v1/query", params={"query": "count(ALERTS) > 1"})
    except httpx.TransportError:
        return False
    return answer.status_code == 200 and bool(answer.json()["data"]["result"])


def test_alerts_of_the_last_day(tmp_path: Path) -> None:
    started = time.time()
    history = {
        'alertname="ModelErrors",alertstate="firing",severity="critical"': (started - 5 * HOUR, started - 4.8 * HOUR),
        'alertname="ModelSlow",alertstate="firing",severity="warning"': (started - 40 * HOUR, started - 24 * HOUR),
        'alertname="PredictionLogAway",alertstate="pending",severity="warning"': (started - 2 * HOUR, started - HOUR),
        'alertname="PredictionLogDropped",alertstate="firing",severity="critical"': (
            started - 40 * HOUR,
            started - 30 * HOUR,
        ),
    }
    with prometheus(tmp_path, history) as port:
        errors, stuck, slow = alerts_of(port, datetime.now(UTC))
    first, last = (f"{datetime.fromtimestamp(started, UTC) - timedelta(hours=h):%Y-%m-%d %H:%M} UTC" for h in (5, 4.8))
    assert (errors.subject, errors.level) == ("ModelErrors", Level.ACT)
    assert errors.evidence == f"fired from {first} to {last}. It has ended."
    assert (stuck.subject, stuck.level) == ("FeatureStuck", Level.WARN)
    assert stuck.evidence.endswith(" UTC: carrier is nearly constant. origin is nearly constant.")
    assert stuck.evidence.startswith("has been firing since ")
    assert (slow.subject, slow.level) == ("ModelSlow", Level.WARN)
    assert " UTC or earlier to " in slow.evidence


def test_an_alert_has_the_advice_of_its_section() -> None:
    told = advice("alert", ["ModelErrors", "AlertOfTheOwner"])
    assert "#### ModelErrors\n\nMore than 1% of the requests get a 5xx response." in told
    assert "](../blob/main/deploy/runbook.md#predictionlogfilling)" in told
    assert "AlertOfTheOwner" not in told


@pytest.mark.parametrize("body", [b"not JSON", b"{}", b'{"data": {"result": [{"metric": {}}]}}', b'{"data": []}'])
def test_another_answer_is_not_read_as_no_alert(body: bytes) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        with pytest.raises(UserError, match="does not answer as expected"):
            alerts_of(server.server_port, datetime.now(UTC))
        server.shutdown()
        thread.join()
    with pytest.raises(UserError, match="does not answer as expected"):
        alerts_of(server.server_port, datetime.now(UTC))
