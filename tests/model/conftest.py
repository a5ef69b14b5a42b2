"""Fixtures of the tests of your model: a few rows of your data, and the outputs of the pipeline on them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lifecycle.pipeline.prepare import prepare
from lifecycle.pipeline.train import train
from lifecycle.shared.chosen_task import TASK
from lifecycle.shared.commands import run
from lifecycle.shared.params import Params, load_params
from lifecycle.shared.parts import DATA, part_exists, part_files, row_count
from lifecycle.shared.predictor import Predictor
from lifecycle.shared.tables import to_target
from lifecycle.shared.tasks.task import Targets
from model import contract

if Path(contract.__file__).parents[1] != Path(__file__).parents[2]:
    pytest.exit("tests/model and tests/lifecycle have different models: run `make test`, or one of them", 4)

ROWS = 6_000  # in window and holdout together


@pytest.fixture(scope="session")
def params() -> Params:
    return load_params()


@pytest.fixture(scope="session")
def parts(params: Params) -> list[str]:
    """The parts of window and holdout, after pulling the data if it is missing."""
    needed = [*params.window.parts(), *params.holdout.parts()]
    if not all(map(part_exists, needed)):
        run(["dvc", "pull", "--quiet", "data.dvc"])
    return needed


@pytest.fixture(scope="session")
def sample(parts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with few rows of these parts, spread evenly over each part and over all classes."""
    folder = tmp_path_factory.mktemp("sample")
    share = min(1.0, ROWS / row_count(parts))
    for file in (file for part in parts for file in part_files(part)):
        table = pq.read_table(file)
        (folder / file.relative_to(DATA)).parent.mkdir(exist_ok=True)
        chosen = few_rows(to_target(table), round(share * table.num_rows)) if table.num_rows else []
        pq.write_table(table.take(pa.array(chosen, pa.int64())), folder / file.relative_to(DATA))
    return folder


def few_rows(targets: Targets, total: int) -> list[int]:
    """Choose the numbers of about ``total`` rows, at least two of each class that occurs."""
    chosen: list[int] = []
    classes = TASK.classes(targets)
    for one_class in np.unique(classes):
        rows = np.flatnonzero(classes == one_class)
        count = min(len(rows), max(2, round(total * len(rows) / len(targets))))
        chosen += rows[np.linspace(0, len(rows) - 1, count).astype(np.intp)].tolist()
    return sorted(chosen)


@pytest.fixture(scope="session")
def prepared(params: Params, sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pipeline") / "prepared"
    prepare(params, sample, folder)
    return folder


@pytest.fixture(scope="session")
def model(params: Params, prepared: Path) -> Path:
    """The model directory, trained on the sample."""
    folder = prepared.parent / "model"
    train(params, prepared, folder)
    return folder


@pytest.fixture(scope="session")
def predictor(model: Path) -> Predictor:
    return Predictor.load(model)
