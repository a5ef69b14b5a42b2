"""Whether the outputs of a run confirm the committed dvc.lock."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from lifecycle.proposal.propose import _reproduced


def write(model: str, auc: float) -> None:
    outs = {"train": {"outs": [{"path": "artifacts/model", "md5": model}]}}
    Path("dvc.lock").write_text(yaml.safe_dump({"stages": outs}), encoding="utf-8")
    Path("reports").mkdir(exist_ok=True)
    Path("reports/metrics.json").write_text(json.dumps({"roc_auc": auc}), encoding="utf-8")


def git(*arguments: str) -> None:
    author = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    subprocess.run(["git", *author, *arguments], check=True, capture_output=True)


@pytest.fixture(autouse=True)
def committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    git("init", "--quiet")
    write("aa", 0.7)
    git("add", "--all")
    git("commit", "--quiet", "--message", "Trained")


def test_bit_for_bit() -> None:
    assert _reproduced() == "bit for bit"


def test_in_metrics_only() -> None:
    write("bb", 0.7)
    assert _reproduced() == "in metrics only"


def test_not() -> None:
    write("bb", 0.8)
    assert _reproduced() == "not"


def test_no_lock() -> None:
    git("rm", "--quiet", "--cached", "dvc.lock")
    git("commit", "--quiet", "--message", "No lock")
    assert _reproduced() == "no lock committed"
