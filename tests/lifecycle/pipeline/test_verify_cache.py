"""Data and cache are verified by their hashes before they are used."""

import json
import shutil
from pathlib import Path

import pytest

from lifecycle.pipeline.verify_cache import remove_damaged
from lifecycle.proposal.changes import edited_objects
from lifecycle.shared.yaml_text import parse_yaml
from tests.lifecycle import in_process
from tests.lifecycle.repository import Repository


@pytest.fixture
def repository(released: Repository, tmp_path: Path) -> Repository:
    return Repository(Path(shutil.copytree(released.folder, tmp_path / "repository", symlinks=True)))


def objects(folder: Path) -> list[Path]:
    """Return the stored files, the largest one first."""
    return sorted((path for path in folder.glob("files/md5/??/*")), key=lambda path: -path.stat().st_size)


def stored(folder: Path, name: str) -> Path:
    """Return the object of a data file in the embedded remote."""
    version: str = parse_yaml((folder / "data.dvc").read_text(encoding="utf-8"))["outs"][0]["md5"]
    remote = folder / ".dvc/remote/files/md5"
    files: list[dict[str, str]] = json.loads((remote / version[:2] / version[2:]).read_text(encoding="utf-8"))
    (md5,) = [file["md5"] for file in files if file["relpath"] == name]
    return remote / md5[:2] / md5[2:]


def flip_a_byte(path: Path) -> None:
    mode = path.stat().st_mode
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    path.chmod(mode)  # DVC trusts what is read-only, as in its cache


def test_damaged_objects_are_removed(repository: Repository) -> None:
    cache = repository.folder / ".dvc/cache"
    whole = objects(cache)
    assert remove_damaged(cache) == []
    largest = whole[0]
    (listing,) = [path for path in whole if path.name.endswith(".dir") and b"2013-01" in path.read_bytes()]
    for path in (largest, listing):
        flip_a_byte(path)
    completed = repository.run("python", "-m", "lifecycle.pipeline.verify_cache")
    assert completed.returncode == 0
    assert completed.stdout.count("::warning title=Damaged cache::") == 2
    assert set(objects(cache)) == {*whole} - {largest, listing}


@pytest.mark.parametrize("lost", ["data", pytest.param("artifacts", marks=pytest.mark.long)])
def test_a_truncated_object_is_not_restored(repository: Repository, lost: str) -> None:
    """The data comes from the remote again, and the model is trained again."""
    repository.must("git", "checkout", "--quiet", "main")
    before = repository.outputs()
    shutil.rmtree(repository.folder / lost)
    for path in objects(repository.folder / ".dvc/cache"):
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-10])
        path.chmod(0o444)
    completed = repository.make()
    assert completed.returncode == 0, completed.stdout
    assert "of DVC's cache was damaged and is removed." in completed.stdout
    assert repository.outputs() == before


def test_a_changed_byte_in_the_remote_is_noticed(repository: Repository, tmp_path: Path) -> None:
    """Nothing is trained on it, and the proposal names it."""
    clone = Repository(tmp_path / "clone")
    repository.must("git", "clone", "--quiet", str(repository.folder), str(clone.folder))
    january = stored(clone.folder, "2013-01.parquet")
    flip_a_byte(january)
    completed = clone.make()
    assert completed.returncode == 1
    assert "error: the data could not be fetched, see above." in completed.stdout
    assert "Traceback" not in completed.stdout
    assert not list((clone.folder / "data").glob("*.parquet"))
    with in_process.inside(clone):
        (warning,) = edited_objects("origin/main")
        assert warning.startswith("**This proposal edits data in place**: it changes or removes 1 stored object in ")
        assert january.name in warning


def test_new_data_is_not_an_edit(repository: Repository) -> None:
    repository.must("git", "checkout", "--quiet", "--detach", "main")
    stored = repository.folder / ".dvc/remote/files/md5/00"
    stored.mkdir(parents=True, exist_ok=True)
    (stored / ("0" * 30)).write_text(json.dumps([]))
    repository.must("git", "add", "--force", ".dvc/remote")
    with in_process.inside(repository):
        assert edited_objects("main") == []
