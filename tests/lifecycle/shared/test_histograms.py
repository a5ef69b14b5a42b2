import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lifecycle.shared import distributions
from lifecycle.shared.columns import Codes, Columns
from lifecycle.shared.console import UserError
from lifecycle.shared.histograms import (
    Bins,
    Histogram,
    count_values,
    feature_histograms,
    histograms_of,
    jensen_shannon,
    kolmogorov_smirnov,
    make_feature_bins,
    psi,
    shares,
)
from lifecycle.shared.parts import part_files
from lifecycle.shared.tables import ARROW_SCHEMA, to_columns
from model import contract
from model.features import CODED, NAMES, UNSEEN, features

NUMBERS = [name for name in NAMES if name not in CODED]


@pytest.fixture(scope="module")
def rows(small: Path) -> Columns:
    return to_columns(pq.read_table(part_files("2013-01", small)[0]))


@pytest.fixture(scope="module")
def codes(rows: Columns) -> Codes:
    return {name: {category: code for code, category in enumerate(sorted(set(rows[name])))} for name in CODED}


@pytest.fixture(scope="module")
def matrix(rows: Columns, codes: Codes) -> NDArray[np.float32]:
    return features(rows, codes)


@pytest.fixture(scope="module")
def histograms(matrix: NDArray[np.float32], codes: Codes) -> dict[str, Histogram]:
    return feature_histograms(matrix, codes)


def numbers(values: Sequence[float]) -> NDArray[np.float32]:
    return np.array(values, dtype=np.float32)


def names_of(values: Sequence[float], bins: Bins, codes: dict[str, int] | None = None) -> list[str]:
    """Return the name of the bin that each value falls into."""
    return [bins.names()[int(np.argmax(count_values(numbers([value]), bins, codes)))] for value in values]


def test_every_feature_is_counted_in_bins_with_unique_names(histograms: dict[str, Histogram], rows: Columns) -> None:
    assert list(histograms) == list(NAMES)
    for histogram in histograms.values():
        names = histogram.bins.names()
        assert len(histogram.counts) == len(names) == len(set(names)) == histogram.bins.size
        assert sum(histogram.counts) == len(rows["carrier"])


@pytest.mark.parametrize("name", NUMBERS)
def test_number_is_counted_as_numpy_counts_it(
    name: str, matrix: NDArray[np.float32], histograms: dict[str, Histogram]
) -> None:
    values = matrix[:, NAMES.index(name)]
    present = values[~np.isnan(values)]
    edges = histograms[name].bins.edges
    assert set(edges) <= set(present.tolist())
    assert (edges[0], edges[-1]) == (present.min(), present.max())
    between = np.histogram(present, np.nextafter([*edges], [-np.inf] + [np.inf] * (len(edges) - 1)))[0]
    assert histograms[name].counts == (0, *between, 0, np.isnan(values).sum())


@pytest.mark.parametrize("name", CODED)
def test_category_is_counted_by_its_values(name: str, rows: Columns, histograms: dict[str, Histogram]) -> None:
    categories, expected = np.unique(rows[name].astype(str), return_counts=True)
    assert histograms[name].bins.names() == [*categories, "unseen", "missing"]
    assert histograms[name].counts == (*expected, 0, 0)


def test_vigintiles_of_a_number_without_ties() -> None:
    bins = make_feature_bins(np.arange(1.0, 101.0))
    assert bins.edges == (1, *range(5, 101, 5))
    names = bins.names()
    assert names[:3] == ["under 1", "1 to 5", "5 to 10"]
    assert names[-3:] == ["95 to 100", "over 100", "missing"]
    assert count_values(np.arange(1.0, 101.0), bins).tolist() == [0, *[5] * 20, 0, 0]
    # The least value belongs to the bin above it, any other edge to the bin below.
    below, above = (float(np.nextafter(np.float32(edge), np.float32(to))) for edge, to in ((1, 0), (5, 6)))
    assert names_of([-np.inf, below, 1, 5, above, 100, 101, np.inf, np.nan], bins) == [
        *("under 1", "under 1", "1 to 5", "1 to 5", "5 to 10", "95 to 100"),
        *("over 100", "over 100", "missing"),
    ]


def test_frequent_value_has_a_bin_of_its_own(histograms: dict[str, Histogram]) -> None:
    """Most hours are without rain: their share must not be spread over several bins."""
    bins = histograms["precipitation"].bins
    dry = bins.names().index("0")
    assert shares(histograms["precipitation"].counts)[dry] > 0.8
    assert names_of([-0.001, 0, -0.0, 0.001], bins) == ["under 0", "0", "0", bins.names()[dry + 1]]


def test_missing_and_unseen_have_their_bins(histograms: dict[str, Histogram], codes: Codes) -> None:
    assert names_of([float("nan")], histograms["wind_gust"].bins) == ["missing"]
    assert shares(histograms["wind_gust"].counts)[-1] > 0.5
    bins = histograms["carrier"].bins
    assert names_of([UNSEEN, 0, np.nan, 1e9], bins, dict(codes["carrier"])) == [
        *("unseen", bins.labels[0], "missing", "unseen"),
    ]


def test_constant_and_empty_columns() -> None:
    constant = make_feature_bins(numbers([7] * 20))
    assert constant.names() == ["under 7", "7", "over 7", "missing"]
    assert names_of([6, 7, 8], constant) == ["under 7", "7", "over 7"]
    for empty in (
        make_feature_bins(numbers([np.nan, np.inf])),
        make_feature_bins(numbers([])),
        make_feature_bins(numbers([UNSEEN]), {}),
    ):
        assert empty.names() == ["any", "missing"]
        assert names_of([5, np.inf, np.nan], empty) == ["any", "any", "missing"]
        assert names_of([UNSEEN, 3, np.nan], empty, {"of another training": 3}) == ["any", "any", "missing"]


def test_references_of_older_commits_are_counted_as_they_were() -> None:
    """Their first edge is the largest number below the minimum."""
    older, now = Bins(edges=(float(np.nextafter(7, 0)), 7, 9)), make_feature_bins(numbers([7, 7, 9]))
    values = numbers([6, 7, 8, 9, 10, np.nan])
    assert count_values(values, older).tolist() == count_values(values, now).tolist() == [1, 1, 2, 1, 1]
    assert len(set(older.names())) == older.size


def test_rarest_of_too_many_labels_count_as_unseen() -> None:
    bins = Bins.of_category({f"{number:04}": 3 - number % 2 for number in range(2_000)} | {"z": 2})
    assert bins.labels == tuple(f"{number:04}" for number in range(0, 2_000, 2))


def test_names_of_bins_are_short_and_unique() -> None:
    """Two bins of one name would be a single series in the metrics."""
    assert make_feature_bins(numbers([0.1, 0.2])).names() == ["under 0.1", "0.1", "0.1 to 0.2", "over 0.2", "missing"]
    close = make_feature_bins(numbers([1_000_000 + 0.5 * number for number in range(100)])).names()
    assert close[:2] == ["under 1000000", "1000000 to 1000002"]
    assert len(set(close)) == len(close)
    assert Bins.of_category({"missing": 3, "'unseen'": 2, "x": 1}).names() == [
        *("''unseen''", "'missing'", "x", "unseen", "missing"),
    ]


@given(st.lists(st.floats(width=32)), st.lists(st.floats()), st.sets(st.text("'misgunse")))
def test_names_of_bins_are_unique(narrow: list[float], wide: list[float], labels: set[str]) -> None:
    for bins in (
        make_feature_bins(numbers(narrow)),
        make_feature_bins(np.array(wide)),
        Bins.of_category(dict.fromkeys(labels, 1)),
    ):
        assert len(set(bins.names())) == bins.size


CONNECTION = duckdb.connect(config={"threads": 1})
# Values that get a bin of their own, are close to one another, or are not finite.
SPECIAL = [0.0, -0.0, 1.0, float(np.nextafter(np.float32(1), np.float32(2))), 2.0, np.nan, np.inf, -np.inf]
VALUES = st.lists(st.sampled_from(SPECIAL) | st.floats(width=32), max_size=60)
TEXTS = st.lists(st.sampled_from(["UA", "AA", "", "missing"]) | st.text(max_size=2) | st.none(), max_size=60)


def in_duckdb(column: str, values: Sequence[float | str | None]) -> duckdb.DuckDBPyRelation:
    """Return rows of the contract with these values in one column and the examples in all others."""
    table = {distributions.PREDICTION: pa.array([0.5] * len(values), pa.float32())}
    for declared in contract.INPUTS:
        example = datetime.fromisoformat(str(declared.example)) if declared.type == "timestamp" else declared.example
        cells = values if declared.name == column else [example] * len(values)
        table[declared.name] = pa.array(cells, ARROW_SCHEMA.field(declared.name).type)
    return CONNECTION.from_arrow(pa.table(table))


@settings(deadline=None, max_examples=50)
@given(VALUES, VALUES)
def test_both_engines_make_and_count_the_same_bins_of_a_number(known: list[float], more: list[float]) -> None:
    bins, of_duckdb = make_feature_bins(numbers(known)), distributions.make_variable_bins(in_duckdb("distance", known))
    assert of_duckdb["distance"] == bins
    with np.errstate(over="ignore", under="ignore"):
        neighbours = [np.nextafter(numbers(known), np.float32(to)).tolist() for to in (-np.inf, np.inf)]
    values = [*more, *known, *neighbours[0], *neighbours[1]]
    expected = distributions.count_distributions(in_duckdb("distance", values), of_duckdb).counts["distance"]
    assert tuple(count_values(numbers(values), bins).tolist()) == expected
    assert sum(expected) == len(values)


@settings(deadline=None, max_examples=50)
@given(TEXTS, TEXTS)
def test_both_engines_make_and_count_the_same_bins_of_a_category(
    known: list[str | None], more: list[str | None]
) -> None:
    def codes_of(values: list[str | None]) -> dict[str, int]:
        return {label: code for code, label in enumerate(sorted({value for value in values if value is not None}))}

    def coded(values: list[str | None], codes: dict[str, int]) -> NDArray[np.float32]:
        return numbers([np.nan if value is None else codes.get(value, UNSEEN) for value in values])

    codes, all_values = codes_of(known), [*more, *known]
    bins, of_duckdb = (
        make_feature_bins(coded(known, codes), codes),
        distributions.make_variable_bins(in_duckdb("carrier", known)),
    )
    assert of_duckdb["carrier"] == bins
    expected = distributions.count_distributions(in_duckdb("carrier", all_values), of_duckdb).counts["carrier"]
    # With the codes of this training data, and with those of data that has more categories.
    for other in (codes, codes_of(all_values)):
        assert tuple(count_values(coded(all_values, other), bins, other).tolist()) == expected
    assert sum(expected) == len(all_values)


def test_any_month_falls_into_the_bins_of_another(histograms: dict[str, Histogram], codes: Codes, small: Path) -> None:
    """April is warmer than January."""
    later = features(to_columns(pq.read_table(part_files("2013-04", small)[0])), codes)
    known = histograms["temperature"]
    warm = slice(known.bins.size - 4, -1)  # the two warmest bins of January, and the one above
    april = shares(count_values(later[:, NAMES.index("temperature")], known.bins))
    assert april[warm].sum() > 3 * shares(known.counts)[warm].sum()


def test_histograms_survive_json(histograms: dict[str, Histogram]) -> None:
    dumped = {name: histogram.model_dump() for name, histogram in histograms.items()}
    assert histograms_of(json.loads(json.dumps({"histograms": dumped}))) == histograms


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"bins": {"distance": {"labels": ["to 7", "over 7", "missing"], "edges": [7.0], "shares": [1, 0, 0]}}},
        {"histograms": {"distance": {"bins": {"edges": [7.0, 7.0]}, "counts": [0, 1, 0, 0]}}},
    ],
)
def test_histograms_of_another_commit_are_refused(metadata: dict[str, object]) -> None:
    with pytest.raises(UserError, match="another commit wrote it"):
        histograms_of(metadata)


@pytest.mark.parametrize(
    "change",
    [{"counts": [1, 2, 3]}, {"bins": {"edges": ["7", 7.0]}}, {"bins": {"edges": [7.0, 7.0], "shown": "7"}}],
)
def test_histograms_are_read_strictly(change: dict[str, object]) -> None:
    form: dict[str, object] = {"bins": {"edges": [7.0, 7.0]}, "counts": [0, 1, 0, 0]}
    assert list(histograms_of({"histograms": dict.fromkeys(NAMES, form)})) == list(NAMES)
    with pytest.raises(UserError, match="another commit wrote it"):
        histograms_of({"histograms": dict.fromkeys(NAMES, form) | {"distance": form | change}})


def test_distances_have_known_answers() -> None:
    same, half, other = np.array([0.5, 0.5]), np.array([1.0, 0.0]), np.array([0.0, 1.0])
    for distance in (psi, jensen_shannon, kolmogorov_smirnov):
        assert distance(same, same) == 0
        assert distance(same, other) == pytest.approx(distance(other, same))
    assert psi(np.array([0.2, 0.8]), np.array([0.4, 0.6])) == pytest.approx(0.2 * np.log(2) - 0.2 * np.log(0.75))
    assert psi(half, other) == pytest.approx(2 * 0.9999 * np.log(10_000))
    assert jensen_shannon(half, other) == 1
    assert jensen_shannon(same, half) == pytest.approx(0.5579, abs=1e-4)
    assert kolmogorov_smirnov(half, other) == 1
    assert kolmogorov_smirnov(same, half) == 0.5


def test_shares_of_no_rows_are_zero() -> None:
    assert shares((1, 3, 0)).tolist() == [0.25, 0.75, 0]
    assert shares((0, 0)).tolist() == [0, 0]


def test_parts_add_up_to_the_whole(small: Path) -> None:
    months = [CONNECTION.read_parquet(str(part_files(month, small)[0])) for month in ("2013-01", "2013-02", "2013-04")]
    january, *_ = scored = [month.project(f"*, 0.25 AS {distributions.PREDICTION}") for month in months]
    bins = distributions.make_variable_bins(january)
    rows = scored[0].union(scored[1]).union(scored[2])
    whole = distributions.count_distributions(rows, bins)
    parts = distributions.count_parts(rows, bins, "month(scheduled_departure)")
    assert [*parts] == [1, 2, 4]
    assert parts[2] == distributions.count_distributions(scored[1], bins)
    merged = distributions.merge([*parts.values()])
    assert (merged.rows, merged.counts) == (whole.rows, whole.counts)
    assert any(values for values in merged.unseen.values())
    for name, moments in whole.moments.items():
        assert merged.moments[name].model_dump() == pytest.approx(moments.model_dump())
