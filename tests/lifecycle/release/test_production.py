"""The interface to the image in production, which may be of an earlier version."""

import os
import subprocess
from pathlib import Path

import pytest

from lifecycle.release.production import NEWEST_MODULES, PRINT_NEWEST
from tests.imports import Sources

ROOT = Path(__file__).parents[3]
NAMES = ("lifecycle.prediction_log.newest", "lifecycle.serving.newest", "model.serving.newest")


def print_newest(image: Path) -> subprocess.CompletedProcess[str]:
    """Run the command in the directory that an image has as its working directory."""
    environment = {"PATH": os.environ["PATH"]}
    return subprocess.run(
        ["sh", "-c", PRINT_NEWEST, "7"], cwd=image, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("name", NAMES)
def test_newest_requests_of_an_image_of_any_version(tmp_path: Path, name: str) -> None:
    """The module has moved twice; production may run an image from before."""
    path = tmp_path / f"{name.replace('.', '/')}.py"
    path.parent.mkdir(parents=True)
    path.write_text("import sys\nprint('printed', *sys.argv[1:])\n")
    completed = print_newest(tmp_path)
    assert (completed.returncode, completed.stdout, completed.stderr) == (0, "printed 7\n", "")


def test_a_failure_in_the_image_is_a_failure(tmp_path: Path) -> None:
    """An error of the module, or an image without one, is not read as a log without predictions."""
    without = print_newest(tmp_path)
    assert (without.returncode, without.stdout) == (1, "")
    assert without.stderr == "the image has no module that prints the newest predictions\n"
    for name in NAMES:
        path = tmp_path / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(parents=True)
        path.write_text("raise SystemExit('error: the prediction log cannot be read')\n")
    failed = print_newest(tmp_path)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr == "error: the prediction log cannot be read\n"


def test_the_first_module_is_todays() -> None:
    """The image of this version has the module whose name comes first, and none of the others."""
    assert [name for name in NEWEST_MODULES if Sources((ROOT,)).find(name)] == [NAMES[0]]
