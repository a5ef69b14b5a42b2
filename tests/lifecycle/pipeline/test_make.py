"""`make` as a user runs it: in a clone, with the real DVC, after changed parameters, with bad data or a full disk."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from model import data
from model.data import fetch
from tests.lifecycle import in_process
from tests.lifecycle.repository import ROOT, Repository, copy_repository, write_params

TRACEBACK = ("Traceback", 'File "')


@pytest.fixture
def unchanged(finished: Repository) -> Iterator[Repository]:
    """The finished repository, for tests that must leave all outputs unchanged."""
    before = finished.outputs()
    assert {"artifacts/model/model.onnx", "reports/metrics.json", "dvc.lock", "data.dvc"} <= before.keys()
    yield finished
    assert finished.outputs() == before
    finished.must("git", "checkout", "--quiet", ".")
    finished.must("dvc", "checkout", "--quiet", "--force", "data.dvc")


def failed(completed: "subprocess.CompletedProcess[str]", *messages: str) -> None:
    assert completed.returncode != 0
    for message in messages:
        assert message in completed.stdout
    assert not any(text in completed.stdout for text in TRACEBACK), completed.stdout


def test_first_run_prints_a_summary(small: Path, tmp_path: Path) -> None:
    """In a clone, `make` pulls the data from the repository's own remote, trains the model and tracks the run."""
    origin = copy_repository(tmp_path / "origin", small)
    folder = tmp_path / "clone"
    origin.must("git", "clone", "--quiet", str(origin.folder), str(folder))
    clone = Repository(folder)
    assert not (folder / "data").exists()

    completed = clone.make()
    assert completed.returncode == 0, completed.stdout
    assert "fetching the data" in completed.stdout
    metrics = json.loads((folder / "reports/metrics.json").read_text(encoding="utf-8"))["model"]["roc_auc"]
    line = next(line for line in completed.stdout.splitlines() if line.startswith("  ROC AUC"))
    assert f"{metrics['value']:.4f}   {metrics['low']:.4f} to {metrics['high']:.4f}" in line
    assert re.search(r"0\.5000   0\.\d{3}, at least 0\.25: passed", line)
    assert "  stages: prepare " in completed.stdout
    assert completed.stdout.count("make ui") == 1
    assert (folder / ".mlflow/mlflow.db").exists()


def test_second_run_does_nothing_and_says_so(unchanged: Repository) -> None:
    completed = unchanged.make()
    assert completed.returncode == 0, completed.stdout
    assert completed.stdout.startswith("Nothing has changed")
    assert "Running stage" not in completed.stdout


def test_make_itself(unchanged: Repository) -> None:
    """The Makefile, with the environment of this test run instead of a new one."""
    folder = unchanged.folder
    (folder / ".venv").symlink_to(ROOT / ".venv", target_is_directory=True)
    for requirements in (folder / "requirements").iterdir():
        os.utime(requirements, (0, 0))
    completed = unchanged.run("make")
    assert completed.returncode == 0, completed.stdout
    assert completed.stdout.startswith("Nothing has changed")
    listed = unchanged.must("make", "help")
    for target in ("make ", "make test", "make lint", "make lock", "make ui", "make clean"):
        assert f"  {target}" in listed


@pytest.mark.long
def test_earlier_outputs_are_taken_from_the_cache(finished: Repository, tmp_path: Path) -> None:
    """As in CI, which only keeps DVC's cache from the previous run."""
    folder = tmp_path / "clone"
    finished.must("git", "clone", "--quiet", str(finished.folder), str(folder))
    shutil.copytree(finished.folder / ".dvc/cache", folder / ".dvc/cache")
    clone = Repository(folder)
    completed = clone.make()
    assert completed.returncode == 0, completed.stdout
    assert "Running stage" not in completed.stdout
    assert clone.must("git", "status", "--porcelain") == ""


def test_two_clones_write_the_same_lock(finished: Repository, tmp_path: Path) -> None:
    """Without a cache and with one more thread, all outputs are the same bit for bit."""
    folder = tmp_path / "clone"
    finished.must("git", "clone", "--quiet", str(finished.folder), str(folder))
    clone = Repository(folder)
    (folder / "dvc.lock").unlink()
    shutil.rmtree(folder / "reports")
    clone.must("dvc", "pull", "--quiet", "data.dvc")
    threads = str(int(os.environ.get("OMP_NUM_THREADS", "1")) + 1)
    clone.must("dvc", "repro", OMP_NUM_THREADS=threads, OMP_WAIT_POLICY="PASSIVE")
    lock = (folder / "dvc.lock").read_bytes()
    assert lock == (finished.folder / "dvc.lock").read_bytes()
    assert b"artifacts/model" in lock


def stages_run(completed: "subprocess.CompletedProcess[str]") -> list[str]:
    return [line.split("'")[1] for line in completed.stdout.splitlines() if line.startswith("Running stage")]


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        (lambda v: v["hyperparameters"]["hist_gradient_boosting"].update(max_iter=150), ["train", "evaluate"]),
        (lambda v: v["hyperparameters"]["random_forest"].update(n_estimators=50), []),
        (lambda v: v["metrics"].update(confidence=0.9), ["evaluate"]),
        (lambda v: v["gates"]["skill_at_least"].update(roc_auc=0.4), []),
    ],
)
def test_a_change_runs_the_stages_that_depend_on_it(
    change: Callable[[dict[str, object]], None], stages: list[str], finished: Repository
) -> None:
    path = finished.folder / "params.yaml"
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(values)
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    completed = finished.run("dvc", "repro")
    assert completed.returncode == 0, completed.stdout
    assert stages_run(completed) == stages
    finished.must("git", "checkout", "--quiet", ".")
    finished.must("dvc", "checkout", "--quiet", "--force", "dvc.yaml", "data.dvc")


@pytest.mark.long
def test_next_month(finished: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `make ingest` and new months in params.yaml, `make` validates and versions the new month."""
    rows = fetch("2013-05").sample(3_000, random_state=0)
    monkeypatch.setattr(data, "fetch", lambda _month: rows)
    folder = tmp_path / "clone"
    finished.must("git", "clone", "--quiet", str(finished.folder), str(folder))
    clone = Repository(folder)
    clone.must("dvc", "pull", "--quiet", "data.dvc")
    ingest = ("lifecycle.pipeline.ingest", "2013-05")
    assert in_process.must(clone, *ingest).startswith("data/2013-05.parquet: 3,000 rows")
    assert in_process.must(clone, *ingest).startswith("data/2013-05.parquet is up to date.")
    write_params(folder / "params.yaml", holdout={"first": "2013-05", "last": "2013-05"})
    completed = clone.make()
    assert completed.returncode == 0, completed.stdout
    assert "3,000 held out (2013-05)" in completed.stdout
    assert "data.dvc with it" in completed.stdout
    assert "nfiles: 5" in (folder / "data.dvc").read_text(encoding="utf-8")


def test_diffs_against_an_earlier_commit(finished: Repository, tmp_path: Path) -> None:
    """Git alone is enough: the clone's cache has nothing from the earlier commit."""
    folder = tmp_path / "clone"
    finished.must("git", "clone", "--quiet", str(finished.folder), str(folder))
    clone = Repository(folder)
    for name, before, after in (
        ("reports/metrics.json", '"value": 0.', '"value": 0.9'),
        ("reports/plots/roc.csv", "0.5", "0.6"),
        ("params.yaml", "seed: 2013", "seed: 7"),
    ):
        text = (folder / name).read_text(encoding="utf-8")
        (folder / name).write_text(text.replace(before, after), encoding="utf-8")
    metrics = json.loads(clone.must("dvc", "metrics", "diff", "--json", "HEAD"))
    assert metrics["reports/metrics.json"]["model.roc_auc.value"]["diff"] > 0
    assert json.loads(clone.must("dvc", "params", "diff", "--json", "HEAD"))["params.yaml"]["seed"]["new"] == 7
    clone.must("dvc", "plots", "diff", "HEAD", "--out", "plots")
    page = (folder / "plots/index.html").read_text(encoding="utf-8")
    for title in ("ROC", "precision and recall", "calibration", "confusion", "permutation importance"):
        assert title in page
    assert page.count('"rev": "HEAD"') > 100


def test_unknown_parameter(unchanged: Repository) -> None:
    path = unchanged.folder / "params.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("seed:", "sead:"), encoding="utf-8")
    failed(unchanged.make(), "error: params.yaml cannot be used", "sead: unknown key; allowed here: threshold,")


def test_unknown_estimator(unchanged: Repository) -> None:
    write_params(unchanged.folder / "params.yaml", estimator="xgboost")
    failed(unchanged.make(), "there is no 'xgboost'; allowed: hist_gradient_boosting,")
    failed(unchanged.run("dvc", "repro"), "hyperparameters.xgboost")


def test_holdout_inside_the_window(unchanged: Repository) -> None:
    write_params(unchanged.folder / "params.yaml", holdout={"first": "2013-02", "last": "2013-03"})
    failed(unchanged.make(), "the holdout starts in 2013-02, but the window goes on to 2013-02")
    failed(unchanged.run("dvc", "repro"), "the holdout starts in 2013-02, but the window goes on to 2013-02")


def test_month_outside_the_data(unchanged: Repository) -> None:
    write_params(unchanged.folder / "params.yaml", holdout={"first": "2013-09", "last": "2013-09"})
    failed(
        unchanged.make(),
        "data/2013-09.parquet is missing (available: 2013-01, 2013-02, 2013-03, 2013-04)",
        "make ingest PART=2013-09",
    )


def rewrite(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], object]:
    def damage(path: Path) -> None:
        rows = change(pq.read_table(path).to_pandas())
        pq.write_table(pa.Table.from_pandas(rows, preserve_index=False), path)

    return damage


# tests/lifecycle/shared/test_validation.py covers each rule of the contract; a damaged file and a broken rule suffice.
long = partial(pytest.param, marks=pytest.mark.long)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "data/2013-02.parquet is missing"),
        long(lambda path: path.write_bytes(b""), "data/2013-02.parquet cannot be read as Parquet"),
        (lambda path: path.write_bytes(path.read_bytes()[:20_000]), "data/2013-02.parquet cannot be read as Parquet"),
        long(rewrite(lambda rows: rows.drop(columns="pressure")), "pressure: the column is missing"),
        long(rewrite(lambda rows: rows.drop(columns="carrier")), "carrier: the column is missing"),
        long(rewrite(lambda rows: rows.assign(arr_delay=3)), "arr_delay: the column is not in the contract"),
        long(
            rewrite(lambda rows: rows.assign(distance="far")), "distance: must be of type number, is str (3,000 rows;"
        ),
        (
            rewrite(lambda rows: rows.assign(humidity=rows["humidity"].mask(rows.index == 17, 130.5))),
            "humidity: must be at most 100 percent (1 row; first: row 17: 130.5)",
        ),
        long(
            rewrite(lambda rows: pd.concat([rows, rows.tail(1)])),
            "must be unique together (1 row; first: row 3000:",
        ),
    ],
)
def test_bad_month(damage: Callable[[Path], object], message: str, unchanged: Repository) -> None:
    damage(unchanged.folder / "data/2013-02.parquet")
    failed(unchanged.make(), "data/2013-02.parquet", message, "dvc checkout")


def test_remote_that_cannot_be_reached(finished: Repository, tmp_path: Path) -> None:
    folder = tmp_path / "clone"
    finished.must("git", "clone", "--quiet", str(finished.folder), str(folder))
    clone = Repository(folder)
    clone.must("dvc", "remote", "modify", "repository", "url", "http://127.0.0.1:9/nowhere")
    failed(clone.make(), "the data could not be fetched", "dvc remote list", "Then run `make` again")
    assert not (folder / "data").exists()


def test_interrupted_training_leaves_the_last_model(unchanged: Repository) -> None:
    """If a stage is killed, as by a power cut, no output is half-written."""
    write_params(unchanged.folder / "params.yaml", seed=5)
    with subprocess.Popen(
        ["python", "-m", "lifecycle.pipeline.train"],
        cwd=unchanged.folder,
        env=unchanged.environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as stage:
        assert stage.stdout is not None
        assert "fitting" in stage.stdout.readline()
        stage.kill()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 200 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_full_disk(finished: Repository, tiny_disk: Path) -> None:
    """If the disk fills up despite the check, `make` prints a message and keeps the last good output."""
    output = tiny_disk / "model"
    output.mkdir()
    (output / "metadata.json").write_text("the last good one", encoding="utf-8")
    script = (
        "import sys; from pathlib import Path;"
        "from lifecycle.shared.console import run_main; from lifecycle.shared.params import load_params;"
        "from lifecycle.pipeline.train import train;"
        "run_main(lambda: print(train(load_params(), output=Path(sys.argv[1]))))"
    )
    completed = finished.run("python", "-c", script, str(output))
    failed(completed, "error: the disk is full", "Free some space")
    assert [p.name for p in tiny_disk.iterdir()] == ["model"]
    assert (output / "metadata.json").read_text(encoding="utf-8") == "the last good one"


def test_prepare_checks_the_free_space(finished: Repository, tiny_disk: Path) -> None:
    script = (
        "import sys; from pathlib import Path;"
        "from lifecycle.shared.console import run_main; from lifecycle.shared.params import load_params;"
        "from lifecycle.pipeline.prepare import prepare;"
        "run_main(lambda: print(prepare(load_params(), output=Path(sys.argv[1]))))"
    )
    completed = finished.run("python", "-c", script, str(tiny_disk / "prepared"))
    failed(completed, "error: not enough disk space: about ", "make clean")
    assert list(tiny_disk.iterdir()) == []


def test_moving_the_data_to_another_remote(finished: Repository, tmp_path: Path) -> None:
    folder = tmp_path / "clone"
    finished.must("git", "clone", "--quiet", str(finished.folder), str(folder))
    clone = Repository(folder)
    (folder / ".venv").symlink_to(ROOT / ".venv", target_is_directory=True)
    for requirements in (folder / "requirements").iterdir():
        os.utime(requirements, (0, 0))
    failed(clone.run("make", "remote"), "make remote URL=s3://bucket/path")
    clone.must("make", "remote", f"URL={tmp_path / 'storage'}")
    clone.commit("Data elsewhere")
    shutil.rmtree(folder / ".dvc/remote")
    shutil.rmtree(folder / ".dvc/cache")
    shutil.rmtree(folder / "data")
    clone.must("dvc", "pull", "data.dvc")
    assert len(list((folder / "data").iterdir())) == 4


@pytest.mark.parametrize(
    ("scheme", "extra"), [("s3", "s3"), ("gs", "gs"), ("azure", "azure"), ("ssh", "ssh"), ("file", "")]
)
def test_make_remote_adds_the_dvc_extra_of_its_scheme(tmp_path: Path, scheme: str, extra: str) -> None:
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    planned = Repository(tmp_path).must("make", "--dry-run", "remote", f"URL={scheme}://somewhere/path")
    added = [line.partition(" && ")[0] for line in planned.splitlines() if line.startswith("uv add")]
    assert len(added) == bool(extra)
    for command in added:
        Repository(tmp_path).must("sh", "-c", command)
        assert f'"dvc[{extra}]>=' in (tmp_path / "pyproject.toml").read_text(encoding="utf-8")
