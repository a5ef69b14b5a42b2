"""The structure of the code is as documented: rooms in order, imported files declared, no word of the example."""

import ast
import re
import subprocess

import pytest

from tests.declared import IN_THE_IMAGE, image_sources, stage_sources
from tests.imports import Sources
from tests.lifecycle.repository import EXAMPLE_PROJECT, ROOT
from tests.map import MAP, ROOMS, render, room_of

SOURCES = Sources((EXAMPLE_PROJECT, ROOT))
IN_ROOMS = [module for module in SOURCES.modules() if module.startswith("lifecycle.")]


def test_every_room_has_its_place() -> None:
    assert {room_of(module) for module in IN_ROOMS} == {*ROOMS}


@pytest.mark.parametrize("module", IN_ROOMS)
def test_nothing_imports_a_later_room(module: str) -> None:
    room = room_of(module)
    assert room
    later = ROOMS[ROOMS.index(room) + 1 :]
    assert [name for name in SOURCES.imported(module, lazily=True) if room_of(name) in later] == []


def test_no_two_modules_have_the_same_name() -> None:
    names = [module.rsplit(".", 1)[-1] for module in IN_ROOMS if not module.endswith("__main__")]
    assert sorted(names) == sorted(set(names))


def test_a_stage_depends_on_what_it_imports() -> None:
    for module, sources in stage_sources(EXAMPLE_PROJECT / "dvc.yaml").items():
        assert sources == SOURCES.files_reached(module, lazily=True), module


def test_the_stage_of_proposals_depends_on_what_it_imports() -> None:
    ((module, sources),) = stage_sources(ROOT / "lifecycle/proposal/dvc.yaml").items()
    imported = SOURCES.files_reached(module, lazily=True)
    assert sources == [name for name in imported if not name.startswith("model/")]


def test_the_image_has_what_the_service_imports() -> None:
    assert image_sources(EXAMPLE_PROJECT / "bentofile.yaml") == SOURCES.files_reached(*IN_THE_IMAGE)


# Columns, categories, words and dates of the example, except columns that are everyday words, such as `origin`.
OF_THE_EXAMPLE = re.compile(
    r"flight|airport|airline|carrier|scheduled|departure|arrival|destination|weather|humid|precipitation"
    r"|dew_point|gust|plane\b|plane_|nycflights|\bEWR\b|\bJFK\b|\bLGA\b|\b2013-\d\d",
    re.IGNORECASE,
)


def test_the_machinery_knows_no_example() -> None:
    command = ["git", "ls-files", "lifecycle", "deploy", ".github", "Makefile"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    texts = {name: (ROOT / name).read_text(encoding="utf-8") for name in names if not name.endswith("dvc.lock")}
    assert "lifecycle/pipeline/train.py" in texts
    words = {name: sorted(set(OF_THE_EXAMPLE.findall(text))) for name, text in texts.items()}
    assert {name: matches for name, matches in words.items() if matches} == {}


def test_the_map_is_up_to_date() -> None:
    assert MAP.read_text(encoding="utf-8") == render(), "out of date: run `python -m tests.map`"


def test_public_names_are_unique() -> None:
    """Names of classes and functions, except the `main` of each command."""
    modules_by_name = dict[str, list[str]]()
    for module in IN_ROOMS:
        path = SOURCES.find(module)
        assert path
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                modules_by_name.setdefault(node.name, []).append(module)
    assert {name: modules for name, modules in modules_by_name.items() if len(modules) > 1 and name != "main"} == {}
