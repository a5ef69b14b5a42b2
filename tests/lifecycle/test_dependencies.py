"""Each imported package is declared in a group; each declared package is imported, or a comment gives the reason."""

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
# By group, packages that it imports but may lack.
OPTIONAL = {"serving": {"skops"}}  # for models that cannot be exported; `make image` then says what to add

_INSTALLED = packages_distributions()


def normalised(name: str) -> str:
    """Return the name of a package as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def named(requirement: str) -> str:
    """Return the name of a requirement's package."""
    return normalised(re.split(r"[^\w.-]", requirement, maxsplit=1)[0])


def declared(group: str) -> set[str]:
    """Return the packages of a group and of the groups that it includes."""
    packages = set[str]()
    for entry in GROUPS[group]:
        packages |= {named(entry)} if isinstance(entry, str) else declared(entry["include-group"])
    return packages


def with_a_comment() -> set[str]:
    """Return the packages with a comment on the line of their requirement."""
    return {named(requirement) for requirement in re.findall(r'^\s*"([^"]+)",\s*#', PYPROJECT, re.MULTILINE)}


def modules(folder: str) -> set[str]:
    """Return the dotted name of every module below a directory."""
    paths = (path.relative_to(ROOT).with_suffix("") for path in (ROOT / folder).rglob("*.py"))
    return {".".join(path.parts).removesuffix(".__init__") for path in paths}


def reached(starts: Iterable[str], *, lazily: bool = True) -> set[str]:
    """Return modules with all modules that importing them loads."""
    return {name for start in starts for name in SOURCES.reached(start, lazily=lazily)}


def packages_of(imported_by: Iterable[str]) -> dict[str, set[str]]:
    """Return the third-party imports of some modules: by imported name, the packages that provide it."""
    names = {name.split(".")[0] for module in imported_by for name in SOURCES.imported(module, lazily=True)}
    others = names - OURS - sys.stdlib_module_names
    # A rival is not installed here: its package is assumed to have the name of the import.
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
def test_imported_packages_are_declared(group: str) -> None:
    imported = packages_of(IMPORTED_BY[group])
    undeclared = {name for name, packages in imported.items() if not packages & declared(group)}
    assert sorted(undeclared - OPTIONAL.get(group, set())) == []


def test_declared_packages_are_imported_or_have_a_comment() -> None:
    everything = {module for imported_by in IMPORTED_BY.values() for module in imported_by}
    imported = {package for packages in packages_of(everything).values() for package in packages}
    unused = {package for group in GROUPS for package in declared(group)} - imported
    assert sorted(unused - with_a_comment()) == []
