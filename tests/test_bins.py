from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from model.bins import Bins, bin_numbers, make_bins
from model.features import CODED, NAMES, UNSEEN, Codes, Columns, features
from model.months import month_path, to_columns

NUMBERS = [name for name in NAMES if name not in CODED]
NOTHING_SEEN: Codes = {name: {} for name in CODED}


@pytest.fixture(scope="module")
def rows(small: Path) -> Columns:
    return to_columns(pq.read_table(month_path("2013-01", small)))


@pytest.fixture(scope="module")
def codes(rows: Columns) -> Codes:
    return {name: {category: code for code, category in enumerate(sorted(set(rows[name])))} for name in CODED}


@pytest.fixture(scope="module")
def matrix(rows: Columns, codes: Codes) -> NDArray[np.float32]:
    return features(rows, codes)


@pytest.fixture(scope="module")
def bins(matrix: NDArray[np.float32], codes: Codes) -> Bins:
    return make_bins(matrix, codes)


def with_values(name: str, values: list[float]) -> NDArray[np.float32]:
    """Rows with these values of a feature."""
    matrix = np.zeros((len(values), len(NAMES)), dtype=np.float32)
    matrix[:, NAMES.index(name)] = values
    return matrix


def labels_of(name: str, values: list[float], bins: Bins) -> list[str]:
    """The labels of the bins that values of a feature fall into."""
    numbers = bin_numbers(with_values(name, values), bins)[:, NAMES.index(name)]
    return [bins[name]["labels"][number] for number in numbers]


def test_every_feature_has_bins_whose_shares_are_all_rows(bins: Bins) -> None:
    assert list(bins) == list(NAMES)
    for known in bins.values():
        assert len(known["shares"]) == len(known["labels"]) == len(set(known["labels"]))
        assert sum(known["shares"]) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("name", NUMBERS)
def test_shares_of_a_number_are_as_numpy_counts_them(name: str, matrix: NDArray[np.float32], bins: Bins) -> None:
    values = matrix[:, NAMES.index(name)]
    there = values[~np.isnan(values)]
    edges = bins[name]["edges"]
    assert set(edges) <= set(there.tolist())
    between = np.histogram(there, np.nextafter([-np.inf, *edges, np.inf], np.inf))[0]
    expected = [*between, np.isnan(values).sum()]
    assert bins[name]["shares"] == pytest.approx(np.array(expected) / len(values), abs=1e-6)


@pytest.mark.parametrize("name", CODED)
def test_shares_of_a_category_are_as_counted(name: str, rows: Columns, bins: Bins) -> None:
    categories, counts = np.unique(rows[name].astype(str), return_counts=True)
    assert bins[name]["labels"] == ["unseen", *categories]
    assert bins[name]["shares"] == pytest.approx([0, *counts / len(rows[name])], abs=1e-6)


def test_deciles_of_a_number_without_ties() -> None:
    bins = make_bins(with_values("distance", list(np.arange(1.0, 101.0))), NOTHING_SEEN)
    assert bins["distance"]["edges"] == pytest.approx([10, 20, 30, 40, 50, 60, 70, 80, 90], abs=1)
    assert bins["distance"]["shares"] == pytest.approx([*[0.1] * 10, 0], abs=0.011)
    labels = bins["distance"]["labels"]
    assert labels[:2] == ["to 10", "10 to 20"]
    assert labels[-2:] == ["over 90", "missing"]
    # An edge belongs to the bin below it.
    beyond = float(np.nextafter(np.float32(10), np.float32(11)))
    assert labels_of("distance", [-1e9, 10, beyond, 90, 91, float("inf")], bins) == [
        *("to 10", "to 10", "10 to 20"),
        *(labels[8], "over 90", "over 90"),
    ]


def test_frequent_value_has_a_bin_for_itself(bins: Bins) -> None:
    """On most days there is no rain: the share of dry hours must not be spread over other bins."""
    dry = bins["precipitation"]["labels"].index("to 0")
    assert bins["precipitation"]["shares"][dry] > 0.8
    assert labels_of("precipitation", [0, 0.01], bins) == ["to 0", "over 0"]


def test_missing_and_unseen_have_their_bins(bins: Bins) -> None:
    assert labels_of("wind_gust", [float("nan")], bins) == ["missing"]
    assert bins["wind_gust"]["shares"][-1] > 0.5
    assert labels_of("carrier", [UNSEEN, 0], bins) == ["unseen", bins["carrier"]["labels"][1]]


def test_constant_and_empty_features() -> None:
    constant = make_bins(with_values("distance", [7.0] * 20), NOTHING_SEEN)
    assert constant["distance"]["labels"] == ["to 7", "over 7", "missing"]
    assert constant["distance"]["shares"] == [1, 0, 0]
    assert labels_of("distance", [6, 7, 8], constant) == ["to 7", "to 7", "over 7"]
    empty = make_bins(with_values("distance", [float("nan")] * 20), NOTHING_SEEN)
    assert empty["distance"]["labels"] == ["any", "missing"]
    assert empty["distance"]["shares"] == [0, 1]
    assert labels_of("distance", [5, float("nan")], empty) == ["any", "missing"]


def test_every_bin_has_a_label_of_its_own_where_the_values_are_close() -> None:
    """Edges that differ in the seventh digit only; two bins of one name would be one series in the metrics."""
    values = [1_000_000 + 0.5 * number for number in range(100)]
    bins = make_bins(with_values("distance", values), NOTHING_SEEN)
    labels = bins["distance"]["labels"]
    assert len(set(labels)) == len(labels)


def test_any_month_falls_into_the_bins_of_another(bins: Bins, codes: Codes, small: Path) -> None:
    later = features(to_columns(pq.read_table(month_path("2013-04", small))), codes)
    numbers = bin_numbers(later, bins)
    assert numbers.shape == later.shape
    assert (numbers >= 0).all()
    assert (numbers < [len(known["labels"]) for known in bins.values()]).all()
    # April is warmer than January.
    temperatures = np.bincount(numbers[:, NAMES.index("temperature")], minlength=11) / len(later)
    assert temperatures[9] > 2 * bins["temperature"]["shares"][9]
