"""Links, files, make targets, settings, permissions and messages in README and docs/ match the code."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from lifecycle.release.alerting import AlertSettings
from lifecycle.serving.environment import ServingSettings
from lifecycle.shared.params import Params
from tests.lifecycle.repository import EXAMPLE_PROJECT, ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))

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


def table(page: str, heading: str) -> list[list[str]]:
    """Return the cells of the first table under a heading of a page in docs/."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    _, _, section = text.partition(f"\n## {heading}\n")
    lines = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def names(cell: str) -> list[str]:
    """Return the texts in backticks in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def test_settings_of_params_yaml() -> None:
    sections = [name for cells in table("settings.md", "The model: `params.yaml`") for name in names(cells[0])]
    assert sorted(sections) == sorted(Params.model_fields)


def test_settings_of_the_contract() -> None:
    module = ast.parse((EXAMPLE_PROJECT / "model/contract.py").read_text(encoding="utf-8"))
    assigned = [
        node.targets[0] if isinstance(node, ast.Assign) else node.target
        for node in module.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
    ]
    declared = [node.id for node in assigned if isinstance(node, ast.Name)]
    described = [name for cells in table("settings.md", "The data: `model/contract.py`") for name in names(cells[0])]
    assert sorted(described) == sorted(declared)


def test_settings_of_the_service() -> None:
    described = {names(cells[0])[0]: cells[1] for cells in table("settings.md", "The service: environment variables")}
    fields = {name.upper(): field for name, field in ServingSettings.model_fields.items()}
    assert described.keys() == fields.keys()
    for name, field in fields.items():
        if field.default not in {"", ()}:
            assert described[name] == f"`{field.default}`"


def test_settings_of_the_host() -> None:
    described = {
        name for cells in table("settings.md", "The production host: files in `~/NAME`") for name in names(cells[1])
    }
    compose = (ROOT / "deploy/compose.yaml").read_text(encoding="utf-8")
    ports = {name for name in re.findall(r"\$\{(\w+)", compose) if name.endswith("PORT")}
    assert described == {*ports, "PREDICTION_LOG_URL", *(name.upper() for name in AlertSettings.model_fields)}


def test_settings_of_github() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)
    kinds = {"vars": "variable", "secrets": "secret"}
    used = {(name, kinds[kind]) for kind, name in re.findall(r"\b(vars|secrets)\.([A-Z_]+)", text)}
    described = {(names(cells[0])[0], cells[1]) for cells in table("settings.md", "GitHub: variables and secrets")}
    assert described == used


def test_permissions_of_the_workflows() -> None:
    described = {
        tuple(names(cells[0])): (set(names(cells[2])), set(names(cells[3])))
        for cells in table("security.md", "Workflows")
    }
    granted = {}
    for path in WORKFLOWS:
        for name, job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].items():
            permissions = {f"{scope}: {access}" for scope, access in job["permissions"].items()}
            secrets = set(re.findall(r"secrets\.([A-Z_]+)", yaml.safe_dump(job)))
            granted[path.name, name] = (permissions, secrets)
    assert described == granted


def strings(node: ast.AST) -> Iterator[str]:
    """Yield the strings in some code, with … in place of values."""
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value
        elif isinstance(part, ast.JoinedStr):
            yield "".join(str(v.value) if isinstance(v, ast.Constant) else "…" for v in part.values)


def test_messages_are_those_of_the_code() -> None:
    text = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    messages = re.findall(r"^### `(.+)`$", text, re.MULTILINE)
    assert len(messages) > 20
    in_code = {
        string
        for path in (ROOT / "lifecycle").rglob("*.py")
        for string in strings(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert [message for message in messages if not any(message in string for string in in_code)] == []
