"""Adopted tables of other kinds in production: released, proposed, merged, deployed and rolled back."""

import re
from pathlib import Path

import pytest

from tests.lifecycle.adoption.test_adopt import adopted
from tests.lifecycle.missing import need
from tests.lifecycle.repository import ROOT, edit


@pytest.mark.long
@pytest.mark.parametrize(
    ("table", "answer"),
    [
        ("visits.parquet", r'\{"id": "[0-9a-f]{32}", "value": \d+\.\d+\}'),
        ("species.csv", r'\{"id": "[0-9a-f]{32}", "label": "\w+", "probabilities": \{.*"it\'s rare": [\d.e-]+.*\}\}'),
    ],
)
def test_rehearsal(table: str, answer: str, tmp_path: Path) -> None:
    need("release")
    project, _ = adopted(table, tmp_path / "project")
    (project.folder / ".venv").symlink_to(ROOT / ".venv")
    edit(project, "params.yaml", "max_iter: 200", "max_iter: 150")
    # It releases the adoption itself, then proposes, merges, releases and rolls back the working tree.
    printed = project.must("python", "-m", "tests.github.rehearse")
    assert re.search(r"^## ✅ (Better|No worse) than the model in production", printed, re.MULTILINE)
    assert "version 1 of the registry" in printed
    answers = re.findall(
        rf"production answers with version (\d)(?:, of commit [0-9a-f]{{12}})?: {answer}$", printed, re.MULTILINE
    )
    assert answers == ["2", "1"]
    assert [line.split()[0] for line in printed.splitlines()[-3:]] == ["1", "2", "1"]
