"""Measure the image and the one that BentoML makes by default, and write benchmarks/image.md."""

import contextlib
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml

from lifecycle.pipeline.lineage import write_lineage
from lifecycle.release.image import BENTOFILE, build_bento, build_image
from tests.lifecycle.containers import Engine, container, find_engine
from tests.lifecycle.serving.conftest import free_port

REPORT = Path("benchmarks/image.md")
ROUNDS = 7
LARGEST = 12

TEMPLATE = """\
# The image, measured

Written by `make -C benchmarks image` with {command} on {cores} cores. MB are 10^6 bytes, uncompressed, as the engine
counts them. The base is `{base}`.

| | MB | over its base | target |
| --- | ---: | ---: | ---: |
| base | {base_size:.0f} | | |
| image | {size:.0f} | {over:.0f} | 200 |
| stock `bentoml containerize` | {stock} | |

From the command that starts the hardened container to the first 200 of `/readyz`: {ready:.1f} s (median of {rounds}
starts, slowest {slowest:.1f}; target 3).

The largest packages in it:

| | MB |
| --- | ---: |
{largest}
"""

SIZES = """
import pathlib
root = next(pathlib.Path('/app/venv/lib').glob('python3*/site-packages'))
for entry in [*root.iterdir(), pathlib.Path('/app/src')]:
    files = [entry] if entry.is_file() else [f for f in entry.rglob('*') if f.is_file()]
    print(sum(f.stat().st_size for f in files), entry.name)
"""


@contextlib.contextmanager
def built(engine: Engine, version: str, base: str = "", bentofile: Path = BENTOFILE) -> Iterator[str]:
    """Build an image of the trained model, and remove it afterwards."""
    lineage = write_lineage()
    name = build_bento(version, bentofile)
    try:
        build_image(name, lineage, engine.command, base)
        yield name
    finally:
        engine.run("rmi", "--force", name)


def stock_size(engine: Engine) -> int:
    """Return the size in bytes of the image that BentoML builds without settings for docker."""
    described = yaml.safe_load(Path("bentofile.yaml").read_text(encoding="utf-8"))
    del described["docker"]
    bentofile = Path("artifacts/stock-bentofile.yaml")
    bentofile.write_text(yaml.safe_dump(described), encoding="utf-8")
    # The base image that BentoML's Dockerfile names. If it is missing, tag our own base image with its name meanwhile.
    stock_base = f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"
    exists = engine.run("image", "inspect", stock_base).returncode == 0
    if not exists:
        engine.must("tag", engine.base, stock_base)
    try:
        with built(engine, "benchmark-stock", bentofile=bentofile) as image:
            return engine.size(image)
    finally:
        bentofile.unlink()
        if not exists:
            engine.must("rmi", stock_base)


def start(engine: Engine, image: str) -> float:
    with container(engine, image, free_port()) as started:
        return started.wait_until_ready()


def sizes(engine: Engine, image: str) -> list[tuple[float, str]]:
    """Return the size in MB and the name of each package in the image, the largest first."""
    with container(engine, image, free_port()) as started:
        lines = [line.split() for line in started.python(SIZES).splitlines()]
    return sorted(((int(size) / 1e6, name) for size, name in lines), reverse=True)


def main() -> None:
    engine = find_engine()
    with tempfile.TemporaryDirectory() as folder:
        # Leave neither bentos nor an image for each build step behind.
        os.environ |= engine.environment | {"BENTOML_HOME": folder, "BUILDAH_LAYERS": "false"}
        with built(engine, "benchmark", engine.base) as image:
            base_size, size = engine.size(engine.base) / 1e6, engine.size(image) / 1e6
            seconds = [start(engine, image) for _ in range(ROUNDS)]
            packages = sizes(engine, image)
        stock = stock_size(engine) / 1e6
    report = TEMPLATE.format(
        command=engine.command,
        cores=os.cpu_count(),
        base=engine.base,
        base_size=base_size,
        size=size,
        over=size - base_size,
        stock=f"{stock:.0f} | {stock - base_size:.0f}",
        ready=statistics.median(seconds),
        rounds=ROUNDS,
        slowest=max(seconds),
        largest="\n".join(
            f"| {name} | {size:.1f} |"
            for size, name in [*packages[:LARGEST], (sum(s for s, _ in packages[LARGEST:]), "all others")]
        ),
    )
    REPORT.write_text(report, encoding="utf-8")
    print(report)


if __name__ == "__main__":
    main()
