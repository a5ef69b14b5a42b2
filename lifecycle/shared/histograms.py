"""Histograms: the bins that the training data fixes, how many rows are in each, and how far two histograms are apart.

The bins are made by one rule, and two engines count into them. Feature matrices are counted here by NumPy, in training
and in the service. Months and logs are counted by DuckDB in distributions.py. A test holds both to the same counts.
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

# A number is binned by these quantiles of the training data: its vigintiles, its least and its greatest value.
_PARTS = 20
QUANTILES = tuple(part / _PARTS for part in range(_PARTS + 1))
# Of a category with more labels, the rarer ones count as unseen.
_MOST_LABELS = 1000
# What a share of 0 is taken for where its logarithm is needed; deploy/prometheus/rules.yml has it, too.
LEAST_SHARE = 1e-4


class Bins(Settings):
    """The bins of a number or of a category.

    A number has a bin for what is less than all of the training data, the bins between its edges, a bin for what is
    greater, and a bin for missing values. A category has a bin for each label, one for unseen values and one for
    missing ones. Where the training data has no value at all, there is a bin for any value and one for missing ones.

    Attributes:
        edges: Edges of a number, in ascending order: the least value, which belongs to the bin above it, and the
            greatest value of each bin between. The first two are equal where the least value has a bin for itself.
        labels: Labels of a category.
    """

    edges: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()

    @classmethod
    def of_number(cls, quantiles: Sequence[float]) -> "Bins":
        """The bins of a number. A value that fills several of them gets one for itself.

        Args:
            quantiles: For each of `QUANTILES`, the least finite value that so large a share of the finite values does
                not exceed; empty where there is no finite value.
        """
        return cls(edges=(*quantiles[:1], *sorted(set(quantiles[1:]))))

    @classmethod
    def of_category(cls, counts: Mapping[str, int]) -> "Bins":
        """The bins of a category, in alphabetical order.

        Args:
            counts: Number of rows by value, without the missing ones.
        """
        frequent = sorted(counts, key=lambda value: (-counts[value], value))[:_MOST_LABELS]
        return cls(labels=tuple(sorted(frequent)))

    @property
    def size(self) -> int:
        """The number of bins."""
        return len(self.edges) + len(self.labels) + 2

    def names(self) -> list[str]:
        """The names of the bins, in order. No two are the same, for each is a series of its own in the metrics."""
        if self.labels:
            return [*map(_label_name, self.labels), UNSEEN, MISSING]
        if not self.edges:
            return ["any", MISSING]
        shown = self.edge_names()
        between = [low if low == high else f"{low} to {high}" for low, high in pairwise(shown)]
        return [f"under {shown[0]}", *between, f"over {shown[-1]}", MISSING]

    def edge_names(self) -> list[str]:
        """The edges in digits, as the names of the bins have them."""
        return _in_digits(self.edges)


class Histogram(Settings):
    """How the rows of a feature are distributed.

    Attributes:
        bins: Bins that are counted.
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
    """The histogram of each feature, in the order of the matrix.

    Args:
        matrix: Features of the training data, of shape (rows, features).
        codes: For each category, the codes that stand for its values in the matrix.
    """
    found = {}
    for position, name in enumerate(NAMES):
        values, coded = matrix[:, position], codes.get(name)
        bins = make_feature_bins(values, coded)
        found[name] = Histogram(bins=bins, counts=tuple(count_values(values, bins, coded).tolist()))
    return found


def histograms_of(metadata: Mapping[str, Any]) -> dict[str, Histogram]:
    """The histogram of each feature, as metadata.json of a model folder holds them.

    Raises:
        UserError: If it holds none, in another form than this commit writes, or of other features.
    """
    try:
        # As JSON, in which a list is a tuple.
        found = _BY_FEATURE.validate_json(json.dumps(metadata.get("histograms")))
    except ValidationError:
        found = {}
    if list(found) != list(NAMES):
        raise UserError(
            "metadata.json of the model has no histograms of these features that this commit could read: another "
            "commit wrote it. `make` trains the model again."
        )
    return found


def make_feature_bins(values: NDArray[np.floating[Any]], codes: Mapping[str, int] | None = None) -> Bins:
    """The bins of a feature.

    Args:
        values: Values of the training data, of shape (rows,), NaN where one is missing.
        codes: For each label of a category, the number that stands for it among the values; None for a number.
    """
    if codes is not None:
        rows = np.bincount(values[values >= 0].astype(np.intp), minlength=len(codes))
        return Bins.of_category({label: int(rows[code]) for label, code in codes.items()})
    finite = np.sort(values[np.isfinite(values)])
    if not len(finite):
        return Bins()
    # In whole numbers, and not by np.quantile: 0.55 * 100 is more than 55 there, which is a row too far.
    ranks = -(-len(finite) * np.arange(_PARTS + 1) // _PARTS)
    return Bins.of_number(finite[np.maximum(ranks, 1) - 1].tolist())


def count_values(
    values: NDArray[np.floating[Any]], bins: Bins, codes: Mapping[str, int] | None = None
) -> NDArray[np.signedinteger[Any]]:
    """Count the values of a feature.

    Args:
        values: Values of shape (rows,), NaN where one is missing.
        bins: Bins to count into.
        codes: For each label of a category, the number that stands for it among the values, any other for an unseen
            one; None for a number. The codes need not be those of the data that the bins were made of.

    Returns:
        The number of values in each bin.
    """
    if codes is None:
        # NumPy's order has NaN behind infinity: beyond the bin over the last edge, in that of missing values.
        found = np.searchsorted((*bins.edges[1:], np.inf), values)
        if bins.edges:
            found += ~(values < bins.edges[0])
    else:
        unseen = len(bins.labels)
        places = dict(zip(bins.labels, range(unseen), strict=True))
        place_of_code = np.full(max(codes.values(), default=-1) + 2, unseen)  # the last one is of no code
        for label, code in codes.items():
            place_of_code[code] = places.get(label, unseen)
        known = (values >= 0) & (values < len(place_of_code))
        found = place_of_code[np.where(known, values, -1).astype(np.intp)]
        found[np.isnan(values)] = bins.size - 1
    return np.bincount(found, minlength=bins.size)


def shares(counts: ArrayLike) -> Shares:
    """Counts as shares of 1; of nothing, all are 0."""
    rows = np.asarray(counts)
    return np.asarray(rows / max(rows.sum(), 1))


def jensen_shannon(one: Shares, other: Shares) -> float:
    """The Jensen-Shannon distance with base 2, from 0 to 1 (Endres and Schindelin 2003)."""
    middle = (one + other) / 2
    divergence = 0.0
    for part in (one, other):
        some = part > 0
        divergence += float((part[some] * np.log2(part[some] / middle[some])).sum()) / 2
    return float(np.sqrt(max(divergence, 0.0)))


def psi(one: Shares, other: Shares) -> float:
    """The population stability index (Siddiqi 2006): from 0.1 on a small shift, from 0.25 on a large one.

    It adds up (p - q) ln(p / q) over the bins, where p and q are the shares of the two.
    """
    one, other = np.maximum(one, LEAST_SHARE), np.maximum(other, LEAST_SHARE)
    return float(((one - other) * np.log(one / other)).sum())


def kolmogorov_smirnov(one: Shares, other: Shares) -> float:
    """The largest difference of the cumulative shares at the edges of the bins, from 0 to 1."""
    return float(np.abs(np.cumsum(one - other)).max())


DISTANCES: Mapping[str, Callable[[Shares, Shares], float]] = {
    "jensen_shannon": jensen_shannon,
    "psi": psi,
    "kolmogorov_smirnov": kolmogorov_smirnov,
}

_BY_FEATURE = TypeAdapter(dict[str, Histogram])


def _label_name(label: str) -> str:
    """A label as the name of its bin: in quotes where it would be taken for another bin."""
    return f"'{label}'" if label.strip("'") in {MISSING, UNSEEN} else label


def _in_digits(edges: Sequence[float]) -> list[str]:
    """Edges in six digits, or in as many more as tell them apart."""
    for digits in range(6, 17):
        shown = [f"{edge + 0.0:.{digits}g}" for edge in edges]  # without the sign of -0.0
        if len(set(shown)) == len(set(edges)):
            return shown
    return [f"{edge + 0.0:.17g}" for edge in edges]
