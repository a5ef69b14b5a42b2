"""The plots in one picture: MLflow's pages show pictures, and not the Vega that `dvc plots` makes."""

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

_CURVES = (
    ("roc", "false_positive_rate", "true_positive_rate"),
    ("precision_recall", "recall", "precision"),
    ("calibration", "predicted", "observed"),
)


def draw(folder: Path) -> Figure:
    """Draw what `evaluate` wrote to its folder of plots."""
    plots = {path.stem: pd.read_csv(path) for path in folder.glob("*.csv")}
    figure = Figure(figsize=(15, 9), layout="constrained")
    axes = figure.subplots(2, 3)
    for axis, (name, x, y) in zip(axes[0], _CURVES, strict=True):
        axis.plot(plots[name][x], plots[name][y], marker="o" if name == "calibration" else "")
        axis.set(title=_words(name), xlabel=_words(x), ylabel=_words(y), xlim=(0, 1), ylim=(0, 1))
        if name != "precision_recall":
            axis.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":")
    for axis, column in zip(axes[1], ("roc_auc_lost", "log_loss_gained"), strict=False):
        importance = plots["importance"].sort_values(column)
        axis.barh(importance["column"], importance[column])
        axis.set(title="permutation importance", xlabel=_words(column))
    _draw_confusion(axes[1, 2], plots["confusion"])
    return figure


def _draw_confusion(axis: Any, confusion: pd.DataFrame) -> None:
    counts = confusion.pivot_table(index="actual", columns="predicted", values="rows")
    axis.imshow(counts, cmap="Blues")
    axis.set(title="confusion", xlabel="predicted", ylabel="actual")
    axis.set_xticks(range(len(counts.columns)), counts.columns)
    axis.set_yticks(range(len(counts.index)), counts.index)
    for row, values in enumerate(counts.to_numpy()):
        for column, count in enumerate(values):
            colour = "white" if count > counts.to_numpy().max() / 2 else "black"
            axis.text(column, row, f"{count:,.0f}", ha="center", va="center", color=colour)


def _words(name: str) -> str:
    return name.replace("_", " ")
