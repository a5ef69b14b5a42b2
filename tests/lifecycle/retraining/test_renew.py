"""New months are ingested, and the window and the holdout move on."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from lifecycle.retraining.renew import renew
from lifecycle.shared.console import UserError
from lifecycle.shared.params import PARAMS, load_params
from lifecycle.shared.parts import DATA
from tests.lifecycle import in_process
from tests.lifecycle.repository import Repository, change_params

MAY, JULY = datetime(2013, 5, 20, tzinfo=UTC), datetime(2013, 7, 1, tzinfo=UTC)


@pytest.fixture
def repository(released: Repository, tmp_path: Path) -> Repository:
    """A repository with data up to March, and with comments in params.yaml."""
    copy = Repository(Path(shutil.copytree(released.folder, tmp_path / "renewed", symlinks=True)))
    path = copy.folder / PARAMS
    path.write_text(f"# What we train on.\n{path.read_text(encoding='utf-8')}# The end.\n", encoding="utf-8")
    return copy


def test_next_month(repository: Repository) -> None:
    before = (repository.folder / "data.dvc").read_bytes()
    with in_process.inside(repository):
        assert renew(load_params(), MAY) == ["2013-04"]
        params = load_params()
        assert renew(params, MAY) == []
        assert pq.read_metadata(DATA / "2013-04.parquet").num_rows > 20_000
    assert (params.window.in_words(), params.holdout.in_words()) == ("2013-01 to 2013-03", "2013-04")
    text = (repository.folder / PARAMS).read_text(encoding="utf-8")
    assert text.startswith("# What we train on.\n")
    assert text.endswith("# The end.\n")
    assert (repository.folder / "data.dvc").read_bytes() != before
    assert repository.must("dvc", "status", "data.dvc").strip() == "Data and pipelines are up to date."


def test_sliding_window_over_several_months(repository: Repository) -> None:
    values = yaml.safe_load((repository.folder / PARAMS).read_text(encoding="utf-8"))
    change_params(repository, retraining=values["retraining"] | {"window": 2})
    with in_process.inside(repository):
        assert renew(load_params(), JULY) == ["2013-04", "2013-05", "2013-06"]
        params = load_params()
    assert (params.window.in_words(), params.holdout.in_words()) == ("2013-04 to 2013-05", "2013-06")


def test_bad_data_is_refused(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """The good months before the bad one are not kept either."""
    from model import data

    fetch = data.fetch
    monkeypatch.setattr(
        data, "fetch", lambda month: fetch(month).assign(distance=-1.0) if month == "2013-05" else fetch(month)
    )
    files = [repository.folder / name for name in ("data.dvc", "params.yaml")]
    before = [file.read_bytes() for file in files]
    with in_process.inside(repository), pytest.raises(UserError, match="distance: must be at least 1 miles"):
        renew(load_params(), JULY)
    assert [file.read_bytes() for file in files] == before
    assert sorted(path.stem for path in (repository.folder / DATA).iterdir()) == ["2013-01", "2013-02", "2013-03"]


def test_command(repository: Repository) -> None:
    command = ("lifecycle.retraining.__main__", "renew", "--until", "2013-05-01")
    assert in_process.must(repository, *command) == "2013-04\n"
    assert in_process.must(repository, *command) == "The source has nothing new.\n"


def test_a_month_without_rows_is_skipped(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named, and the window may hold it; a month without rows after the last one that has some is no gap."""
    from model import data

    fetch = data.fetch
    monkeypatch.setattr(data, "fetch", lambda month: fetch(month)[: None if month == "2013-05" else 0])
    (repository.folder / DATA / "backup.parquet").write_bytes(b"not a month")
    with in_process.inside(repository):
        assert renew(load_params(), JULY) == ["2013-04", "2013-05"]
        params = load_params()
        assert pq.read_metadata(DATA / "2013-04.parquet").num_rows == 0
    assert capsys.readouterr().out == "the source has no rows for 2013-04, but for 2013-05: 2013-04 stays empty.\n"
    assert (params.window.last, params.holdout.in_words()) == ("2013-04", "2013-05")
