"""Alerts that have fired in production, read from the Prometheus on its host."""

import http.client
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from lifecycle.monitoring.findings import ALERT, Finding, Level
from lifecycle.release.client import ask
from lifecycle.release.host import connected
from lifecycle.release.production import Production
from lifecycle.shared.console import UserError

# `monitor.yml` runs once a day, and GitHub may start it late.
_PERIOD = timedelta(hours=26)
_INTERVAL = 60  # seconds between two evaluations of the rules
_NAME = re.compile(r"[A-Za-z_]\w*")
_LEVELS = {"critical": Level.ACT}


def fired_alerts(address: str, now: datetime) -> list[Finding] | None:
    """Return the alerts that have fired since the last check.

    Args:
        address: Host of production, as for `ssh`.
        now: End of the period.

    Returns:
        A finding for each alert, also if Prometheus cannot be asked; None if the host has no receiver of alerts,
        because then no Prometheus runs there.
    """
    try:
        with connected(address, alone=False) as host:
            production = Production(host)
            return alerts_of(production.port("prometheus"), now) if production.has_alerts() else None
    except UserError as error:
        return [Finding(ALERT, "The state of the alerts", Level.ACT, f"is unknown: {error}")]


def alerts_of(port: int, now: datetime) -> list[Finding]:
    """Return the alerts that have fired, by the Prometheus at a port of this machine.

    Args:
        port: Port of Prometheus.
        now: End of the period.

    Raises:
        UserError: If Prometheus does not answer, or not as documented.
    """
    # https://prometheus.io/docs/prometheus/latest/querying/api/: a range vector has the samples as they were stored.
    samples = f'ALERTS{{alertstate="firing"}}[{_PERIOD // timedelta(seconds=1)}s]'
    try:
        series = _query(port, "query", query=samples, time=now.timestamp())["result"]
        active = _query(port, "alerts")["alerts"]
        return sorted(_findings(series, active, now), key=lambda finding: (-finding.level, finding.subject))
    except (OSError, http.client.HTTPException, KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(f"Prometheus on the host does not answer as expected: {error!r}") from error


def _query(port: int, path: str, **parameters: Any) -> Any:
    status, answer = ask(port, "GET", f"/api/v1/{path}?{urlencode(parameters)}")
    if status != HTTPStatus.OK:
        raise ValueError(f"status {status} for {path}")
    return answer["data"]


def _findings(series: Any, active: Any, now: datetime) -> Iterator[Finding]:
    """Return a finding for each name of an alert, which may have fired for several features or slots."""
    summaries: dict[str, list[str]] = {}
    for alert in active:
        if alert["state"] == "firing":
            summaries.setdefault(alert["labels"]["alertname"], []).append(alert["annotations"].get("summary", ""))
    times: dict[str, list[float]] = {}
    levels = dict[str, Level]()
    for one in series:
        name = one["metric"]["alertname"]
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of an alert")
        times.setdefault(name, []).extend(float(time) for time, _ in one["values"])
        levels[name] = max(levels.get(name, Level.WARN), _LEVELS.get(one["metric"].get("severity", ""), Level.WARN))
    for name, fired in times.items():
        first, last = (f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M} UTC" for time in (min(fired), max(fired)))
        earlier = " or earlier" if min(fired) < (now - _PERIOD).timestamp() + _INTERVAL else ""
        if name in summaries:
            evidence = f"has been firing since {first}{earlier}: {' '.join(sorted(summaries[name]))}"
        else:
            evidence = f"fired from {first}{earlier} to {last}. It has ended."
        yield Finding(ALERT, name, levels[name], evidence)
