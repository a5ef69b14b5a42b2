"""The links, files and make targets that README and docs/ name exist."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.lifecycle.repository import ROOT

README = ROOT / "README.md"
IS_TEMPLATE = README.read_text(encoding="utf-8").startswith("# Merge to deploy\n")
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md", *([README] if IS_TEMPLATE else [])]
# Files that a run writes, or examples of what a team may write.
NOT_IN_GIT = re.compile(r"artifacts/.*|model/metrics\.py|data/.*|state/.*|docs/CODEOWNERS")


@pytest.fixture(scope="module")
def tracked() -> set[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    names = {name for name in listed if (ROOT / name).exists()}
    return names | {str(parent) for name in names for parent in Path(name).parents}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", text):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_exist(page: Path, tracked: set[str]) -> None:
    rooms = "model|lifecycle|deploy|tests|docs|benchmarks|requirements|reports|\\.github"
    for name in re.findall(rf"`((?:{rooms})/[\w./-]*[\w/])`", page.read_text(encoding="utf-8")):
        assert name.rstrip("/") in tracked or NOT_IN_GIT.fullmatch(name), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_targets_exist(page: Path) -> None:
    targets = {
        folder: set(re.findall(r"^([a-z-]+):", (ROOT / folder / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
        for folder in ("", "benchmarks")
    }
    text = page.read_text(encoding="utf-8")
    for folder, target in re.findall(r"(?:`|^)make (?:-C (benchmarks) )?([a-z][a-z-]*)", text, re.MULTILINE):
        assert target in targets[folder], target


@pytest.mark.skipif(not IS_TEMPLATE, reason="the README is the team's own")
def test_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").split()) <= 1_000
