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
from lifecycle.shared.months import month_path, read_month, to_target
from lifecycle.shared.params import Params, load_params
from lifecycle.shared.predictor import Predictor
from lifecycle.shared.tasks.task import Targets
from model import contract

if Path(contract.__file__).parents[1] != Path(__file__).parents[2]:
    pytest.exit("tests/model and tests/lifecycle have different models: run `make test`, or one of them", 4)

ROWS = 6_000  # in window and holdout together


@pytest.fixture(scope="session")
def params() -> Params:
    return load_params()


@pytest.fixture(scope="session")
def months(params: Params) -> list[str]:
    """The months of window and holdout, after pulling their data if it is missing."""
    needed = [*params.window.months(), *params.holdout.months()]
    if not all(month_path(month).exists() for month in needed):
        run(["dvc", "pull", "--quiet", "data.dvc"])
    return needed


@pytest.fixture(scope="session")
def sample(months: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with few rows of these months, spread evenly over each month and over all classes."""
    folder = tmp_path_factory.mktemp("sample")
    for month in months:
        table = read_month(month_path(month))
        pq.write_table(table.take(pa.array(few_rows(to_target(table), ROWS // len(months)))), month_path(month, folder))
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
