"""Drift between two training sets."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lifecycle.proposal.changes import drift
from model.features import NAMES


@pytest.fixture
def prepared(trained: Path, tmp_path: Path) -> Path:
    """A copy of what the model was trained on, that a test may change."""
    return Path(shutil.copytree(trained / "artifacts/prepared", tmp_path / "prepared"))


@pytest.fixture
def metadata(trained: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((trained / "artifacts/model/metadata.json").read_text(encoding="utf-8"))
    return found


def change(prepared: Path, name: str, change: Callable[[Any], Any]) -> None:
    """Change the values of a feature in the training set."""
    table = pq.read_table(prepared / "train.parquet")
    values = pa.array(change(table.column(name).to_numpy()), pa.float32())
    table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), values)
    pq.write_table(table, prepared / "train.parquet")


def test_same_training_set_has_no_drift(metadata: dict[str, Any], prepared: Path) -> None:
    found = drift(metadata, prepared)
    assert {name for name, _ in found} == set(NAMES)
    assert [index for _, index in found] == [0] * len(NAMES)


def test_feature_that_has_drifted_comes_first(metadata: dict[str, Any], prepared: Path) -> None:
    """What lies beyond all of the champion's data has a bin, in which the champion has no row."""
    change(prepared, "distance", lambda values: np.full_like(values, 1e6))
    counts = np.array(metadata["histograms"]["distance"]["counts"])
    before = np.maximum(counts / counts.sum(), 1e-4)
    after = np.full(len(counts), 1e-4)
    after[-2] = 1
    name, index = drift(metadata, prepared)[0]
    assert name == "distance"
    assert index == pytest.approx(((after - before) * np.log(after / before)).sum())


def test_new_category_moves_no_other(metadata: dict[str, Any], prepared: Path) -> None:
    """Codes are in alphabetical order: a destination may have another one in each training set."""
    codes = json.loads((prepared / "codes.json").read_text(encoding="utf-8"))
    codes["destination"] = {"AAA": 0} | {label: code + 1 for label, code in codes["destination"].items()}
    (prepared / "codes.json").write_text(json.dumps(codes), encoding="utf-8")
    change(prepared, "destination", lambda values: values + 1)
    assert dict(drift(metadata, prepared))["destination"] == 0
    change(prepared, "destination", lambda values: np.where(np.arange(len(values)) % 2, 0, values))
    # Half of the rows are of a destination that the champion does not know.
    assert dict(drift(metadata, prepared))["destination"] > 0.25


def test_champion_of_an_older_commit_or_with_other_features(metadata: dict[str, Any], prepared: Path) -> None:
    histograms = metadata.pop("histograms")
    older = {name: {"labels": ["to 7", "over 7", "missing"], "shares": [1, 0, 0], "edges": [7.0]} for name in NAMES}
    assert drift(metadata | {"bins": older}, prepared) == []
    assert drift(metadata, prepared) == []
    assert drift(metadata | {"histograms": dict(list(histograms.items())[1:])}, prepared) == []
