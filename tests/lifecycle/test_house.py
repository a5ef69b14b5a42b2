"""The house is as it is drawn: rooms in their order, and lists of files that are what is imported."""

import re
from pathlib import Path

import pytest
import yaml

from tests.imports import imported, modules, path_of, reached
from tests.lifecycle.repository import ROOT

# In the order in which things happen: none imports one that comes later. What all of them share comes first.
ROOMS = ("shared", "pipeline", "registry", "proposal", "release", "serving", "monitoring", "retraining")
# Processes that run in the service's container.
IN_THE_IMAGE = ("service", "drain", "feedback", "newest")


def room_of(module: str) -> str | None:
    """The room of a module; None if it is in none."""
    parts = module.split(".")
    return parts[1] if parts[0] == "lifecycle" and len(parts) > 1 else None


def test_every_room_has_its_place() -> None:
    assert {room_of(module) for module in modules()} == {None, *ROOMS}


@pytest.mark.parametrize("module", [module for module in modules() if room_of(module)])
def test_nothing_imports_a_later_room(module: str) -> None:
    room = room_of(module)
    assert room
    later = ROOMS[ROOMS.index(room) + 1 :]
    assert [name for name in imported(module, lazily=True) if room_of(name) in later] == []


def test_the_user_s_files_import_only_what_is_shared() -> None:
    for module in modules():
        if module.startswith("model."):
            assert {room_of(name) for name in imported(module, lazily=True)} <= {None, "shared"}, module


def test_no_two_modules_have_the_same_name() -> None:
    names = [module.rsplit(".", 1)[-1] for module in modules() if "." in module and not module.endswith("__main__")]
    assert sorted(names) == sorted(set(names))


def stages() -> list[tuple[str, list[str]]]:
    """The module of each stage, and the files of Python that it depends on."""
    found = []
    for path in ("dvc.yaml", "lifecycle/proposal/dvc.yaml"):
        for stage in yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))["stages"].values():
            command = re.fullmatch(r"python -m (\S+)", stage["cmd"])
            assert command
            found.append((command[1], [name for name in stage["deps"] if name.endswith(".py")]))
    return found


@pytest.mark.parametrize(("module", "dependencies"), stages())
def test_a_stage_depends_on_what_it_imports(module: str, dependencies: list[str]) -> None:
    assert sorted(dependencies) == sorted(filter(None, map(path_of, reached(module, lazily=True))))


def test_the_image_has_what_the_service_imports() -> None:
    included = yaml.safe_load((ROOT / "bentofile.yaml").read_text(encoding="utf-8"))["include"]
    needed = {path_of(name) for process in IN_THE_IMAGE for name in reached(f"lifecycle.serving.{process}")}
    assert sorted(name for name in included if Path(name).suffix == ".py") == sorted(filter(None, needed))
