"""What is imported is declared where it runs; what is declared is imported, or says in a comment why it is not."""

import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import packages_distributions

import pytest

from tests.declared import IN_THE_IMAGE
from tests.imports import Sources
from tests.lifecycle.repository import ROOT

SOURCES = Sources((ROOT,))
OURS = {"model", "lifecycle", "tests", "benchmarks"}
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
GROUPS = tomllib.loads(PYPROJECT)["dependency-groups"]
# By group, what it may do without.
OPTIONAL = {"serving": {"skops"}}  # loads a model that cannot be exported; `make image` says what to add for one

_INSTALLED = packages_distributions()


def normalised(name: str) -> str:
    """The name of a package, as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def named(requirement: str) -> str:
    """The package that a requirement is of."""
    return normalised(re.split(r"[^\w.-]", requirement, maxsplit=1)[0])


def declared(group: str) -> set[str]:
    """The packages of a group and of those that it includes."""
    packages = set[str]()
    for entry in GROUPS[group]:
        packages |= {named(entry)} if isinstance(entry, str) else declared(entry["include-group"])
    return packages


def with_a_comment() -> set[str]:
    """The packages with a comment beside their requirement."""
    return {named(found) for found in re.findall(r'^\s*"([^"]+)",\s*#', PYPROJECT, re.MULTILINE)}


def modules(folder: str) -> set[str]:
    """Every module below a folder, by its dotted name."""
    paths = (path.relative_to(ROOT).with_suffix("") for path in (ROOT / folder).rglob("*.py"))
    return {".".join(path.parts).removesuffix(".__init__") for path in paths}


def reached(starts: Iterable[str], *, lazily: bool = True) -> set[str]:
    """Modules, and what is imported with them."""
    return {name for start in starts for name in SOURCES.reached(start, lazily=lazily)}


def packages_of(imported_by: Iterable[str]) -> dict[str, set[str]]:
    """What some modules import of others' packages: by the name to import, the packages that have it."""
    names = {name.split(".")[0] for module in imported_by for name in SOURCES.imported(module, lazily=True)}
    others = names - OURS - sys.stdlib_module_names
    # Of the rivals, which are installed elsewhere, the package has the name of what is imported.
    return {name: set(map(normalised, _INSTALLED.get(name, [name]))) for name in sorted(others)}


RIVALS = modules("benchmarks/rivals")
ROOMS = ("pipeline", "registry", "proposal", "release")
IMPORTED_BY = {
    "serving": reached(IN_THE_IMAGE, lazily=False),
    "pipeline": reached({*modules("model"), *(module for room in ROOMS for module in modules(f"lifecycle/{room}"))}),
    "monitoring": modules("lifecycle"),
    "development": modules("tests") | modules("benchmarks") - RIVALS,
    "rivals": reached(RIVALS, lazily=False),
}


@pytest.mark.parametrize("group", IMPORTED_BY)
def test_what_is_imported_is_declared(group: str) -> None:
    imported = packages_of(IMPORTED_BY[group])
    undeclared = {name for name, packages in imported.items() if not packages & declared(group)}
    assert sorted(undeclared - OPTIONAL.get(group, set())) == []


def test_what_is_declared_is_imported_or_says_why_it_is_not() -> None:
    everything = {module for imported_by in IMPORTED_BY.values() for module in imported_by}
    imported = {package for packages in packages_of(everything).values() for package in packages}
    unused = {package for group in GROUPS for package in declared(group)} - imported
    assert sorted(unused - with_a_comment()) == []
