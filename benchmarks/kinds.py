"""Measure the service for each kind of target, and write benchmarks/kinds.md.

One table is adopted three times, with another target each time. Each round starts every service once, warms it up and
loads it, one at a time, with one worker and single-row JSON requests. Needs wrk.
"""

import json
import os
import platform
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from benchmarks.serving import CONNECTIONS, ROOT, Server, measure, ratio
from tests.lifecycle.repository import copied_project

REPORT = ROOT / "benchmarks/kinds.md"
ROUNDS = 5
ROWS = 20_000
TARGETS = {"true or false": "late", "one of five classes": "band", "a number": "minutes"}
_EXAMPLE = (
    "import json; from lifecycle.shared.inputs import request_columns; "
    "print(json.dumps({column.name: column.example for column in request_columns()}))"
)

TEMPLATE = """\
# The service by kind of target

Written by `make -C benchmarks kinds` on {cores} cores, Python {python}: {connections} connections of wrk on the same
cores, single-row requests, one worker, the same ten columns with another target each time. Medians of {rounds} rounds
in which the services took turns.

| target | requests/s | p50 ms | p99 ms | requests/s, against true or false | model MiB |
| --- | ---: | ---: | ---: | ---: | ---: |
{services}

A model of five classes has five times the trees, and an answer has the probability of each class.
"""


def table() -> pd.DataFrame:
    """Return eight numbers, two categories and three targets that follow from them."""
    random = np.random.default_rng(1)
    numbers = random.normal(size=(ROWS, 8)).round(3)
    carrier, origin = random.choice([*"abcdefghij"], ROWS), random.choice([*"xyz"], ROWS)
    minutes = 20 * numbers[:, 0] + 9 * np.abs(numbers[:, 1]) + 5 * (origin == "x") + random.normal(size=ROWS) * 10
    return pd.DataFrame(
        {
            **{f"number_{place}": numbers[:, place] for place in range(8)},
            "carrier": carrier,
            "origin": origin,
            "minutes": minutes.round(1),
            "late": minutes > 15,
            "band": pd.cut(minutes, [-np.inf, -20, 0, 15, 40, np.inf], labels=["early", "ok", "fine", "late", "bad"]),
        }
    )


def service_of(kind: str, target: str, rows: pd.DataFrame, folder: Path) -> Server:
    """Adopt the table with a target, and return its service."""
    project = copied_project(folder)
    others = [name for name in TARGETS.values() if name != target]
    rows.drop(columns=others).to_csv(folder / "table.csv", index=False)
    project.must(sys.executable, "-m", "lifecycle.adoption", "table.csv", target)
    project.commit("Adopted")
    project.must(sys.executable, "-m", "lifecycle.pipeline.lineage")
    command = [sys.executable, "-m", "bentoml", "serve", "--port", "{port}", "lifecycle.serving.service:ModelService"]
    body = json.loads(project.must(sys.executable, "-c", _EXAMPLE))
    return Server(kind, command, body=body, folder=folder)


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder, rows = Path(temporary), table()
        services = [service_of(kind, target, rows, folder / target) for kind, target in TARGETS.items()]
        for _ in tqdm(range(ROUNDS), "rounds"):
            for service in services:
                measure(service, folder)
        sizes = [sum(file.stat().st_size for file in (s.folder / "artifacts/model").iterdir()) for s in services]
    lines = [
        f"| {s.name} | {statistics.median(s.rates):,.0f} | {statistics.median(s.medians):.2f} "
        f"| {statistics.median(s.p99s):.1f} | {ratio(s.rates, services[0].rates):.2f} | {size / 2**20:.2f} |"
        for s, size in zip(services, sizes, strict=True)
    ]
    text = TEMPLATE.format(
        cores=os.cpu_count(),
        python=platform.python_version(),
        connections=CONNECTIONS,
        rounds=ROUNDS,
        services="\n".join(lines),
    )
    REPORT.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
