"""Adopted tables of other kinds in production: released, proposed, merged, deployed and rolled back."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.github.server import NAME, github
from tests.lifecycle.adoption.tables import leads, species, visits
from tests.lifecycle.adoption.test_adopt import adopted
from tests.lifecycle.missing import need
from tests.lifecycle.repository import ROOT, edit
from tests.lifecycle.workflows.act import rehearse


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


@pytest.mark.long
@pytest.mark.parametrize("table", ["churn.csv", "leads.csv"])
def test_comment(table: str, tmp_path: Path) -> None:
    """The real propose.yml and comment.yml, for the tables whose kind of target is that of the example."""
    project, _ = adopted(table, tmp_path / "project")
    (project.folder / ".venv").symlink_to(ROOT / ".venv")
    edit(project, "params.yaml", "max_iter: 200", "max_iter: 150")
    printed = project.must("python", "-m", "tests.github.rehearse", ONLY_PROPOSAL="1")
    assert re.search(r"^## (✅ (Better|No worse) than the model in production|🟡 Too few rows)", printed, re.MULTILINE)
    assert "The check `model` would pass." in printed


@pytest.mark.long
@pytest.mark.parametrize(
    ("table", "make"), [("species.csv", species), ("visits.parquet", visits), ("leads.csv", leads)]
)
def test_a_batch_of_new_rows_is_proposed(
    table: str, make: Callable[[np.random.Generator], pd.DataFrame], tmp_path: Path
) -> None:
    """The real retrain.yml finds rows that the data does not have, and opens a pull request with a model of all."""
    need("gh")
    project, _ = adopted(table, tmp_path / "project")
    path, more = project.folder / table, make(np.random.default_rng(8)).iloc[:400]
    if path.suffix == ".csv":
        more.to_csv(path, mode="a", header=False, index=False)
    else:
        pd.concat([pd.read_parquet(path), more]).to_parquet(path, index=False)
    project.commit("More rows in the source")
    project.must("git", "remote", "add", "origin", str(project.folder))
    project.must("git", "checkout", "--quiet", "--detach")
    event = {
        "event": "workflow_dispatch",
        "inputs": {"why": "there are new rows"},
        "repository": {"full_name": NAME, "default_branch": "main"},
    }
    with github() as server:
        for folder, sentence in (
            ("first", "Opened #200: Retrain with batch 0002."),
            ("again", "was proposed already: #200"),
        ):
            retrained = rehearse("retrain.yml:retrain", event, project.folder, server, tmp_path / folder)
            assert retrained.passed, retrained.output
            assert sentence in retrained.output
        (pull,) = server.pulls
    assert pull["body"].startswith("New data: 0002. Due because there are new rows.\n\n## ")
    assert "on the same " in pull["body"]
    listed = project.must("git", "diff", "--name-only", "main", "retraining").splitlines()
    assert "data.dvc" in listed
    assert "params.yaml" not in listed
