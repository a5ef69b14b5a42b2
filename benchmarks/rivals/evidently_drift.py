"""Evidently on data frames, with the task of the check."""

import sys
from importlib.metadata import version
from pathlib import Path

import pandas as pd
from evidently import BinaryClassification, DataDefinition, Dataset, Report
from evidently.metrics import LogLoss, MissingValueCount, OutListValueCount, OutRangeValueCount, RocAuc
from evidently.presets import DataDriftPreset

from benchmarks.answer import answer
from model import contract

PROBABILITY = "probability"
THRESHOLD = 0.1


def main(folder: Path) -> None:
    """Compare two data frames: drift, missing and unknown values, metrics of labelled rows."""
    numbers = [column.name for column in contract.INPUTS if column.type in {"integer", "number"}]
    categories = [column.name for column in contract.INPUTS if column.type == "category"]
    live, reference = (pd.read_parquet(path) for path in (folder / "typed/rows.parquet", folder / "reference.parquet"))
    definition = DataDefinition(
        numerical_columns=[*numbers, PROBABILITY],
        categorical_columns=categories,
        classification=[BinaryClassification(target=contract.TARGET.name, prediction_probas=PROBABILITY)],
    )
    bounds = reference[numbers].agg(["min", "max"])
    column_metrics = [
        DataDriftPreset(columns=[*numbers, *categories, PROBABILITY], method="jensenshannon", threshold=THRESHOLD),
        *(MissingValueCount(column=name) for name in [*numbers, *categories]),
        *(OutRangeValueCount(column=name, left=bounds[name]["min"], right=bounds[name]["max"]) for name in numbers),
        *(OutListValueCount(column=name, values=[*reference[name].unique()]) for name in categories),
    ]
    labelled = live[live[contract.TARGET.name].notna()].astype({contract.TARGET.name: int})
    dataset = Dataset.from_pandas(live, data_definition=definition)
    report = Report(column_metrics).run(dataset, Dataset.from_pandas(reference, data_definition=definition)).dict()
    drifts = {
        metric["config"]["column"]: metric["value"]
        for metric in report["metrics"]
        if "ValueDrift" in metric["metric_name"]
    }
    Report([RocAuc(), LogLoss()]).run(Dataset.from_pandas(labelled, data_definition=definition)).dict()
    drifted = sorted(name for name, distance in drifts.items() if distance > THRESHOLD)
    answer(len(live), drifted, version("evidently"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
