"""Prometheus rules, the Grafana dashboard and the runbook."""

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


def dashboard_queries() -> list[str]:
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    shown = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    return [*shown, *(annotation["expr"] for annotation in board["annotations"]["list"])]


def promtool(*arguments: str | Path) -> None:
    need("promtool")
    completed = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stdout + completed.stderr


def test_prometheus_accepts_the_rules() -> None:
    promtool("check", "config", PROMETHEUS / "prometheus.yml")


def test_alerts_fire_when_they_should(tmp_path: Path) -> None:
    cases = (Path(__file__).parent / "rules_test.yml").read_text(encoding="utf-8")
    (tmp_path / "rules_test.yml").write_text(cases.replace("RULES", str(RULES)), encoding="utf-8")
    promtool("test", "rules", tmp_path / "rules_test.yml")
    tested = {test["alertname"] for case in yaml.safe_load(cases)["tests"] for test in case["alert_rule_test"]}
    assert {rule["alert"] for rule in rules() if "alert" in rule} == tested


def test_rules_know_the_index_and_the_names_of_the_histograms() -> None:
    """The expected index is also the one in the test of Prometheus' rules."""
    cases = yaml.safe_load((Path(__file__).parent / "rules_test.yml").read_text(encoding="utf-8"))["tests"]
    (query,) = (case for case in cases[1]["promql_expr_test"] if "model:feature_psi:1d" in case["expr"])
    index = psi(np.array([0.5, 0.5]), np.array([0.0, 1.0]))
    assert query["exp_samples"][0]["value"] == pytest.approx(index, abs=1e-4)
    (missing,) = (rule for rule in rules() if rule.get("alert") == "FeatureMissing")
    assert f'bin=~"{MISSING}|{UNSEEN}"' in missing["expr"]


def test_prometheus_accepts_the_queries_of_the_dashboard(tmp_path: Path) -> None:
    queries = [expression.replace("$feature", "carrier") for expression in dashboard_queries()]
    recorded = [{"record": f"query:{number}", "expr": expression} for number, expression in enumerate(queries)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": recorded}]}), "utf-8")
    promtool("check", "rules", tmp_path / "rules.yml")


def test_metrics_exist(trained: Path, tmp_path: Path) -> None:
    """Each metric is exposed by the running service, or recorded by a rule."""
    with running(trained, tmp_path) as service:
        service.predict(EXAMPLE)
        eventually(lambda: service.metric("model_rows_total") and service.metric("prediction_log_records_total"))
        exposed = set(re.findall(r"^([a-z_]+)[ {]", service.get("/metrics").text, re.MULTILINE))
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    named = {
        name for text in [*dashboard_queries(), *(rule["expr"] for rule in rules())] for name in _NAME.findall(text)
    }
    assert named <= exposed | recorded
    # The most important metrics are shown.
    assert {"model_requests_total", "model_request_seconds_bucket", "model_prediction_bucket", "model_info"} <= named


def test_each_alert_has_a_section_in_the_runbook() -> None:
    titles = re.findall(r"^## (\w+)$", (ROOT / "deploy/runbook.md").read_text(encoding="utf-8"), re.MULTILINE)
    alerts = {rule["alert"]: rule["annotations"]["runbook_url"] for rule in rules() if "alert" in rule}
    assert set(titles) == set(alerts)
    for name, url in alerts.items():
        assert url.endswith(f"/blob/main/deploy/runbook.md#{name.lower()}")
