"""What the source imports: the graph of the machinery and of model/."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("model", "lifecycle")


@dataclass(frozen=True)
class Sources:
    """Python sources that import one another.

    Attributes:
        roots: Folders that modules are looked for in, the first one first.
    """

    roots: tuple[Path, ...]

    def find(self, module: str) -> Path | None:
        """The file of a module or package; None if it is not one of these sources."""
        stem = module.replace(".", "/")
        paths = [root / name for root in self.roots for name in (f"{stem}.py", f"{stem}/__init__.py")]
        return next((path for path in paths if path.exists()), None)

    def path_of(self, module: str) -> str:
        """The file of a module, relative to its root."""
        path = self.find(module)
        assert path, module
        return next(str(path.relative_to(root)) for root in self.roots if path.is_relative_to(root))

    def modules(self) -> list[str]:
        """Every module of `PACKAGES`, by its dotted name."""
        found = set[str]()
        for package in PACKAGES:
            root = next(root for root in self.roots if (root / package).is_dir())
            for path in (root / package).rglob("*.py"):
                found.add(".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"))
        return sorted(found)

    def imported(self, module: str, *, lazily: bool) -> set[str]:
        """The names of the modules that a module imports, of these sources and of any library.

        Args:
            module: One of these sources.
            lazily: Whether imports inside of functions count.
        """
        path = self.find(module)
        assert path, module
        tree = ast.parse(path.read_text(encoding="utf-8"))
        return {name for node in _import_statements(tree, lazily=lazily) for name in self._names(node)}

    def reached(self, module: str, *, lazily: bool) -> set[str]:
        """The modules of these sources that are imported with a module: itself, and packages, included."""
        found, open_ends = set[str](), [module]
        while open_ends:
            name = open_ends.pop()
            if name in found or self.find(name) is None:
                continue
            found.add(name)
            parents = (name.rsplit(".", depth)[0] for depth in range(1, name.count(".") + 1))
            open_ends += [*parents, *self.imported(name, lazily=lazily)]
        return found

    def files_reached(self, *modules: str, lazily: bool = False) -> list[str]:
        """The files of what is imported with some modules, relative to their roots, in order."""
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
