"""The drift of features between two training sets."""

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
    """A copy of the model's training set, for a test to change."""
    return Path(shutil.copytree(trained / "artifacts/prepared", tmp_path / "prepared"))


@pytest.fixture
def metadata(trained: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((trained / "artifacts/model/metadata.json").read_text(encoding="utf-8"))
    return content


def change(prepared: Path, name: str, change: Callable[[Any], Any]) -> None:
    """Change the values of a feature in the training set."""
    table = pq.read_table(prepared / "train.parquet")
    values = pa.array(change(table.column(name).to_numpy()), pa.float32())
    table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), values)
    pq.write_table(table, prepared / "train.parquet")


def test_same_training_set_has_no_drift(metadata: dict[str, Any], prepared: Path) -> None:
    by_feature = drift(metadata, prepared)
    assert {name for name, _ in by_feature} == set(NAMES)
    assert [index for _, index in by_feature] == [0] * len(NAMES)


def test_drifted_feature_comes_first(metadata: dict[str, Any], prepared: Path) -> None:
    """Values above all values of the champion fall into a bin in which the champion has no rows."""
    change(prepared, "distance", lambda values: np.full_like(values, 1e6))
    counts = np.array(metadata["histograms"]["distance"]["counts"])
    before = np.maximum(counts / counts.sum(), 1e-4)
    after = np.full(len(counts), 1e-4)
    after[-2] = 1
    name, index = drift(metadata, prepared)[0]
    assert name == "distance"
    assert index == pytest.approx(((after - before) * np.log(after / before)).sum())


def test_new_label_does_not_change_the_others(metadata: dict[str, Any], prepared: Path) -> None:
    """Codes are in alphabetical order, so a destination may have different codes in two training sets."""
    codes = json.loads((prepared / "codes.json").read_text(encoding="utf-8"))
    codes["destination"] = {"AAA": 0} | {label: code + 1 for label, code in codes["destination"].items()}
    (prepared / "codes.json").write_text(json.dumps(codes), encoding="utf-8")
    change(prepared, "destination", lambda values: values + 1)
    assert dict(drift(metadata, prepared))["destination"] == 0
    change(prepared, "destination", lambda values: np.where(np.arange(len(values)) % 2, 0, values))
    # Half of the rows now have a destination that the champion does not know.
    assert dict(drift(metadata, prepared))["destination"] > 0.25


def test_no_drift_for_older_histograms_or_other_features(metadata: dict[str, Any], prepared: Path) -> None:
    histograms = metadata.pop("histograms")
    older = {name: {"labels": ["to 7", "over 7", "missing"], "shares": [1, 0, 0], "edges": [7.0]} for name in NAMES}
    assert drift(metadata | {"bins": older}, prepared) == []
    assert drift(metadata, prepared) == []
    assert drift(metadata | {"histograms": dict(list(histograms.items())[1:])}, prepared) == []
