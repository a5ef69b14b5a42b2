"""Wide, long and short tables: what they take, with bounds."""

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.lifecycle.adoption.test_adopt import proposed
from tests.lifecycle.repository import Repository, copied_project, edit

# Runs a command, and prints the peak memory of its processes in KiB. In a process of its own, because a process counts
# the memory of the one that it was forked from.
PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def adopt(folder: Path, table: pd.DataFrame, target: str, *arguments: str) -> tuple[Repository, float, float]:
    """Adopt a table from a CSV file; return the project, the time in seconds and the peak memory in MiB."""
    project = copied_project(folder)
    table.to_csv(folder / "table.csv", index=False)
    started = time.monotonic()
    peak = project.must("python", "-c", PEAK, "python", "-m", "lifecycle.adoption", "table.csv", target, *arguments)
    return project, time.monotonic() - started, int(peak.splitlines()[-1]) / 2**10


@pytest.mark.long
def test_two_thousand_columns(tmp_path: Path) -> None:
    """The pipeline takes less than five minutes on two cores, although every column's importance is computed."""
    random = np.random.default_rng(1)
    values = random.normal(size=(5_000, 2_000)).astype(np.float32).round(4)
    table = pd.DataFrame(values, columns=[f"sensor {number}" for number in range(2_000)])
    table["state"] = np.where(values[:, 0] + values[:, 1] * values[:, 2] > random.normal(size=5_000), "broken", "fine")
    project, adoption, _ = adopt(tmp_path / "project", table, "state")
    edit(project, "params.yaml", "max_iter: 200", "max_iter: 199")
    started = time.monotonic()
    project.must("python", "-m", "lifecycle.pipeline")
    seconds = time.monotonic() - started
    print(f"2,000 columns: adoption {adoption:.0f} s, pipeline {seconds:.0f} s")
    assert seconds < 300
    importance = pd.read_csv(project.folder / "reports/plots/importance.csv")
    assert importance.iloc[0, 0] == "sensor_0"


@pytest.mark.long
def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """A million rows of a CSV file take little more memory than a tenth of them, by row as well as by time."""
    random, rows = np.random.default_rng(2), 1_000_000
    amount = random.gamma(2, 50, rows).round(2)
    table = pd.DataFrame(
        {
            "order": [f"o{number:08}" for number in range(rows)],
            "at": pd.Timestamp("2030-01-01") + pd.to_timedelta(random.integers(0, 360 * 86_400, rows), "s"),
            "amount": amount,
            "country": random.choice(["DE", "ES", "FR", "IT"], rows),
            "age": random.integers(18, 90, rows),
            "refund": random.random(rows) < 1 / (1 + np.exp(3 - amount / 100)),
        }
    )
    for name, arguments in (("row", ()), ("time", ("--time", "at"))):
        (_, _, few), (_, seconds, many) = (
            adopt(tmp_path / f"{name}-{len(part)}", part, "refund", *arguments) for part in (table[: rows // 10], table)
        )
        print(f"a million rows by {name}: {seconds:.0f} s, {many:.0f} MiB; a tenth of them: {few:.0f} MiB")
        assert many < few + 400
        assert many < 800


@pytest.mark.long
def test_fifty_rows(tmp_path: Path) -> None:
    """They are enough to train, serve and propose, with few surprises: no verdict is red for a harmless change."""
    random = np.random.default_rng(3)
    score = random.normal(size=50)
    table = pd.DataFrame({"score": score, "plan": random.choice(["a", "b"], 50), "won": score > random.normal(size=50)})
    project, _, _ = adopt(tmp_path / "project", table, "won")
    project.commit("Adopted")
    project.must("pytest", "-q", "tests/model")
    project.must("git", "switch", "--quiet", "--create", "proposal")
    edit(project, "params.yaml", "max_iter: 200", "max_iter: 20")
    project.commit("Fewer rounds")
    assert proposed(project, "main").startswith(("## ✅", "## 🟡"))
