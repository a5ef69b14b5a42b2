import duckdb
import numpy as np
import pyarrow as pa
import pytest

from lifecycle.shared.clusters import cluster_sql, count_in_words, find_clusters, group_sql, intraclass_correlation
from model import contract

TABLE = pa.table(
    {
        "scheduled_departure": pa.array(
            np.array(["2013-07-01T00", "2013-07-01T23", "2013-07-02T00", "2013-07-03T12"], "datetime64[ms]")
        ),
        "carrier": ["UA", "UA", None, None],
        "flight_number": [7, 8, 7, 8],
    }
)


def same(numbers: np.ndarray) -> list[list[int]]:
    """Return, for each cluster, the rows that share it."""
    return [np.flatnonzero(numbers == number).tolist() for number in dict.fromkeys(numbers.tolist())]


@pytest.mark.parametrize(
    ("named", "unit", "shared"),
    [
        (("scheduled_departure", None, None), "day", [[0, 1], [2], [3]]),
        ((None, "flight_number", None), "flight_number", [[0, 2], [1, 3]]),
        ((None, None, None), "row", [[0], [1], [2], [3]]),
        # The partition with fewer clusters: two numbers against three days.
        (("scheduled_departure", "flight_number", None), "flight_number", [[0, 2], [1, 3]]),
        # A row with a missing value is a cluster of its own, so that there are no fewer carriers than days.
        (("scheduled_departure", "carrier", None), "day", [[0, 1], [2], [3]]),
        (("scheduled_departure", "flight_number", "day"), "day", [[0, 1], [2], [3]]),
        (("scheduled_departure", None, "row"), "row", [[0], [1], [2], [3]]),
        (("scheduled_departure", None, "carrier"), "carrier", [[0, 1], [2], [3]]),
    ],
)
def test_the_clusters_that_the_contract_names(
    named: tuple[str | None, str | None, str | None],
    unit: str,
    shared: list[list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in zip(("TIME", "GROUP", "CLUSTER"), named, strict=True):
        monkeypatch.setattr(contract, name, value)
    clusters = find_clusters(TABLE)
    assert (clusters.unit, same(clusters.numbers), clusters.count) == (unit, shared, len(shared))
    with duckdb.connect() as connection:
        expressions = ", ".join(
            f'{group_sql(sql)} AS "{name}"' for name, sql in cluster_sql("flight_number + 10").items()
        )
        groups = connection.from_arrow(TABLE).project(expressions).fetchnumpy()
    counted = {name: len(np.unique(numbers)) for name, numbers in groups.items()}
    assert all(0 <= number < 100 for numbers in groups.values() for number in numbers)
    assert unit in counted
    if unit != "row":
        assert same(groups[unit])[0] == shared[0]


def test_in_words() -> None:
    assert count_in_words("day", 31) == "31 days"
    assert count_in_words("row", 1) == "1 row"
    assert count_in_words("customer", 1_200) == "1,200 values of customer"


@pytest.mark.parametrize("correlation", [0.0, 0.05, 0.3, 0.9])
def test_rows_of_a_cluster_are_as_much_alike_as_they_were_made(correlation: float) -> None:
    """Numbers whose variance is partly that of their cluster, in 90 clusters of which two or three share a group."""
    random, found = np.random.default_rng(0), []
    for _ in range(200):
        sizes = random.integers(20, 80, 90)
        of_cluster = random.normal(size=90) * np.sqrt(correlation)
        values = np.repeat(of_cluster, sizes) + random.normal(size=sizes.sum()) * np.sqrt(1 - correlation)
        edges = np.linspace(-2, 2, 30)
        groups, bins = np.repeat(np.arange(90) % 40, sizes), np.searchsorted(edges, values)
        counts = np.zeros((40, 31))
        np.add.at(counts, (groups, bins), 1)
        scores = np.r_[edges[0], edges][:, None]
        found.append(intraclass_correlation(counts, scores, float((sizes**2).sum() / sizes.sum())))
    assert np.mean(found) == pytest.approx(correlation, abs=0.06)
