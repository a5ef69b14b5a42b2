"""The real score.yml: off until it is switched on, then it scores the files of a directory."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq

from tests.github.server import NAME, GitHub
from tests.lifecycle.missing import need
from tests.lifecycle.registry.commands import promote, register
from tests.lifecycle.repository import Repository
from tests.lifecycle.workflows.act import rehearse


def test_new_files_are_scored(proposing: Repository, github: GitHub, tmp_path: Path) -> None:
    need("gh")
    proposing.must("git", "checkout", "--quiet", "--detach", "main")
    proposing.must("git", "remote", "add", "origin", str(proposing.folder))
    register(proposing)
    promote(proposing, "1 a-bot the first")
    event = {"repository": {"full_name": NAME, "default_branch": "main"}, "event": "schedule"}

    off = rehearse("score.yml:score", event, proposing.folder, github, tmp_path / "off")
    assert off.passed, off.output
    assert "lifecycle.scoring" not in off.output

    new, scored, log = (tmp_path / name for name in ("new", "scored", "log"))
    new.mkdir()
    shutil.copy(proposing.folder / "data/2013-03.parquet", new)
    on = {"SCORE_FROM": str(new), "SCORE_TO": str(scored), "PREDICTION_LOG_URL": str(log)}
    run = rehearse("score.yml:score", event, proposing.folder, github, tmp_path / "on", **on)
    assert run.passed, run.output
    assert f"{scored}/2013-03.parquet: 3,000 rows, version 1" in run.output
    (logged,) = (log / "predictions").iterdir()
    assert pq.read_table(logged).num_rows == 3_000
    assert github.asked == []
