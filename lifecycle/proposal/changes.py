"""What a proposal changes against the champion's commit: parameters, data, code, dependencies."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from lifecycle.pipeline import stage
from lifecycle.pipeline.track import RECORDED
from lifecycle.shared.commands import git
from lifecycle.shared.console import UserError
from lifecycle.shared.histograms import count_values, histograms_of, psi, shares
from lifecycle.shared.months import month_path, month_range, open_month
from lifecycle.shared.params import Judge, Params
from lifecycle.shared.yaml_text import parse_yaml
from model.features import NAMES

# What the pipeline writes, and what is compared by itself.
_WRITTEN = (
    *(f":!{path}" for path in RECORDED),
    *(":!data.dvc", ":!params.yaml", ":!requirements", ":!.dvc/remote"),
)
_PINNED = re.compile(r"^([A-Za-z0-9_.-]+)==(\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Changes:
    """What a proposal changes.

    Attributes:
        params: Name, value before and value after, of each parameter that differs.
        months: Rows before and after by month of training; None where it has no part in it.
        drift: Population stability index of each feature between the two training sets, the largest first.
        files: Path, lines added and lines removed; None for a binary file.
        packages: Name, version before and version after; None where it has none.
    """

    params: list[tuple[str, Any, Any]]
    months: list[tuple[str, int | None, int | None]]
    drift: list[tuple[str, float]]
    files: list[tuple[str, int | None, int | None]]
    packages: list[tuple[str, str | None, str | None]]


def changed_params(before: str, after: str) -> list[tuple[str, Any, Any]]:
    """The differing values of two params.yaml, by dotted name."""
    return _differing(_flat(parse_yaml(before)), _flat(parse_yaml(after)))


def changed_judge(before: Judge, after: Judge) -> list[tuple[str, Any, Any]]:
    """The differing values of what two commits judge by, by dotted name."""
    fields = set(Judge.model_fields)
    return _differing(*(_flat(one.model_dump(mode="json", include=fields)) for one in (before, after)))


def changed_packages(before: str, after: str) -> list[tuple[str, str | None, str | None]]:
    """The differing versions of two requirement files."""
    return _differing(dict(_PINNED.findall(before)), dict(_PINNED.findall(after)))


def changed_files(commit: str) -> list[tuple[str, int | None, int | None]]:
    """The files of the working tree that differ from a commit's, beside those that have a table of their own."""
    said = git("diff", "--numstat", "-z", "--no-renames", commit, "--", ".", *_WRITTEN)
    found = []
    for line in filter(None, said.split("\0")):
        added, removed, path = line.split("\t", 2)
        found.append((path, None if added == "-" else int(added), None if removed == "-" else int(removed)))
    return found


def changed_months(
    before: Path, window: Mapping[str, str], after: Path, params: Params
) -> list[tuple[str, int | None, int | None]]:
    """Rows by month of two training windows, each in its folder of months."""
    theirs = {month: _rows(month, before) for month in _window(window)}
    ours = {month: _rows(month, after) for month in params.window.months()}
    return [(month, theirs.get(month), ours.get(month)) for month in sorted(theirs | ours)]


def drift(metadata: Mapping[str, Any], prepared: Path = stage.PREPARED) -> list[tuple[str, float]]:
    """Population stability index between the champion's training set and this one, by feature.

    Args:
        metadata: metadata.json of the champion.
        prepared: Folder with the training features of this one.

    Returns:
        Feature and index, the largest first; empty if the champion has other features, or its commit wrote their
        histograms in another form.
    """
    try:
        before = histograms_of(metadata)
    except UserError:
        return []
    codes = json.loads((prepared / "codes.json").read_text(encoding="utf-8"))
    counts = {name: np.zeros(histogram.bins.size) for name, histogram in before.items()}
    for batch in pq.ParquetFile(prepared / "train.parquet").iter_batches(columns=list(NAMES)):
        for name, column in zip(NAMES, batch.columns, strict=True):
            values = column.to_numpy(zero_copy_only=False)
            counts[name] += count_values(values, before[name].bins, codes.get(name))
    found = [(name, psi(shares(before[name].counts), shares(counts[name]))) for name in NAMES]
    return sorted(found, key=lambda one: -one[1])


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    names = sorted(before.keys() | after.keys())
    return [(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


def _window(window: Mapping[str, str]) -> list[str]:
    return month_range(window["first"], window["last"])


def _rows(month: str, folder: Path) -> int:
    return int(open_month(month_path(month, folder)).metadata.num_rows)
