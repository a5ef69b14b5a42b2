"""`python -m tests.map`: write docs/map.md, the map of the code, from the import graph and the modules' docstrings."""

import ast
from pathlib import Path

from tests.imports import Sources

ROOT = Path(__file__).parents[1]
MAP = ROOT / "docs/map.md"
SOURCES = Sources((ROOT,))
# In the order in which things happen. A room only imports from the rooms before it.
ROOMS = (
    "shared",
    "pipeline",
    "registry",
    "proposal",
    "release",
    "prediction_log",
    "serving",
    "scoring",
    "monitoring",
    "retraining",
    "adoption",
)

TEMPLATE = """\
# Map of the code

`python -m tests.map` writes this page from the source; a test fails if it is out of date.

| | |
| --- | --- |
| `model/` | yours: contract, data, features, estimator |
| `params.yaml` | yours: window, holdout, estimator, gates, monitoring, retraining |
| `dvc.yaml`, `bentofile.yaml` | the stages, and what goes into the image |
| `data.dvc`, `dvc.lock` | the version of the data, and the inputs and outputs of the last run of the stages |
| `lifecycle/` | the machinery: rooms in the order in which things happen |
| `deploy/` | Dockerfile, Compose and HAProxy for a host, Prometheus rules, Grafana dashboard, runbook |
| `.github/` | workflows, each step one command of the machinery |
| `tests/model/` | tests of your model, run by `make check` |
| `tests/lifecycle/`, `tests/github/` | tests of the machinery on a frozen example, and a stand-in for GitHub |
| `reports/` | metrics, slices and plots of the model, in git |
| `artifacts/` | outputs of the stages, with the model directory |
| `requirements/` | locked dependencies; `make lock` compiles them from `pyproject.toml` |
| `benchmarks/` | measurements, and the scripts that made them |

An arrow leads from a room to one that imports it. All rooms import `shared`, which imports only `model/`.

```mermaid
{graph}
```
{rooms}"""


def room_of(module: str) -> str | None:
    """Return the room of a module; None if it is in none."""
    parts = module.split(".")
    return parts[1] if parts[0] == "lifecycle" and len(parts) > 1 else None


def edges() -> list[tuple[str, str]]:
    """Return each pair of different rooms of which the second imports the first, in the order of the rooms."""
    modules = [module for module in SOURCES.modules() if room_of(module)]
    pairs = {(room_of(name), room_of(module)) for module in modules for name in SOURCES.imported(module, lazily=True)}
    return [(first, second) for first in ROOMS for second in ROOMS if first != second and (first, second) in pairs]


def render() -> str:
    """Render the page."""
    # Only pairs without another room between them are drawn: otherwise each room has an arrow to each later one.
    drawn = [edge for edge in edges() if edge[0] != "shared"]
    direct = [edge for edge in drawn if not any((edge[0], way) in drawn and (way, edge[1]) in drawn for way in ROOMS)]
    lines = ["flowchart LR", *(f"  {first} --> {second}" for first, second in direct)]
    return TEMPLATE.format(graph="\n".join(lines), rooms="".join(map(_room, ROOMS)))


def _room(room: str) -> str:
    modules = [module for module in SOURCES.modules() if room_of(module) == room]
    rows = "".join(f"| `{_path(module)}` | {_first_line(module)} |\n" for module in modules if module.count(".") > 1)
    return f"\n## lifecycle/{room}\n\n{_first_line(f'lifecycle.{room}')}\n\n| | |\n| --- | --- |\n{rows}"


def _path(module: str) -> str:
    return SOURCES.path_of(module).split("/", 2)[-1]


def _first_line(module: str) -> str:
    path = SOURCES.find(module)
    assert path, module
    documented = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert documented, module
    return documented.partition("\n\n")[0].replace("\n", " ").replace("|", "\\|").replace("``", "`")


if __name__ == "__main__":
    MAP.write_text(render(), encoding="utf-8")
