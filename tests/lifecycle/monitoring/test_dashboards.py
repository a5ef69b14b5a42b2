"""What watches the service from outside: Prometheus' rules, Grafana's dashboard, and the runbook."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from lifecycle.shared.histograms import MISSING, UNSEEN, psi
from tests.lifecycle.missing import need
from tests.lifecycle.repository import ROOT
from tests.lifecycle.serving.conftest import EXAMPLE, eventually, running

PROMETHEUS = ROOT / "deploy/prometheus"
RULES = PROMETHEUS / "rules.yml"
DASHBOARD = ROOT / "deploy/grafana/dashboard.json"
_NAME = re.compile(r"\b(?:model|prediction_log)[:_][a-z0-9_:]+")


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]


def of_the_dashboard() -> list[str]:
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    return [*asked, *(one["expr"] for one in board["annotations"]["list"])]


def promtool(*arguments: str | Path) -> None:
    need("promtool")
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_the_rules() -> None:
    promtool("check", "config", PROMETHEUS / "prometheus.yml")


def test_alerts_fire_when_they_should(tmp_path: Path) -> None:
    cases = (Path(__file__).parent / "rules_test.yml").read_text(encoding="utf-8")
    (tmp_path / "rules_test.yml").write_text(cases.replace("RULES", str(RULES)), encoding="utf-8")
    promtool("test", "rules", tmp_path / "rules_test.yml")
    tested = {test["alertname"] for case in yaml.safe_load(cases)["tests"] for test in case["alert_rule_test"]}
    assert {rule["alert"] for rule in rules() if "alert" in rule} == tested


def test_rules_know_the_index_and_the_names_of_the_histograms() -> None:
    """The index is the one that `test_alerts_fire_when_they_should` holds Prometheus to."""
    cases = yaml.safe_load((Path(__file__).parent / "rules_test.yml").read_text(encoding="utf-8"))["tests"]
    (asked,) = (one for one in cases[1]["promql_expr_test"] if "model:feature_psi:1d" in one["expr"])
    index = psi(np.array([0.5, 0.5]), np.array([0.0, 1.0]))
    assert asked["exp_samples"][0]["value"] == pytest.approx(index, abs=1e-4)
    (missing,) = (rule for rule in rules() if rule.get("alert") == "FeatureMissing")
    assert f'bin=~"{MISSING}|{UNSEEN}"' in missing["expr"]


def test_prometheus_takes_what_the_dashboard_asks(tmp_path: Path) -> None:
    asked = [expression.replace("$feature", "carrier") for expression in of_the_dashboard()]
    recorded = [{"record": f"asked:{number}", "expr": expression} for number, expression in enumerate(asked)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": recorded}]}), "utf-8")
    promtool("check", "rules", tmp_path / "rules.yml")


def test_what_is_asked_for_is_there(trained: Path, tmp_path: Path) -> None:
    """Each metric is exposed by the service as it runs, or recorded of those."""
    with running(trained, tmp_path) as service:
        service.predict(EXAMPLE)
        eventually(lambda: service.metric("model_rows_total") and service.metric("prediction_log_records_total"))
        exposed = set(re.findall(r"^([a-z_]+)[ {]", service.get("/metrics").text, re.MULTILINE))
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    named = {
        name for text in [*of_the_dashboard(), *(rule["expr"] for rule in rules())] for name in _NAME.findall(text)
    }
    assert named <= exposed | recorded
    # And the whole of what the service tells of itself is shown.
    assert {"model_requests_total", "model_request_seconds_bucket", "model_probability_bucket", "model_info"} <= named


def test_each_alert_has_its_part_of_the_runbook() -> None:
    titles = re.findall(r"^## (\w+)$", (ROOT / "deploy/runbook.md").read_text(encoding="utf-8"), re.MULTILINE)
    alerts = {rule["alert"]: rule["annotations"]["runbook_url"] for rule in rules() if "alert" in rule}
    assert set(titles) == set(alerts)
    for name, url in alerts.items():
        assert url.endswith(f"/blob/main/deploy/runbook.md#{name.lower()}")
