import shutil
from pathlib import Path

import pytest

from lifecycle.pipeline.track import track
from tests.lifecycle import in_process
from tests.lifecycle.repository import Repository


@pytest.fixture(scope="session")
def finished(finished: Repository) -> Repository:
    """The finished repository with a tracked run, as `make` leaves it."""
    with in_process.inside(finished):
        track()
    return finished


@pytest.fixture
def model_copy(trained: Path, tmp_path: Path) -> Path:
    """A copy of the model folder that a test may change, next to a copy of the prepared rows."""
    copy = shutil.copytree(trained / "artifacts", tmp_path / "trained")
    return Path(copy, "model")


@pytest.fixture
def prepared(model_copy: Path) -> Path:
    return model_copy.parent / "prepared"
