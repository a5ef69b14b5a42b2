from collections.abc import Callable
from pathlib import Path

import pytest

from model.params import Params
from model.pipeline.prepare import prepare
from model.pipeline.track import track
from model.pipeline.train import train
from tests import in_process
from tests.repository import Repository


@pytest.fixture(scope="session")
def finished(finished: Repository) -> Repository:
    """Tracked, too, as `make` leaves it."""
    with in_process.inside(finished):
        track()
    return finished


@pytest.fixture
def prepared(params: Callable[..., Params], small: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "prepared"
    prepare(params(), small, folder)
    return folder


@pytest.fixture
def trained(params: Callable[..., Params], prepared: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    train(params(), prepared, folder)
    return folder
