"""The import graph of the machinery and of model/, read from the source."""

import ast
from collections.abc import Iterator
from functools import cache

ROOT = Path(__file__).parents[1]

PACKAGES = ("model", "lifecycle")


def path_of(module: str) -> str | None:
    """The file of a module of this repository, relative to its root; None where there is none."""
    stem = module.replace(".", "/")
    return next((path for path in (f"{stem}.py", f"{stem}/__init__.py") if (ROOT / path).exists()), None)


def modules() -> list[str]:
    """Every module of the machinery and of model/, by its dotted name."""
    paths = [path.relative_to(ROOT) for name in PACKAGES for path in (ROOT / name).rglob("*.py")]
    return sorted(".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in paths)


@cache
def imported(module: str, *, lazily: bool) -> frozenset[str]:
    """The names of the modules that a module imports, of this repository and of any other.

    Args:
        module: Of this repository.
        lazily: Whether imports inside of functions count.
    """
    path = path_of(module)
    assert path is not None, module
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(name for node in _statements(tree, lazily=lazily) for name in _names(node))


def reached(module: str, *, lazily: bool = False) -> set[str]:
    """The modules of this repository that importing a module imports, itself and the packages included."""
    found, open_ends = set[str](), [module]
    while open_ends:
        name = open_ends.pop()
        if name in found or path_of(name) is None:
            continue
        found.add(name)
        parents = (name.rsplit(".", depth)[0] for depth in range(1, name.count(".") + 1))
        open_ends += [*parents, *imported(name, lazily=lazily)]
    return found


def _statements(tree: ast.AST, *, lazily: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif lazily or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _statements(node, lazily=lazily)


def _names(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    assert node.module
    assert not node.level
    for alias in node.names:
        submodule = f"{node.module}.{alias.name}"
        yield submodule if path_of(submodule) else node.module
