"""Fixtures: real months of flights, whole and small, and the models and repositories made from them."""

import fcntl
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

# Before anything imports `model`: in these tests it is the example's, not the fork's own.
sys.path.insert(0, str(Path(__file__).parent / "example"))
if "model" in sys.modules:
    pytest.exit("tests/model and tests/lifecycle have different models: run `make test`, or one of them", 4)

from lifecycle.pipeline.ingest import ingest
from lifecycle.pipeline.prepare import prepare
from lifecycle.pipeline.train import train
from lifecycle.shared.files import replacing_folder
from lifecycle.shared.params import Params, load_params
from lifecycle.shared.parts import part_files
from lifecycle.shared.predictor import model_hash
from tests.github import server
from tests.github.server import GitHub
from tests.lifecycle import missing
from tests.lifecycle.repository import (
    GATES,
    LINEAGE,
    MONTHLY,
    MONTHS,
    ROWS,
    Repository,
    change_params,
    copy_repository,
    with_estimator,
    write_params,
)

# The slowest files, then the slowest directories. Only one file that needs images comes first: it makes the base image.
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
    """Report at the start which programs are missing, because their tests will be skipped."""
    lacking = missing.missing()
    return missing.in_words(lacking) if lacking else "programs: all that the tests use are installed"


def pytest_xdist_auto_num_workers() -> int:
    """Use one process more than there are cores: while a test waits for a server or a container, another one runs."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the slowest tests, so that at the end all processes are busy."""

    def place(item: pytest.Item) -> int:
        names = (item.path.name, item.path.parent.name)
        return min((_LONG.index(name) for name in names if name in _LONG), default=len(_LONG))

    items.sort(key=place)


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Return a directory that `make` fills once for all of pytest's processes; no test changes it."""
    root = factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    folder = root / name
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            with replacing_folder(folder) as temporary:
                make(temporary)
    return folder


@pytest.fixture(scope="session")
def months(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Whole real months."""

    def make(folder: Path) -> None:
        for month in MONTHS:
            ingest(month, MONTHLY, folder)

    return made_once(tmp_path_factory, "months", make)


@pytest.fixture(scope="session")
def small(months: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same months with fewer rows."""

    def make(folder: Path) -> None:
        for month in MONTHS:
            table = pq.read_table(part_files(month, months)[0])
            chosen = np.sort(np.random.default_rng(0).choice(table.num_rows, ROWS, replace=False))
            pq.write_table(table.take(pa.array(chosen)), part_files(month, folder)[0])

    return made_once(tmp_path_factory, "small", make)


@pytest.fixture
def data(small: Path, tmp_path: Path) -> Path:
    """A copy of the small months, which a test may damage."""
    return Path(shutil.copytree(small, tmp_path / "data"))


@pytest.fixture
def params(tmp_path: Path) -> Callable[..., Params]:
    """A function that makes parameters with some top-level values changed."""
    return lambda **changes: load_params(write_params(tmp_path / "params.yaml", **changes))


@pytest.fixture(scope="session")
def trained(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory as `make` leaves it: artifacts/prepared, artifacts/model and artifacts/lineage.json."""

    def make(folder: Path) -> None:
        params = load_params(write_params(folder / "params.yaml"))
        prepare(params, small, folder / "artifacts/prepared")
        train(params, folder / "artifacts/prepared", folder / "artifacts/model")
        lineage = LINEAGE | {"model": model_hash(folder / "artifacts/model")}
        (folder / "artifacts/lineage.json").write_text(json.dumps(lineage), encoding="utf-8")

    return made_once(tmp_path_factory, "trained", make)


@pytest.fixture(scope="session")
def finished(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A repository with small months in which the pipeline has run once; tests share it and must not change it."""

    def make(folder: Path) -> None:
        repository = copy_repository(folder, small)
        repository.must("python", "-m", "lifecycle.pipeline", "--untracked")
        repository.commit("The first model")

    original = made_once(tmp_path_factory, "finished", make)
    return Repository(Path(shutil.copytree(original, tmp_path_factory.mktemp("finished") / "copy", symlinks=True)))


@pytest.fixture(scope="session")
def released(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A repository whose main has a poor model and lacks the last month; tests share it and must not change it."""

    def make(folder: Path) -> None:
        data = shutil.copytree(small, tmp_path_factory.mktemp("data") / "data")
        part_files(MONTHS[-1], data)[0].unlink()
        repository = copy_repository(folder, data)
        change_params(repository, gates=GATES)
        for message, rounds in (("A very poor model", 2), ("A poor model", 5)):
            change_params(repository, **with_estimator(repository, max_iter=rounds, learning_rate=0.02))
            repository.must("python", "-m", "lifecycle.pipeline", "--untracked")
            repository.commit(message)

    return Repository(made_once(tmp_path_factory, "released", make))


@pytest.fixture
def proposing(released: Repository, tmp_path: Path) -> Repository:
    """A copy of `released`, on a new branch."""
    repository = Repository(Path(shutil.copytree(released.folder, tmp_path / "proposing", symlinks=True)))
    repository.must("git", "switch", "--quiet", "--create", "proposal")
    return repository


@pytest.fixture
def github() -> Iterator[GitHub]:
    """The stand-in for GitHub."""
    with server.github() as started:
        yield started
