"""Histograms: bins that the training data defines, the number of rows in each, and distances between histograms.

One rule makes the bins, and two engines count into them. NumPy counts feature matrices here, in training and in the
service. DuckDB counts data and logs in distributions.py. A test checks that both give the same counts.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import TypeAdapter, ValidationError, model_validator

from lifecycle.shared.columns import Codes
from lifecycle.shared.console import UserError
from lifecycle.shared.settings import Settings
from model.features import NAMES

Shares = NDArray[np.float64]

MISSING, UNSEEN = "missing", "unseen"

# The edges of a number's bins are these quantiles of the training data: the minimum, the vigintiles and the maximum.
_PARTS = 20
QUANTILES = tuple(part / _PARTS for part in range(_PARTS + 1))
# If a category has more labels, the rarest ones count as unseen.
_MOST_LABELS = 1000
# Replaces a share of 0 where its logarithm is needed. deploy/prometheus/rules.yml has the same value.
LEAST_SHARE = 1e-4


class Bins(Settings):
    """The bins of a number or of a category.

    A number has a bin for values below the minimum of the training data, the bins between its edges, a bin for values
    above the maximum, and a bin for missing values. A category has a bin for each label, one for unseen values and one
    for missing values. If the training data has no value at all, there is one bin for any value and one for missing
    values.

    Attributes:
        edges: Edges of a number, in ascending order: the minimum, which belongs to the bin above it, and the greatest
            value of each bin between minimum and maximum. The first two are equal if the minimum has its own bin.
        labels: Labels of a category.
    """

    edges: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()

    @classmethod
    def of_number(cls, quantiles: Sequence[float]) -> "Bins":
        """Make the bins of a number. A value that would fill several bins gets a bin of its own.

        Args:
            quantiles: For each share in `QUANTILES`, the least finite value that this share of the finite values does
                not exceed; empty if there is no finite value.
        """
        return cls(edges=(*quantiles[:1], *sorted(set(quantiles[1:]))))

    @classmethod
    def of_category(cls, counts: Mapping[str, int]) -> "Bins":
        """Make the bins of a category, in alphabetical order.

        Args:
            counts: Number of rows by value, without missing values.
        """
        frequent = sorted(counts, key=lambda value: (-counts[value], value))[:_MOST_LABELS]
        return cls(labels=tuple(sorted(frequent)))

    @property
    def size(self) -> int:
        """The number of bins."""
        return len(self.edges) + len(self.labels) + 2

    def names(self) -> list[str]:
        """Return the names of the bins, in order. They are unique, because each labels a series of a metric."""
        if self.labels:
            return [*map(_label_name, self.labels), UNSEEN, MISSING]
        if not self.edges:
            return ["any", MISSING]
        shown = self.edge_names()
        between = [low if low == high else f"{low} to {high}" for low, high in pairwise(shown)]
        return [f"under {shown[0]}", *between, f"over {shown[-1]}", MISSING]

    def edge_names(self) -> list[str]:
        """Return the edges in digits, as in the names of the bins."""
        return _in_digits(self.edges)


class Histogram(Settings):
    """The distribution of a feature.

    Attributes:
        bins: Bins of the feature.
        counts: Number of rows in each bin.
    """

    bins: Bins
    counts: tuple[int, ...]

    @model_validator(mode="after")
    def _has_a_count_for_each_bin(self) -> Self:
        if len(self.counts) != self.bins.size:
            raise ValueError(f"{len(self.counts)} counts for {self.bins.size} bins")
        return self


def feature_histograms(matrix: NDArray[np.float32], codes: Codes) -> dict[str, Histogram]:
    """Compute the histogram of each feature, in the order of the matrix.

    Args:
        matrix: Features of the training data, of shape (rows, features).
        codes: For each category, the code of each of its labels in the matrix.
    """
    histograms = {}
    for position, name in enumerate(NAMES):
        values, coded = matrix[:, position], codes.get(name)
        bins = make_feature_bins(values, coded)
        histograms[name] = Histogram(bins=bins, counts=tuple(count_values(values, bins, coded).tolist()))
    return histograms


def histograms_of(metadata: Mapping[str, Any]) -> dict[str, Histogram]:
    """Return the histogram of each feature from the metadata.json of a model directory.

    Raises:
        UserError: If it has none, or they are of other features or not in the format of this commit.
    """
    try:
        # Validated as JSON, because strict settings accept a list for a tuple only in JSON.
        histograms = _BY_FEATURE.validate_json(json.dumps(metadata.get("histograms")))
    except ValidationError:
        histograms = {}
    if list(histograms) != list(NAMES):
        raise UserError(
            "metadata.json of the model has no histograms of these features that this commit can read: "
            "another commit wrote it. `make` trains the model again."
        )
    return histograms


def make_feature_bins(values: NDArray[np.floating[Any]], codes: Mapping[str, int] | None = None) -> Bins:
    """Make the bins of a feature.

    Args:
        values: Values of the training data, of shape (rows,), NaN where one is missing.
        codes: The code of each label among the values of a category; None for a number.
    """
    if codes is not None:
        rows = np.bincount(values[values >= 0].astype(np.intp), minlength=len(codes))
        return Bins.of_category({label: int(rows[code]) for label, code in codes.items()})
    finite = np.sort(values[np.isfinite(values)])
    if not len(finite):
        return Bins()
    # Ranks in integers instead of np.quantile: in floating point 0.55 * 100 exceeds 55, which is one row too far.
    ranks = -(-len(finite) * np.arange(_PARTS + 1) // _PARTS)
    return Bins.of_number(finite[np.maximum(ranks, 1) - 1].tolist())


def count_values(
    values: NDArray[np.floating[Any]], bins: Bins, codes: Mapping[str, int] | None = None
) -> NDArray[np.signedinteger[Any]]:
    """Count the values of a feature.

    Args:
        values: Values of shape (rows,), NaN where one is missing.
        bins: Bins to count into.
        codes: The code of each label among the values of a category, where any other code is an unseen value; None for
            a number. The codes may differ from those of the data that the bins were made from.

    Returns:
        The number of values in each bin.
    """
    if codes is None:
        # NumPy sorts NaN after infinity, so that NaN falls into the last bin, that of missing values.
        positions = np.searchsorted((*bins.edges[1:], np.inf), values)
        if bins.edges:
            positions += ~(values < bins.edges[0])
    else:
        unseen = len(bins.labels)
        bin_of_label = dict(zip(bins.labels, range(unseen), strict=True))
        bin_of_code = np.full(max(codes.values(), default=-1) + 2, unseen)  # the last element is for any other code
        for label, code in codes.items():
            bin_of_code[code] = bin_of_label.get(label, unseen)
        is_code = (values >= 0) & (values < len(bin_of_code))
        positions = bin_of_code[np.where(is_code, values, -1).astype(np.intp)]
        positions[np.isnan(values)] = bins.size - 1
    return np.bincount(positions, minlength=bins.size)


def shares(counts: ArrayLike) -> Shares:
    """Convert counts to shares of their sum; if the sum is 0, all shares are 0."""
    rows = np.asarray(counts)
    return np.asarray(rows / max(rows.sum(), 1))


def jensen_shannon(p: Shares, q: Shares) -> float:
    """Compute the Jensen-Shannon distance with base 2, from 0 to 1 (Endres and Schindelin 2003)."""
    middle = (p + q) / 2
    divergence = 0.0
    for side in (p, q):
        positive = side > 0
        divergence += float((side[positive] * np.log2(side[positive] / middle[positive])).sum()) / 2
    return float(np.sqrt(max(divergence, 0.0)))


def psi(p: Shares, q: Shares) -> float:
    """Compute the population stability index (Siddiqi 2006): 0.1 or more is a small shift, 0.25 or more a large one.

    It is the sum of (p - q) ln(p / q) over the bins, with shares of at least `LEAST_SHARE`.
    """
    p, q = np.maximum(p, LEAST_SHARE), np.maximum(q, LEAST_SHARE)
    return float(((p - q) * np.log(p / q)).sum())


def kolmogorov_smirnov(p: Shares, q: Shares) -> float:
    """Compute the largest difference of the cumulative shares at the edges of the bins, from 0 to 1."""
    return float(np.abs(np.cumsum(p - q)).max())


DISTANCES: Mapping[str, Callable[[Shares, Shares], float]] = {
    "jensen_shannon": jensen_shannon,
    "psi": psi,
    "kolmogorov_smirnov": kolmogorov_smirnov,
}

_BY_FEATURE = TypeAdapter(dict[str, Histogram])


def _label_name(label: str) -> str:
    """Return a label as the name of its bin, in quotes if it would be the name of another bin."""
    return f"'{label}'" if label.strip("'") in {MISSING, UNSEEN} else label


def _in_digits(edges: Sequence[float]) -> list[str]:
    """Format edges with six significant digits, or with as many more as tell them apart."""
    for digits in range(6, 17):
        shown = [f"{edge + 0.0:.{digits}g}" for edge in edges]  # adding 0.0 turns -0.0 into 0.0
        if len(set(shown)) == len(set(edges)):
            return shown
    return [f"{edge + 0.0:.17g}" for edge in edges]
