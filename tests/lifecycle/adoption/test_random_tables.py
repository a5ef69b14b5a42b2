"""Random tables are adopted, served, logged and checked without a traceback, or refused with a sentence."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.lifecycle.repository import copied_project

TRACEBACK = "Traceback"
NAMES = [
    "x",
    "größe in cm",
    "class",
    "ID",
    "value",
    "日付",
    "a b",
    "A_B",
    "1st",
    "probability",
    "date",
    "it's",
    'q"uote',
]
Random = np.random.Generator


def numbers(random: Random, rows: int) -> Any:
    return random.choice([random.normal(size=rows), random.gamma(1, 10.0 ** random.integers(-3, 6), rows)])


def integers(random: Random, rows: int) -> Any:
    return random.integers(-(10 ** random.integers(1, 12)), 10 ** random.integers(1, 12), rows)


def texts(random: Random, rows: int) -> Any:
    return random.choice(
        ["a", "b", "Ünïcødé", "NULL", "with, comma", "'quoted\"", "-1", "x" * 200][: random.integers(2, 9)], rows
    )


def truths(random: Random, rows: int) -> Any:
    return random.random(rows) < random.random()


def times(random: Random, rows: int) -> Any:
    return pd.Timestamp("1999-12-31") + pd.to_timedelta(random.integers(0, 10**9, rows), unit="s")


def constants(random: Random, rows: int) -> Any:
    return np.full(rows, random.choice(["only", "7", "2030-01-01"]))


def keys(random: Random, rows: int) -> Any:
    return random.permutation(rows)


KINDS = (numbers, integers, texts, truths, times, constants, keys)
TARGETS = (truths, numbers, texts)


def random_table(seed: int) -> tuple[pd.DataFrame, list[str]]:
    """Return a table with the target `y`, and further arguments of the adoption."""
    random = np.random.default_rng(seed)
    rows = int(random.choice([60, 300, 1_000]))
    names = random.permutation(NAMES)[: int(random.integers(1, 9))]
    table = pd.DataFrame({name: KINDS[random.integers(len(KINDS))](random, rows) for name in names})
    for name in names:
        if random.random() < 0.4:
            table[name] = table[name].astype(object).where(random.random(rows) < 0.8)
    table["y"] = TARGETS[seed % len(TARGETS)](random, rows)
    arguments = []
    if seed % 4 == 1:
        table["when"] = pd.Timestamp("2030-01-01") + pd.to_timedelta(random.integers(0, 400, rows), unit="D")
        arguments = ["--time", "when"]
    elif seed % 4 == 2:
        table["group"] = random.integers(0, 30, rows)
        arguments = ["--group", "group"]
    return table, arguments


@pytest.mark.long
@pytest.mark.parametrize("seed", range(16))
def test_random_table(seed: int, tmp_path: Path) -> None:
    project = copied_project(tmp_path / "project")
    table, arguments = random_table(seed)
    if seed % 2:
        table.to_csv(project.folder / "table.csv", index=False)
        name = "table.csv"
    else:
        table = table.astype({column: "str" for column in table if table[column].dtype == object})
        table.to_parquet(project.folder / "table.parquet")
        name = "table.parquet"
    adopted = project.run("python", "-m", "lifecycle.adoption", name, "y", *arguments)
    assert TRACEBACK not in adopted.stdout, adopted.stdout
    if adopted.returncode:
        assert "error: " in adopted.stdout, adopted.stdout
        print(adopted.stdout)
        return
    project.commit("Adopted")
    project.must("ruff", "check", "model")
    project.must("ruff", "format", "--check", "model")
    project.must("pytest", "-q", "tests/model")
    project.must("python", "-m", "tests.lifecycle.adoption.production", "state", "300")
    project.must("python", "-m", "lifecycle.prediction_log.drain", STATE_FOLDER="state")
    checked = project.run("python", "-m", "lifecycle.monitoring", "check", "--page", STATE_FOLDER="state").stdout
    assert TRACEBACK not in checked, checked
    assert "outcomes are known (100%)" in checked
