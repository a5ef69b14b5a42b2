import shutil
from pathlib import Path

import pytest

from model.pipeline.track import track
from tests import in_process
from tests.repository import Repository


@pytest.fixture(scope="session")
def finished(finished: Repository) -> Repository:
    """Tracked, too, as `make` leaves it."""
    with in_process.inside(finished):
        track()
    return finished


@pytest.fixture
def trained(trained: Path, tmp_path: Path) -> Path:
    """A copy of the model folder that a test may change, with that of the prepared rows beside it."""
    copy = shutil.copytree(trained / "artifacts", tmp_path / "trained")
    return Path(copy, "model")


@pytest.fixture
def prepared(trained: Path) -> Path:
    return trained.parent / "prepared"
