"""Real months of flights, whole and small, and what is made of them."""

import fcntl
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

# Before anything imports `model`: here it is the example's, whatever the fork has made of its own.
sys.path.insert(0, str(Path(__file__).parent / "example"))
if "model" in sys.modules:
    pytest.exit("tests/model and tests/lifecycle have different models: run `make test`, or one of them", 4)

from lifecycle.pipeline.ingest import ingest
from lifecycle.pipeline.prepare import prepare
from lifecycle.pipeline.train import train
from lifecycle.shared.files import replacing_folder
from lifecycle.shared.months import month_path
from lifecycle.shared.params import Params, load_params
from lifecycle.shared.predictor import model_hash
from tests.lifecycle import missing
from tests.lifecycle.repository import (
    GATES,
    LINEAGE,
    MONTHS,
    ROWS,
    Repository,
    change_params,
    copy_repository,
    with_estimator,
    write_params,
)

# The files that take longest, and then the folders. Of those that need images, one begins: it makes what they build on.
_LONG = (
    "test_release.py",
    "test_propose.py",
    "test_deploy.py",
    "test_prediction_log.py",
    "workflows",
    "monitoring",
    "proposal",
    "test_track.py",
    "test_make.py",
    "registry",
    "release",
)


def pytest_report_header() -> str:
    """Say at the start what will be skipped for want of a program."""
    lacking = missing.missing()
    return missing.in_words(lacking) if lacking else "programs: all that the tests use are here"


def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores: while a test waits for a server or a container, another one runs."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that no process is left alone with it at the end."""

    def place(item: pytest.Item) -> int:
        names = (item.path.name, item.path.parent.name)
        return min((_LONG.index(name) for name in names if name in _LONG), default=len(_LONG))

    items.sort(key=place)


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that all of pytest's processes share, and nobody changes."""
    root = factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    folder = root / name
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            with replacing_folder(folder) as aside:
                make(aside)
    return folder


@pytest.fixture(scope="session")
def months(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Whole real months."""

    def make(folder: Path) -> None:
        for month in MONTHS:
            ingest(month, folder)

    return made_once(tmp_path_factory, "months", make)


@pytest.fixture(scope="session")
def small(months: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same months with fewer rows."""

    def make(folder: Path) -> None:
        for month in MONTHS:
            table = pq.read_table(month_path(month, months))
            chosen = np.sort(np.random.default_rng(0).choice(table.num_rows, ROWS, replace=False))
            pq.write_table(table.take(pa.array(chosen)), month_path(month, folder))

    return made_once(tmp_path_factory, "small", make)


@pytest.fixture
def data(small: Path, tmp_path: Path) -> Path:
    """A copy of the small months that a test may damage."""
    return Path(shutil.copytree(small, tmp_path / "data"))


@pytest.fixture
def params(tmp_path: Path) -> Callable[..., Params]:
    """Make parameters, with some top-level values changed."""
    return lambda **changes: load_params(write_params(tmp_path / "params.yaml", **changes))


@pytest.fixture(scope="session")
def trained(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `make` leaves it: artifacts/prepared, artifacts/model and artifacts/lineage.json."""

    def make(folder: Path) -> None:
        params = load_params(write_params(folder / "params.yaml"))
        prepare(params, small, folder / "artifacts/prepared")
        train(params, folder / "artifacts/prepared", folder / "artifacts/model")
        lineage = LINEAGE | {"model": model_hash(folder / "artifacts/model")}
        (folder / "artifacts/lineage.json").write_text(json.dumps(lineage), encoding="utf-8")

    return made_once(tmp_path_factory, "trained", make)


@pytest.fixture(scope="session")
def finished(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A repository with small months in which the pipeline has run once; tests share it and leave it so."""

    def make(folder: Path) -> None:
        repository = copy_repository(folder, small)
        repository.must("python", "-m", "lifecycle.pipeline", "--untracked")
        repository.commit("The first model")

    made = made_once(tmp_path_factory, "finished", make)
    return Repository(Path(shutil.copytree(made, tmp_path_factory.mktemp("finished") / "copy", symlinks=True)))


@pytest.fixture(scope="session")
def released(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A repository whose main has a poor model, and not the last of the months; tests share it and leave it so."""

    def make(folder: Path) -> None:
        data = shutil.copytree(small, tmp_path_factory.mktemp("data") / "data")
        month_path(MONTHS[-1], data).unlink()
        repository = copy_repository(folder, data)
        change_params(repository, gates=GATES)
        for message, rounds in (("A very poor model", 2), ("A poor model", 5)):
            change_params(repository, **with_estimator(repository, max_iter=rounds, learning_rate=0.02))
            repository.must("python", "-m", "lifecycle.pipeline", "--untracked")
            repository.commit(message)

    return Repository(made_once(tmp_path_factory, "released", make))


@pytest.fixture
def proposing(released: Repository, tmp_path: Path) -> Repository:
    """A branch of it, in a copy."""
    repository = Repository(Path(shutil.copytree(released.folder, tmp_path / "proposing", symlinks=True)))
    repository.must("git", "switch", "--quiet", "--create", "proposal")
    return repository
