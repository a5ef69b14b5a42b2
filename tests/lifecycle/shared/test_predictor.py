import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from lifecycle.shared import predictor
from lifecycle.shared.columns import Columns
from lifecycle.shared.console import UserError
from lifecycle.shared.parts import part_files
from lifecycle.shared.predictor import Predictor
from lifecycle.shared.tables import to_columns


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained / "artifacts/model", tmp_path / "model"))


@pytest.fixture
def rows(small: Path) -> Columns:
    return to_columns(pq.read_table(part_files("2013-04", small)[0]))


def test_probabilities(folder: Path, rows: Columns) -> None:
    probabilities = Predictor.load(folder).predict(rows)
    assert probabilities.shape == (3_000,)
    assert ((probabilities > 0) & (probabilities < 1)).all()


def test_batches_make_no_difference(folder: Path, rows: Columns, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = Predictor.load(folder)
    whole = loaded.predict(rows)
    monkeypatch.setattr(predictor, "_BATCH", 7)
    np.testing.assert_array_equal(loaded.predict(rows), whole)


def test_no_rows(folder: Path, rows: Columns) -> None:
    assert Predictor.load(folder).predict({k: v[:0] for k, v in rows.items()}).shape == (0,)


def test_unseen_category_is_scored(folder: Path, rows: Columns) -> None:
    everywhere = np.full(3_000, "XYZ", dtype=object)
    assert np.isfinite(Predictor.load(folder).predict(rows | {"destination": everywhere})).all()


def edit_contract(folder: Path) -> None:
    schema = json.loads((folder / "contract.json").read_text(encoding="utf-8"))
    schema["properties"]["wind_speed"]["maximum"] = 100
    del schema["properties"]["distance"]
    (folder / "contract.json").write_text(json.dumps(schema), encoding="utf-8")


def edit_features(folder: Path) -> None:
    metadata = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
    metadata["features"].reverse()
    (folder / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shutil.rmtree, "cannot be loaded"),
        (lambda folder: (folder / "metadata.json").write_text("{"), "cannot be loaded"),
        (lambda folder: (folder / "metadata.json").write_text("{}"), "cannot be loaded"),
        (lambda folder: (folder / "model.onnx").unlink(), "cannot be loaded"),
        (lambda folder: (folder / "model.onnx").write_bytes(b""), "cannot be loaded"),
        (lambda folder: (folder / "model.onnx").write_bytes(b"no model"), "cannot be loaded"),
        (edit_contract, "trained under another contract: it differs in distance, wind_speed"),
        (edit_features, "trained on other features"),
    ],
)
def test_unusable_folder_is_one_clear_line(damage: Callable[[Path], object], message: str, folder: Path) -> None:
    damage(folder)
    with pytest.raises(UserError, match=message) as raised:
        Predictor.load(folder)
    assert str(folder) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_skops_with_an_untrusted_type_is_refused(folder: Path) -> None:
    import skops.io

    skops.io.dump(Evil(), folder / "model.skops")
    metadata = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
    (folder / "metadata.json").write_text(json.dumps(metadata | {"format": "skops"}), encoding="utf-8")
    with pytest.raises(UserError, match=r"types that are not trusted: .*Evil"):
        Predictor.load(folder)


class Evil:
    pass
