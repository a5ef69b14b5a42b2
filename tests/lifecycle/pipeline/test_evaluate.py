import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from lifecycle.pipeline.evaluate import evaluate
from lifecycle.shared.chosen_task import METRICS
from lifecycle.shared.params import Params
from lifecycle.shared.predictor import Predictor
from lifecycle.shared.tables import to_columns, to_target
from tests.lifecycle.repository import run_with_example, write_params

Make = Callable[..., Params]


@pytest.fixture
def reports(model_copy: Path, prepared: Path, params: Make, tmp_path: Path) -> Path:
    evaluate(params(), model_copy, prepared / "holdout.parquet", tmp_path / "reports")
    return tmp_path / "reports"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_metrics_with_intervals_beside_the_baseline(reports: Path, model_copy: Path, prepared: Path) -> None:
    metrics = json.loads((reports / "metrics.json").read_text(encoding="utf-8"))
    table = pq.read_table(prepared / "holdout.parquet")
    target, probability = to_target(table), Predictor.load(model_copy).predict(to_columns(table))
    assert metrics["rows"] == 3_000
    assert metrics["target"] == {"base_rate": round(target.mean(), 6)}
    assert list(metrics["model"]) == list(metrics["baseline"]) == list(METRICS)
    assert metrics["model"]["roc_auc"]["value"] == pytest.approx(roc_auc_score(target, probability), abs=1e-6)
    for name in ("roc_auc", "average_precision", "log_loss", "brier_score"):
        interval = metrics["model"][name]
        assert interval["low"] < interval["value"] < interval["high"]
    # The baseline predicts the base rate of the training window for every row.
    assert metrics["baseline"]["roc_auc"] == 0.5
    assert metrics["model"]["log_loss"]["value"] < metrics["baseline"]["log_loss"]
    assert metrics["model"]["brier_score"]["high"] < metrics["baseline"]["brier_score"]
    assert metrics["clusters"] == {"unit": "day", "count": 31}


def test_slices_cover_the_holdout(reports: Path) -> None:
    slices = json.loads((reports / "slices.json").read_text(encoding="utf-8"))
    assert list(slices) == ["origin", "carrier"]
    assert list(slices["origin"]) == ["EWR", "JFK", "LGA"]
    for values in slices.values():
        assert sum(metrics["rows"] for metrics in values.values()) == 3_000
    assert all(metrics["roc_auc"]["low"] < metrics["roc_auc"]["high"] for metrics in slices["origin"].values())


def test_slice_of_one_class_has_no_roc_auc(model_copy: Path, prepared: Path, params: Make, tmp_path: Path) -> None:
    path = prepared / "holdout.parquet"
    table = pq.read_table(path)
    late = table.column("late").to_pylist()
    carriers = table.column("carrier").to_pylist()
    carriers[late.index(True)] = "Z9"
    pq.write_table(table.set_column(table.column_names.index("carrier"), "carrier", pa.array(carriers)), path)
    evaluate(params(), model_copy, path, tmp_path / "reports")
    metrics = json.loads((tmp_path / "reports/slices.json").read_text(encoding="utf-8"))["carrier"]["Z9"]
    assert metrics["rows"] == 1
    assert metrics["roc_auc"] == {"value": None, "low": None, "high": None}
    assert metrics["log_loss"]["value"] > 0


def test_importance_reflects_what_the_model_uses(reports: Path) -> None:
    importance = {row["column"]: float(row["roc_auc_lost"]) for row in rows(reports / "plots/importance.csv")}
    assert len(importance) == 18
    assert "flight_number" not in importance  # it only tells rows apart
    assert max(importance, key=lambda name: importance[name]) == "scheduled_departure"
    assert importance["scheduled_departure"] > 0.02


def test_plots(reports: Path) -> None:
    roc = [[float(r["false_positive_rate"]), float(r["true_positive_rate"])] for r in rows(reports / "plots/roc.csv")]
    assert roc[0] == [0, 0]
    assert roc[-1] == [1, 1]
    assert roc == sorted(roc)
    assert len(roc) <= 201
    metrics = json.loads((reports / "metrics.json").read_text(encoding="utf-8"))
    x, y = np.transpose(roc)
    assert np.trapezoid(y, x) == pytest.approx(metrics["model"]["roc_auc"]["value"], abs=0.005)

    precision = rows(reports / "plots/precision_recall.csv")
    assert float(precision[-1]["recall"]) == 1
    assert metrics["target"]["base_rate"] <= float(precision[-1]["precision"]) < float(precision[20]["precision"])

    calibration = rows(reports / "plots/calibration.csv")
    assert sum(int(row["rows"]) for row in calibration) == 3_000
    confusion = rows(reports / "plots/confusion.csv")
    assert sum(int(row["rows"]) for row in confusion) == 3_000
    assert (confusion[0]["actual"], confusion[0]["predicted"]) == ("late", "late")


def test_same_bytes_twice(reports: Path, model_copy: Path, prepared: Path, params: Make, tmp_path: Path) -> None:
    evaluate(params(), model_copy, prepared / "holdout.parquet", tmp_path / "again")
    files = [p.relative_to(reports) for p in reports.rglob("*") if p.is_file()]
    assert len(files) == 7
    for file in files:
        assert (reports / file).read_bytes() == (tmp_path / "again" / file).read_bytes()


def test_evaluating_onnx_imports_no_large_library(model_copy: Path, prepared: Path, tmp_path: Path) -> None:
    """Importing scikit-learn or pandas would take longer than the evaluation; of SciPy, only one module is needed."""
    write_params(tmp_path / "params.yaml")
    script = (
        "import sys; from pathlib import Path; from lifecycle.shared.params import load_params;"
        "from lifecycle.pipeline.evaluate import evaluate; a = [Path(x) for x in sys.argv[1:]];"
        "evaluate(load_params(a[0]), a[1], a[2], a[3]);"
        "print([m for m in ('pandas', 'sklearn', 'scipy.stats', 'mlflow') if m in sys.modules])"
    )
    arguments = [tmp_path / "params.yaml", model_copy, prepared / "holdout.parquet", tmp_path / "reports"]
    completed = run_with_example(sys.executable, "-c", script, *arguments)
    assert (completed.stdout.strip(), completed.returncode) == ("[]", 0)
