"""Changes of a proposal against the champion's commit: parameters, data, code and packages."""

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
from lifecycle.shared.params import Judge, Params
from lifecycle.shared.parts import part_range, row_count
from lifecycle.shared.text import foreign
from lifecycle.shared.yaml_text import parse_yaml
from model.features import NAMES

# Outputs of the pipeline, and files whose changes the report shows elsewhere.
_WRITTEN = (
    *(f":!{path}" for path in RECORDED),
    *(":!data.dvc", ":!params.yaml", ":!requirements", ":!.dvc/remote"),
)
_PINNED = re.compile(r"^([A-Za-z0-9_.-]+)==(\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Changes:
    """Changes of a proposal.

    Attributes:
        params: Name, old value and new value of each parameter that differs.
        parts: Part, number of training rows before and after; None if the part is not in that window.
        drift: Population stability index of each feature between the two training sets, the largest first.
        files: Path, added lines and removed lines of each changed file; None for a binary file.
        packages: Name, old version and new version of each changed package; None if a side does not have it.
    """

    params: list[tuple[str, Any, Any]]
    parts: list[tuple[str, int | None, int | None]]
    drift: list[tuple[str, float]]
    files: list[tuple[str, int | None, int | None]]
    packages: list[tuple[str, str | None, str | None]]


def changed_params(before: str, after: str) -> list[tuple[str, Any, Any]]:
    """Return the values that differ between two texts of params.yaml, by dotted name."""
    return _differing(_flat(parse_yaml(before)), _flat(parse_yaml(after)))


def changed_judge(before: Judge, after: Judge) -> list[tuple[str, Any, Any]]:
    """Return the values that differ between the judges of two commits, by dotted name."""
    fields = set(Judge.model_fields)
    return _differing(*(_flat(judge.model_dump(mode="json", include=fields)) for judge in (before, after)))


def changed_packages(before: str, after: str) -> list[tuple[str, str | None, str | None]]:
    """Return the versions that differ between two requirement files."""
    return _differing(dict(_PINNED.findall(before)), dict(_PINNED.findall(after)))


def changed_files(commit: str) -> list[tuple[str, int | None, int | None]]:
    """Return the files of the working tree that differ from a commit, except those that the report shows elsewhere."""
    output = git("diff", "--numstat", "-z", "--no-renames", commit, "--", ".", *_WRITTEN)
    files = []
    for line in filter(None, output.split("\0")):
        added, removed, path = line.split("\t", 2)
        files.append((path, None if added == "-" else int(added), None if removed == "-" else int(removed)))
    return files


def edited_objects(commit: str) -> list[str]:
    """Return a warning if stored data of a commit has changed or is gone.

    Objects of the embedded remote are named after their content, so that new data has new objects and leaves the others
    as they are.
    """
    edited = git(
        "diff", "--name-only", "-z", "--no-renames", "--diff-filter=MDT", "--merge-base", commit, "--", ".dvc/remote"
    )
    paths = list(filter(None, edited.split("\0")))
    if not paths:
        return []
    count = f"{len(paths):,} stored object{'s' if len(paths) > 1 else ''}"
    what = f"it changes or removes {count} in `.dvc/remote`, although each is named after its content"
    return [f"**This proposal edits data in place**: {what}. The first: {foreign(paths[0])}."]


def changed_parts(
    before: Path, window: Mapping[str, str], after: Path, params: Params
) -> list[tuple[str, int | None, int | None]]:
    """Return the number of rows by part of two training windows, each with its directory of data."""
    trained = part_range(window["first"], window["last"])
    champion_rows = {part: row_count([part], before) for part in trained}
    candidate_rows = {part: row_count([part], after) for part in params.window.parts()}
    return [
        (part, champion_rows.get(part), candidate_rows.get(part)) for part in sorted(champion_rows | candidate_rows)
    ]


def drift(metadata: Mapping[str, Any], prepared: Path = stage.PREPARED) -> list[tuple[str, float]]:
    """Compute the population stability index of each feature between the champion's training set and this one.

    Args:
        metadata: Content of the champion's metadata.json.
        prepared: Directory with the training features of the candidate.

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
    by_feature = [(name, psi(shares(before[name].counts), shares(counts[name]))) for name in NAMES]
    return sorted(by_feature, key=lambda feature: -feature[1])


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    names = sorted(before.keys() | after.keys())
    return [(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
