"""A month that the champion has learnt, whose rows are known under another identity now."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from lifecycle.proposal.unrecognised import Unrecognised, unrecognised, unrecognised_in_words
from model import contract
from tests.lifecycle.shared.test_text import assert_harmless

Change = Callable[[pa.ChunkedArray], pa.ChunkedArray]


@pytest.fixture
def march(small: Path) -> pa.Table:
    return pq.read_table(small / "2013-03.parquet", columns=list(contract.IDENTITY))


def changed(table: pa.Table, name: str, change: Change) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, change(table.column(name)))


def together(one: pa.Table, other: pa.Table) -> pa.Table:
    return pa.concat_tables([one, other.cast(one.schema)])


def four_hours_later(times: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.add(times, pa.scalar(4 * 3_600_000, pa.duration("ms")))


def shuffled(table: pa.Table) -> pa.Table:
    return table.sort_by("flight_number")


@pytest.mark.parametrize(
    ("name", "change", "before", "after"),
    [
        ("carrier", pc.utf8_lower, "{}", "{lower}"),
        ("origin", lambda codes: pc.binary_join_element_wise("K", codes, ""), "{}", "K{}"),
        ("flight_number", lambda numbers: numbers.cast(pa.string()), "{} (INTEGER)", "{} (VARCHAR)"),
    ],
)
def test_the_column_that_differs_is_found(march: pa.Table, name: str, change: Change, before: str, after: str) -> None:
    found = unrecognised(march, shuffled(changed(march, name, change)))
    assert found is not None
    assert (found.rows, found.matched, found.column, found.matched_without) == (3_000, 0, name, 3_000)
    values = {str(value) for value in march.column(name).to_pylist()}
    assert (found.before, found.after) in {(before.format(v), after.format(v, lower=v.lower())) for v in values}


def test_a_time_zone_was_mended(march: pa.Table) -> None:
    """Flights have their number each day: the same day's belong together in the example."""
    found = unrecognised(march, shuffled(changed(march, "scheduled_departure", four_hours_later)))
    assert found is not None
    assert (found.matched, found.column, found.matched_without) == (0, "scheduled_departure", 3_000)
    times = pa.array([found.before, found.after]).cast(pa.timestamp("ms"))
    assert pc.subtract(times[1], times[0]).as_py().total_seconds() == 4 * 3_600


def test_a_time_with_a_zone_is_another_time(march: pa.Table) -> None:
    zoned = changed(march, "scheduled_departure", lambda times: times.cast(pa.timestamp("ms", "UTC")))
    found = unrecognised(march, zoned)
    assert found is not None
    assert found.column == "scheduled_departure"
    assert found.after.endswith("+00 (TIMESTAMP WITH TIME ZONE)")


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table,
        shuffled,
        lambda table: changed(table, "scheduled_departure", lambda times: times.cast(pa.timestamp("ns"))),
        lambda table: changed(table, "flight_number", lambda numbers: numbers.cast(pa.int64())),
        lambda table: table.slice(0, 1_500),
        # As many again of other flights.
        lambda table: together(table, changed(table, "carrier", pc.utf8_lower)),
        lambda table: table.slice(0, 0),
    ],
)
def test_rows_that_are_recognised(march: pa.Table, change: Callable[[pa.Table], pa.Table]) -> None:
    assert unrecognised(march, change(march)) is None


def test_a_champion_without_rows(march: pa.Table) -> None:
    assert unrecognised(march.slice(0, 0), march) is None


def test_no_single_column_explains_it(march: pa.Table) -> None:
    both = changed(changed(march, "carrier", pc.utf8_lower), "origin", pc.utf8_lower)
    found = unrecognised(march, both)
    assert found is not None
    assert (found.column, found.matched_without) == (None, 0)
    first = min(tuple(map(str, row.values())) for row in march.to_pylist())
    assert found.before.split(", ")[0] == first[0]
    assert found.after == found.before[:21] + found.before[21:].lower()


def test_a_few_rows_that_match_do_not_hide_it(march: pa.Table) -> None:
    """The example is of rows that do not, even where rows of the same flight do."""
    later = changed(march, "scheduled_departure", four_hours_later)
    found = unrecognised(march, together(march.slice(0, 1_000), later.slice(1_000)))
    assert found is not None
    assert 1_000 <= found.matched < 1_100
    assert (found.column, found.matched_without) == ("scheduled_departure", 3_000)
    assert found.before != found.after
    assert f"only {found.matched:,} of its 3,000 rows match by identity; they match without" in unrecognised_in_words(
        "2013-03", found
    )


def test_in_words() -> None:
    found = Unrecognised(29_425, 0, "carrier", 29_425, "UA", "ua")
    assert unrecognised_in_words("2013-07", found) == (
        "the champion's window includes `2013-07`, but none of its 29,425 rows matches by identity; "
        "they match without `carrier` (`UA` before, `ua` now)"
    )
    some = Unrecognised(29_425, 0, "carrier", 29_000, "UA", "ua")
    assert "; 29,000 match without `carrier`" in unrecognised_in_words("2013-07", some)
    none = Unrecognised(29_425, 0, None, 0, "@UA, 1", "<b>, 1")
    assert unrecognised_in_words("2013-07", none).endswith(
        "by identity, whichever identity column is left out (the first row is `@UA, 1` before, `<b>, 1` now)"
    )
    assert_harmless(unrecognised_in_words("@all", Unrecognised(1, 0, "a|`b", 1, "$x$", "[a](http://b)")))
