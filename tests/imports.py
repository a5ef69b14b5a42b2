"""The import graph of the machinery and of model/."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("model", "lifecycle")


@dataclass(frozen=True)
class Sources:
    """Python sources that import one another.

    Attributes:
        roots: Directories to look for modules in; the first match counts.
    """

    roots: tuple[Path, ...]

    def find(self, module: str) -> Path | None:
        """Return the file of a module or package; None if it is not one of these sources."""
        stem = module.replace(".", "/")
        paths = [root / name for root in self.roots for name in (f"{stem}.py", f"{stem}/__init__.py")]
        return next((path for path in paths if path.exists()), None)

    def path_of(self, module: str) -> str:
        """Return the file of a module, relative to its root."""
        path = self.find(module)
        assert path, module
        return next(str(path.relative_to(root)) for root in self.roots if path.is_relative_to(root))

    def modules(self) -> list[str]:
        """Return the dotted name of every module of `PACKAGES`."""
        names = set[str]()
        for package in PACKAGES:
            root = next(root for root in self.roots if (root / package).is_dir())
            for path in (root / package).rglob("*.py"):
                names.add(".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"))
        return sorted(names)

    def imported(self, module: str, *, lazily: bool) -> set[str]:
        """Return the names of the modules that a module imports, from these sources and from any library.

        Args:
            module: One of these sources.
            lazily: Whether to include imports inside of functions.
        """
        path = self.find(module)
        assert path, module
        tree = ast.parse(path.read_text(encoding="utf-8"))
        return {name for node in _import_statements(tree, lazily=lazily) for name in self._names(node)}

    def reached(self, module: str, *, lazily: bool) -> set[str]:
        """Return the modules of these sources that importing a module loads, including itself and packages."""
        loaded, to_visit = set[str](), [module]
        while to_visit:
            name = to_visit.pop()
            if name in loaded or self.find(name) is None:
                continue
            loaded.add(name)
            parents = (name.rsplit(".", depth)[0] for depth in range(1, name.count(".") + 1))
            to_visit += [*parents, *self.imported(name, lazily=lazily)]
        return loaded

    def files_reached(self, *modules: str, lazily: bool = False) -> list[str]:
        """Return the sorted files of the modules that importing some modules loads, relative to their roots."""
        return sorted({self.path_of(name) for module in modules for name in self.reached(module, lazily=lazily)})

    def _names(self, node: ast.Import | ast.ImportFrom) -> Iterator[str]:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
            return
        assert node.module, "no relative imports here"
        for alias in node.names:
            submodule = f"{node.module}.{alias.name}"
            yield submodule if self.find(submodule) else node.module


def _import_statements(tree: ast.AST, *, lazily: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif lazily or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _import_statements(node, lazily=lazily)
