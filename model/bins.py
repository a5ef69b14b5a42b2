"""Bins of the features, fixed by the training data: how the inputs of a model in production are counted and compared.

A number is binned by the deciles of the training data, a category has a bin of its own.
"""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.features import CODED, NAMES, UNSEEN, Codes

# By feature: `labels` of the bins, and the `shares` of the training rows in each. Numbers have `edges`, too.
Bins = dict[str, dict[str, Any]]

_QUANTILES = np.arange(1, 10) / 10


def make_bins(matrix: NDArray[np.float32], codes: Codes) -> Bins:
    """The bins of each feature.

    Args:
        matrix: The features of the training data, of shape (rows, features).
        codes: For each category, the code that `features` gave it.

    Returns:
        For each feature, what `bin_numbers` needs and what the numbers mean.
    """
    bins: Bins = {}
    for position, name in enumerate(NAMES):
        if name in CODED:
            labels = ["unseen", *sorted(codes[name], key=lambda category: codes[name][category])]
            bins[name] = {"labels": labels}
        else:
            values = matrix[:, position]
            values = values[np.isfinite(values)]
            # Values that occur, so that a value which is frequent has a bin for itself. Without any there is one bin.
            edges = np.unique(np.quantile(values, _QUANTILES, method="inverted_cdf")) if len(values) else values
            # As many digits as tell them apart: two bins with one label would be counted as one.
            shown = [np.format_float_positional(edge, trim="-") for edge in edges.astype(np.float32)]
            between = [f"{low} to {high}" for low, high in pairwise(shown)]
            labels = [f"to {shown[0]}", *between, f"over {shown[-1]}"] if shown else ["any"]
            bins[name] = {"labels": [*labels, "missing"], "edges": [float(edge) for edge in edges]}
    numbers = bin_numbers(matrix, bins)
    for position, name in enumerate(NAMES):
        counts = np.bincount(numbers[:, position], minlength=len(bins[name]["labels"]))
        bins[name]["shares"] = [round(float(share), 6) for share in counts / max(len(matrix), 1)]
    return bins


def bin_numbers(matrix: NDArray[np.float32], bins: Bins) -> NDArray[np.intp]:
    """The number of the bin that each value falls into, of the matrix's shape."""
    numbers = np.empty(matrix.shape, dtype=np.intp)
    for position, (name, known) in enumerate(bins.items()):
        values = matrix[:, position]
        if name in CODED:
            numbers[:, position] = values - UNSEEN
        else:
            found = np.searchsorted(np.asarray(known["edges"], dtype=np.float32), values, side="left")
            numbers[:, position] = np.where(np.isnan(values), len(known["labels"]) - 1, found)
    return numbers
