"""Each peculiarity of a table has its sentence, and a table that cannot be adopted has one that says why."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lifecycle.adoption.adoption_plan import AdoptionRequest, Plan, choose_salt, legal_names, make_plan
from lifecycle.adoption.profile import profiles
from lifecycle.shared.console import UserError
from lifecycle.shared.contract_check import faults, slug
from lifecycle.shared.parts import FOLDS, fold_of, key_texts
from lifecycle.shared.source import Source
from tests.lifecycle.shared.test_contract_check import made

ROWS = 400
RANDOM = np.random.default_rng(3)
GOOD: dict[str, Any] = {
    "x": RANDOM.normal(size=ROWS),
    "letter": RANDOM.choice([*"abc"], ROWS),
    "at": pd.date_range("2030-01-01", periods=ROWS, freq="D"),
    "y": RANDOM.random(ROWS) < 0.4,
}


def planned(
    tmp_path: Path, target: str = "y", time: str | None = None, kind: str | None = None, **columns: Any
) -> Plan:
    """Make the plan of the good table with other columns."""
    path = tmp_path / "table.csv"
    pd.DataFrame(GOOD | columns).to_csv(path, index=False)
    with Source(str(path)).opened() as connection:
        found = profiles(connection)
        duplicates = ROWS - connection.view("source").distinct().aggregate("count(*)").fetchall()[0][0]
    return make_plan(found, AdoptionRequest(target, time, None, "any", kind), duplicates)


def test_a_good_table_has_no_warning(tmp_path: Path) -> None:
    plan = planned(tmp_path, time="at")
    assert plan.warnings == []
    assert plan.window.parts()[-1] < plan.holdout.first
    assert (plan.target.type, plan.split.period, plan.holdout.last) == ("boolean", "month", "2031-02")
    assert {column.name: column.type for column in plan.columns if column.role == "feature"} == {
        "x": "number",
        "letter": "category",
        "at": "timestamp",
    }


WARNINGS: dict[str, tuple[dict[str, Any], str]] = {
    "constant": ({"x": 5}, "x is 5 in every row: the model does not use it (role: ignored)."),
    "all missing": ({"letter": None}, "letter has no value in any row: it is left out."),
    "identifier": (
        {"key": [f"k{n}" for n in range(ROWS)]},
        "key is different in every row, so it only tells",
    ),
    "number of the row": ({"key": range(ROWS)}, "key is different in every row, so it only tells"),
    "percentages": ({"x": [f"{n / 8}%" for n in range(ROWS)]}, "x is text that holds a percentage"),
    "decimal commas": ({"x": [f"{n},5" for n in range(ROWS)]}, "x is text that holds a number with a decimal comma: "),
    "thousands": ({"x": [f"$1,{n:03}.50" for n in range(ROWS)]}, "x is text that holds a number: `COLUMNS`"),
    "words for missing": (
        {"x": ["NA", *(f"{n / 7}" for n in range(ROWS - 1))]},
        "x is text that holds a number, or a word for a missing value: `COLUMNS` in model/data.py converts it.",
    ),
    "dates and NA": (
        {"x": ["?", *(f"2030-01-{n % 28 + 1:02}" for n in range(ROWS - 1))]},
        "x is text that holds a date, or a word for a missing value",
    ),
    "yes and no": ({"x": ["On", "Off"] * (ROWS // 2)}, "x says yes or no in words"),
    "rare class": (
        {"y": ["a"] * 200 + ["b"] * 197 + ["c"] * 3},
        "The target has classes with fewer than 50 rows: c (3). They can hardly be learned or judged",
    ),
    "zeros and ones": ({"y": [0, 1] * (ROWS // 2)}, "The target is 0 or 1, taken for false and true."),
    "codes": ({"y": [n % 3 for n in range(ROWS)]}, "The target is taken for a number, with 3 different values."),
    "wide": ({f"c{n}": RANDOM.normal(size=ROWS) for n in range(201)}, "The table has 205 columns."),
    "names": ({"class": GOOD["x"], "Größe (cm)": GOOD["x"]}, "class is now class_; Größe (cm) is now Größe_cm"),
}


@pytest.mark.parametrize("name", WARNINGS)
def test_warning(name: str, tmp_path: Path) -> None:
    columns, sentence = WARNINGS[name]
    plan = planned(tmp_path, **columns)
    assert any(sentence in warning for warning in plan.warnings) or not sentence, plan.warnings
    contract = made()
    contract.__dict__.update(NAME="any", INPUTS=tuple(plan.columns), IDENTITY=plan.identity, TARGET=plan.target)
    assert faults(contract) == []


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["1,5", "2.000,25", "-3"], [1.5, 2000.25, -3.0]),
        (["1,500", "2,000.25", "-3"], [1500.0, 2000.25, -3.0]),
        (["€ 1,5", "7,25 €", "n/a"], [1.5, 7.25, None]),
        (["50%", "12.5 %", "-"], [0.5, 0.125, None]),
        (["31.12.2030", "1.2.2030", "NULL"], ["2030-12-31 00:00:00", "2030-02-01 00:00:00", None]),
        (["2030-12-31T10:00:00", "2030-02-01", "none"], ["2030-12-31 10:00:00", "2030-02-01 00:00:00", None]),
        (["Yes", "no", "?"], [True, False, None]),
        (["NA", "DE", "FR"], ["NA", "DE", "FR"]),
        (["01067", "80331", "NA"], ["01067", "80331", "NA"]),
        (["0", "0.5", "NA"], [0.0, 0.5, None]),
    ],
)
def test_conversion_of_texts(texts: list[str], expected: list[Any], tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    pd.DataFrame({"x": texts}).to_parquet(path)
    source = Source(str(path))
    with source.opened() as connection:
        (profile,) = profiles(connection)
    rows = pd.concat(source.rows("0001", {"x": profile.sql}))["x"]
    found = [None if pd.isna(value) else str(value) if isinstance(value, pd.Timestamp) else value for value in rows]
    assert found == expected


def test_duplicates(tmp_path: Path) -> None:
    plan = planned(tmp_path, x=[1, 2] * (ROWS // 2), letter="a", at=None, y=[True, False] * (ROWS // 2))
    assert plan.warnings[0].startswith("398 of 400 rows are equal to another row in all columns.")
    assert plan.identity == ("row_id",)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no target": ({"target": "z"}, "TARGET is z, but the table has no such column. It has: x, letter, at, y."),
    "no time": ({"time": "when"}, "TIME is when, but the table has no such column."),
    "empty target": ({"y": None}, "the target y has no value in any row."),
    "missing target": ({"y": [None] * 3 + [True, False] * 198 + [True]}, "the target y is missing in 3 of 400 rows."),
    "constant target": ({"y": "a"}, "the target y is a in every row, so there is nothing to learn."),
    "few rows": ({name: values[:20] for name, values in GOOD.items()}, "the table has 20 rows, too few to train"),
    "texts": ({"y": [f"t{n}" for n in range(ROWS)]}, "the target y is a category with 400 different values."),
    "times": ({"target": "at"}, "the target at is a timestamp with 400 different values."),
    "number as time": ({"time": "x"}, "TIME is x, which is a number. It has to be a date or a time in every row."),
    "missing times": ({"time": "at", "at": [None, *GOOD["at"][1:]]}, "TIME is at, which is missing in 1 rows."),
    "one day": (
        {"time": "at", "at": "2030-01-01"},
        "all rows are of 2030-01-01. A split by time needs",
    ),
    "wrong kind": (
        {"kind": "boolean", "target": "x"},
        "the target x is a number, which cannot be taken for a",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, tmp_path: Path) -> None:
    changes, sentence = REFUSED[name]
    with pytest.raises(UserError, match=re.escape(sentence)):
        planned(tmp_path, **changes)


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("boolean", [0, 1] * (ROWS // 2), "boolean"),
        ("category", [n % 3 for n in range(ROWS)], "category"),
        (None, [0, 1] * (ROWS // 2), "boolean"),
        (None, [0.0, 1.0] * (ROWS // 2), "boolean"),
        ("number", [0, 1] * (ROWS // 2), "number"),
        (None, [0, 1, 2, 3] * (ROWS // 4), "number"),
        (None, ["yes", "no"] * (ROWS // 2), "boolean"),
        (None, ["spam", "ham"] * (ROWS // 2), "category"),
    ],
)
def test_kind_of_the_target(kind: str | None, values: list[Any], expected: str, tmp_path: Path) -> None:
    assert planned(tmp_path, kind=kind, y=values).target.type == expected


def test_names() -> None:
    names = ["a b", "a-b", "A_B", "1st", "", "ID", "lambda", "ä", "_x"]
    assert list(legal_names(names).values()) == ["a_b", "a_b_2", "A_B_3", "c_1st", "column", "ID_", "lambda_", "ä", "x"]
    assert slug("My Model (v2).csv") == "my-model-v2-csv"
    assert slug("模型") == "model"


def test_the_holdout_gets_its_share_of_a_rare_class() -> None:
    """Twenty of 2,000 rows are of a rare class: four of them are in the holdout, neither none nor nine."""
    keys = key_texts([range(2_000)])
    classes = (np.arange(2_000) % 100 == 0).astype(np.intp)
    salt = choose_salt(keys, classes)
    held_out = fold_of(keys, salt) > FOLDS - 4
    assert held_out[classes == 1].sum() == 4
    assert held_out.mean() == pytest.approx(0.2, abs=0.01)
