"""The pages of several days on a real branch."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lifecycle.monitoring import site
from lifecycle.monitoring.site import publish_check

CHECK: dict[str, Any] = {
    "status": "ok",
    "version": "3",
    "rows": 26_519,
    "findings": [],
    "drifted_importance": 0.02,
    "performance": {"metrics": {"roc_auc": {"value": 0.7218, "low": 0.71, "high": 0.73}}},
}


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet", "--bare", "remote.git")
    return tmp_path / "remote.git"


@pytest.fixture
def check_files(tmp_path: Path) -> Path:
    """Write the files of a check."""
    folder = tmp_path / "monitoring"
    folder.mkdir()
    for name in ("report.html", "2013-08-31.parquet", "check.json", "check.md"):
        (folder / name).write_text(name, encoding="utf-8")
    return folder


def files(remote: Path) -> set[str]:
    return set(git(remote, "ls-tree", "--name-only", "gh-pages").split())


def test_days_are_added(remote: Path, check_files: Path) -> None:
    publish_check(remote.as_uri(), check_files, "2013-09-01", CHECK)
    assert files(remote) == {"index.html", "history.json", "2013-09-01.html", "2013-09-01.parquet"}
    assert git(remote, "show", "gh-pages:2013-09-01.html") == "report.html"
    hostile = {"kind": "unseen", "subject": "carrier", "level": "act", "evidence": "<script>alert(1)</script>"}
    check = CHECK | {"status": "act", "findings": [hostile], "performance": None}
    for _ in range(2):  # a repeated check of a day replaces the first one
        publish_check(remote.as_uri(), check_files, "2013-09-02", check)
    index = git(remote, "show", "gh-pages:index.html")
    assert index.index("2013-09-02") < index.index("2013-09-01")
    assert index.count('<a href="2013-09-02.html">') == 1
    assert '<td class="number">26,519<td class="number">0.722<td class="number">2%' in index
    assert "<b>carrier</b> &lt;script&gt;" in index
    assert "<script>" not in index
    assert len(json.loads(git(remote, "show", "gh-pages:history.json"))) == 2
    assert git(remote, "rev-list", "--count", "gh-pages").strip() == "1"


def test_only_the_newest_pages_are_kept(remote: Path, check_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "_KEPT_PAGES", 2)
    for day in ("2013-09-01", "2013-09-02", "2013-09-03"):
        publish_check(remote.as_uri(), check_files, day, CHECK)
    assert {name for name in files(remote) if name.startswith("2013")} == {
        "2013-09-01.parquet",
        "2013-09-02.html",
        "2013-09-02.parquet",
        "2013-09-03.html",
        "2013-09-03.parquet",
    }
    index = git(remote, "show", "gh-pages:index.html")
    assert '<a href="2013-09-01.html">' not in index
    assert "<td>2013-09-01" in index
