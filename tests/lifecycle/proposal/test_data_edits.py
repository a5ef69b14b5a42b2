"""Changes of existing data in a proposal: known answers, and a comparison with a slow reference."""

import math
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.proposal.data_edits import Example, PeriodEdits, data_edits, edits_headline, render_edits
from lifecycle.shared.console import UserError
from model import contract
from tests.lifecycle.shared.test_text import assert_harmless

MONTH = "2013-03"
# The identities of the rows in the small tables of these tests.
IDENTITY = [(datetime(2013, 3, 1, 6), "UA", number, "EWR") for number in range(1, 5)]  # noqa: DTZ001  has no zone


def table(rows: Sequence[tuple[Any, ...]], temperature: pa.DataType | None = None, **others: pa.Array) -> pa.Table:
    """Return a table of the identity columns, a temperature and the target."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * 6
    types = [pa.timestamp("ms"), pa.string(), pa.int32(), pa.string(), temperature or pa.float64(), pa.bool_()]
    names = [*contract.IDENTITY, "temperature", contract.TARGET.name]
    arrays = [pa.array(values, kind) for values, kind in zip(columns, types, strict=True)]
    return pa.table(dict(zip(names, arrays, strict=True)) | others)


def replaced(old: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    return old.set_column(old.column_names.index(name), name, values)


@pytest.fixture
def edits_of(tmp_path: Path) -> Callable[..., PeriodEdits | None]:
    """Return a function that compares two tables, written as the files of a month."""

    def compare(before: pa.Table, after: pa.Table) -> PeriodEdits | None:
        return edits_in(tmp_path, before, after)

    return compare


def edits_in(folder: Path, before: pa.Table, after: pa.Table) -> PeriodEdits | None:
    for name, rows in (("before", before), ("after", after)):
        (folder / name).mkdir(exist_ok=True)
        pq.write_table(rows, folder / name / f"{MONTH}.parquet")
    periods = data_edits(folder / "before", folder / "after", [MONTH])
    return periods[0] if periods else None


Edits = Callable[[pa.Table, pa.Table], PeriodEdits | None]


def test_month_with_each_kind_of_edit(small: Path, tmp_path: Path) -> None:
    march = pq.read_table(small / f"{MONTH}.parquet")
    flights = march.to_pylist()
    kept = flights[83:]
    for flight in kept[:12]:
        flight["temperature"] = -40.25
    for flight in kept[10:304]:
        flight["late"] = not flight["late"]
    invented = [flight | {"flight_number": 9_999 - n} for n, flight in enumerate(flights[:7])]
    new = pa.Table.from_pylist([*reversed(kept), *invented], march.schema)
    pq.write_table(new, tmp_path / f"{MONTH}.parquet")
    for month in ("2013-01", "2013-02"):
        (tmp_path / f"{month}.parquet").write_bytes((small / f"{month}.parquet").read_bytes())

    (edited,) = data_edits(small, tmp_path, ["2013-02", MONTH, "2013-01", MONTH], [MONTH])
    assert edited.period == MONTH
    assert edited.holdout
    assert (edited.rows_before, edited.rows_after) == (3_000, 2_924)
    assert (edited.removed, edited.added, edited.changed, edited.relabelled) == (83, 7, 12, 294)
    assert edited.columns == {"temperature": 12}
    assert edits_headline(edited) == (
        "`2013-03` (holdout): 83 rows removed, 7 added, 12 changed (`temperature` 12), 294 relabelled"
    )
    # Examples are in the order of the identity, which is that of the file. The target is first, as it changed most.
    first, second, third = edited.examples
    original = march.to_pylist()[83:]
    late = min(original[10:304], key=lambda flight: [flight[name] for name in contract.IDENTITY])
    assert first == Example(
        tuple(str(late[name]) for name in contract.IDENTITY),
        "late",
        str(late["late"]).lower(),
        str(not late["late"]).lower(),
    )
    assert (second.column, second.before, second.after) == ("temperature", str(original[0]["temperature"]), "-40.25")
    assert third.column == "late"


def test_identical_files_are_not_opened(tmp_path: Path) -> None:
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{MONTH}.parquet").write_bytes(b"no Parquet")
    assert data_edits(tmp_path / "before", tmp_path / "after", [MONTH]) == []
    # The same size with another content.
    (tmp_path / "after" / f"{MONTH}.parquet").write_bytes(b"No Parquet")
    with pytest.raises(UserError, match=r"2013-03\.parquet cannot be read as Parquet"):
        data_edits(tmp_path / "before", tmp_path / "after", [MONTH])


def test_damaged_page(small: Path, tmp_path: Path) -> None:
    pq.write_table(pq.read_table(small / f"{MONTH}.parquet"), tmp_path / f"{MONTH}.parquet", compression="none")
    damaged = bytearray((tmp_path / f"{MONTH}.parquet").read_bytes())
    damaged[4:400] = b"\xff" * 396
    (tmp_path / f"{MONTH}.parquet").write_bytes(damaged)
    with pytest.raises(UserError, match=r"2013-03\.parquet cannot be compared: .*dvc checkout"):
        data_edits(small, tmp_path, [MONTH])


def test_reordered_rows_and_columns_are_no_edit(small: Path, edits_of: Edits) -> None:
    march = pq.read_table(small / f"{MONTH}.parquet")
    shuffled = march.take(pa.array(np.random.default_rng(0).permutation(len(march))))
    assert edits_of(march, shuffled.select(list(reversed(march.column_names)))) is None


def test_new_and_removed_periods(small: Path, tmp_path: Path) -> None:
    (tmp_path / "2013-01.parquet").write_bytes((small / "2013-01.parquet").read_bytes())
    assert data_edits(tmp_path, small, ["2013-01", "2013-02"]) == []
    (edited,) = data_edits(small, tmp_path, ["2013-01", "2013-02"])
    assert (edited.period, edited.rows_before, edited.rows_after, edited.removed) == ("2013-02", 3_000, 0, 3_000)
    assert edits_headline(edited) == "`2013-02`: 3,000 rows removed"


def test_missing_directory_is_an_error(small: Path, tmp_path: Path) -> None:
    for folders in ((tmp_path / "none", small), (small, tmp_path / "none")):
        with pytest.raises(UserError, match="none is missing"):
            data_edits(*folders, [MONTH])


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        (None, None, 0),
        (math.nan, math.nan, 0),
        (0.0, -0.0, 0),
        (math.nan, None, 1),
        (None, math.nan, 1),
        (None, 0.0, 1),
        (0.1, 0.1 + 2e-17, 1),
    ],
)
def test_different_values(edits_of: Edits, before: float | None, after: float | None, changed: int) -> None:
    old = table([(*IDENTITY[0], before, True), (*IDENTITY[1], 1.0, True)])
    new = table([(*IDENTITY[0], after, True), (*IDENTITY[1], 1.0, False)])
    edited = edits_of(old, new)
    assert edited is not None
    assert edited.changed == changed
    assert edited.relabelled == 1


@pytest.mark.parametrize("unit", ["s", "us", "ns"])
def test_times_are_compared_by_value(small: Path, edits_of: Edits, unit: str) -> None:
    march = pq.read_table(small / f"{MONTH}.parquet")
    departure = march.column("scheduled_departure").cast(pa.timestamp(unit))
    edited = edits_of(march, replaced(march, "scheduled_departure", departure))
    assert edited is None or (not edited.unidentified and edited.removed == edited.added == edited.changed == 0)
    later = pc.add(departure, pa.scalar(1, pa.duration(unit)))
    moved = edits_of(march, replaced(march, "scheduled_departure", later))
    assert moved is not None
    assert moved.removed == moved.added == len(march)


def test_times_that_nanoseconds_cannot_hold(edits_of: Edits) -> None:
    """Replacing a sentinel in the year 9999, which nanoseconds cannot hold, counts as a change."""
    rows = [(*identity, 1.0, True) for identity in IDENTITY[:3]]
    sentinel, landed = datetime(9999, 12, 31), datetime(2013, 3, 1, 7, 30, 0, 500_000)  # noqa: DTZ001  have no zone
    before = table(rows, landed=pa.array([sentinel, landed, landed], pa.timestamp("us")))
    after = table(rows, landed=pa.array([None, landed, landed], pa.timestamp("ns")))
    edited = edits_of(before, after)
    assert edited is not None
    assert edited.columns == {"landed": 1}
    assert edited.examples[0].before == "9999-12-31 00:00:00"
    assert edited.retyped == {"landed": ("TIMESTAMP", "TIMESTAMP_NS")}


def test_date_equals_its_midnight(edits_of: Edits) -> None:
    rows = [(*identity, 1.0, True) for identity in IDENTITY[:2]]
    midnight = pa.array([datetime(2013, 3, 1), datetime(2013, 3, 2, 1)], pa.timestamp("ns"))  # noqa: DTZ001  no zone
    edited = edits_of(table(rows, day=midnight), table(rows, day=pa.array([date(2013, 3, 1), date(2013, 3, 2)])))
    assert edited is not None
    assert edited.columns == {"day": 1}


def test_columns_and_types_that_changed(edits_of: Edits) -> None:
    """Columns of both sides are compared if their types allow it; the others are named."""
    rows = [(*identity, 1.0, True) for identity in IDENTITY]
    before = table(
        rows,
        seats=pa.array([1, 2, 3, None], pa.int32()),
        fare=pa.array([Decimal("1.10"), Decimal("2.50"), None, None]),
        gate=pa.array([1, 2, 3, 4], pa.int32()),
        empty=pa.nulls(4),
        gone=pa.array([1] * 4),
    )
    after = table(
        rows,
        seats=pa.array([1.0, 2.5, 3.0, None]),
        fare=pa.array([1.1, 2.5, None, None]),
        gate=pa.array(["1", "2", "3", "4"]),
        empty=pa.array(["x", None, None, None]),
        new=pa.array([1] * 4),
    )
    edited = edits_of(before, after)
    assert edited is not None
    assert edited.columns == {"empty": 1, "seats": 1}
    assert edited.changed == 2
    assert (edited.only_before, edited.only_after) == (("gone",), ("new",))
    assert edited.not_compared == ("gate",)
    assert edited.retyped["seats"] == ("INTEGER", "DOUBLE")
    assert edited.examples == (
        Example(("2013-03-01 06:00:00", "UA", "1", "EWR"), "empty", "null", "x"),
        Example(("2013-03-01 06:00:00", "UA", "2", "EWR"), "seats", "2", "2.5"),
    )
    assert edits_headline(edited) == (
        "`2013-03`: 2 rows changed (`empty` 1, `seats` 1), column `gone` removed, column `new` added, "
        "column `seats` was `INTEGER` and is `DOUBLE`, column `fare` was `DECIMAL(3,2)` and is `DOUBLE`, "
        "column `gate` was `INTEGER` and is `VARCHAR`, not compared, "
        'column `empty` was `"NULL"` and is `VARCHAR`'
    )


def test_column_names_are_quoted_in_sql(edits_of: Edits) -> None:
    rows = [(*identity, 1.0, True) for identity in IDENTITY]
    name = 'a", (SELECT 1) AS "b'
    old, new = (table(rows, **{name: pa.array([1, 2, 3, last])}) for last in (4, 5))
    edited = edits_of(old, new.rename_columns([*new.column_names[:5], "Late", name]))
    assert edited is not None
    assert edited.columns == {name: 1}
    # DuckDB itself ignores the case of names.
    assert (edited.only_before, edited.only_after) == (("late",), ("Late",))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda old: old.drop_columns("carrier"), "`carrier` cannot be compared, column `carrier` removed"),
        (
            lambda old: replaced(old, "flight_number", old.column("flight_number").cast(pa.string())),
            "`flight_number` cannot be compared, column `flight_number` was `INTEGER` and is `VARCHAR`, not compared",
        ),
        (
            lambda old: replaced(
                old, "scheduled_departure", old.column("scheduled_departure").cast(pa.timestamp("ms", "UTC"))
            ),
            (
                "`scheduled_departure` cannot be compared, column `scheduled_departure` was `TIMESTAMP` and is "
                "`TIMESTAMP WITH TIME ZONE`, not compared"
            ),
        ),
    ],
)
def test_rows_that_cannot_be_matched(edits_of: Edits, change: Callable[[pa.Table], pa.Table], reason: str) -> None:
    old = table([(*identity, 1.0, True) for identity in IDENTITY])
    for before, after in ((old, change(old)), (change(old), old)):
        edited = edits_of(before, after)
        assert edited is not None
        assert len(edited.unidentified) == 1
        assert edited.removed == edited.added == edited.changed == edited.relabelled == 0
    edited = edits_of(old, change(old))
    assert edited is not None
    assert edits_headline(edited) == f"`2013-03`: the 4 old and 4 new rows cannot be matched, because {reason}"


def test_wider_identity_column(edits_of: Edits) -> None:
    old = table([(*identity, 1.0, True) for identity in IDENTITY])
    wider = replaced(old, "flight_number", old.column("flight_number").cast(pa.float64())).slice(1)
    edited = edits_of(old, wider)
    assert edited is not None
    assert (edited.unidentified, edited.removed, edited.added) == ((), 1, 0)


def test_duplicate_identities(edits_of: Edits) -> None:
    """Rows that are equal on both sides are matched first, and each row is counted once."""
    first, second = IDENTITY[:2]
    before = table([(*first, 1.0, True), (*first, 2.0, True), (*first, 3.0, True), (*second, 5.0, True)])
    after = table([(*first, 3.0, True), (*first, 1.0, True), (*second, 5.0, False), (*second, 5.0, False)])
    edited = edits_of(before, after)
    assert edited is not None
    assert (edited.removed, edited.added, edited.changed, edited.relabelled) == (1, 1, 0, 1)


values = st.sampled_from([None, math.nan, 0.0, 1.5])
rows = st.lists(st.tuples(st.sampled_from(IDENTITY), values, st.booleans()), max_size=7).map(
    lambda drawn: [(*identity, *rest) for identity, *rest in drawn]
)


@settings(max_examples=50, deadline=None)
@given(rows, rows)
def test_counts_equal_a_slow_reference(before: list[tuple[Any, ...]], after: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        edited = edits_in(Path(folder), table(before), table(after))
    expected = slow_reference(before, after)
    assert (edited and (edited.removed, edited.added, edited.changed, edited.relabelled)) == (
        expected if any(expected) else None
    )
    if edited:
        assert edited.columns == ({"temperature": edited.changed} if edited.changed else {})
        assert len(edited.examples) == min(3, edited.changed + edited.relabelled)


def slow_reference(before: list[tuple[Any, ...]], after: list[tuple[Any, ...]]) -> tuple[int, int, int, int]:
    """Count rows removed, added, changed and relabelled, one row at a time."""

    def comparable(row: tuple[Any, ...]) -> tuple[Any, ...]:
        *identity, temperature, late = row
        # The order of DuckDB: NaN after all numbers, and missing values last.
        rank = (2, 0.0) if temperature is None else (1, 0.0) if math.isnan(temperature) else (0, temperature)
        return (*identity, rank, late)

    old, new = Counter(map(comparable, before)), Counter(map(comparable, after))
    removed = added = changed = relabelled = 0
    for identity in {row[:4] for row in [*old, *new]}:
        unequal = [sorted(row for row in rest.elements() if row[:4] == identity) for rest in (old - new, new - old)]
        for row_before, row_after in zip_longest(*unequal):
            removed += row_after is None
            added += row_before is None
            both = bool(row_before and row_after)
            changed += both and row_before[4] != row_after[4]
            relabelled += both and row_before[5] != row_after[5]
    return removed, added, changed, relabelled


def test_side_without_rows(edits_of: Edits) -> None:
    edited = edits_of(table([]), table([(*IDENTITY[0], 1.0, True)]))
    assert edited is not None
    assert edits_headline(edited) == "`2013-03`: 1 row added"


def edits(period: str, *, holdout: bool = False, **differences: Any) -> PeriodEdits:
    return PeriodEdits(period, holdout, 10, 10, **differences)


def test_holdout_is_rendered_first() -> None:
    example = Example(("2013-07-01 05:00:00", "UA", "1", "EWR"), "late", "false", "true")
    lines = render_edits(
        [
            edits("2013-01", changed=4_000, columns={"a": 3_000, "b": 900, "c": 90, "d": 5, "e": 5}),
            edits("2013-07", holdout=True, relabelled=2_940, examples=(example,)),
        ]
    )
    assert lines == [
        "- `2013-07` (holdout): 2,940 rows relabelled",
        "- `2013-01`: 4,000 rows changed (`a` 3,000, `b` 900, `c` 90, 2 more columns)",
        "",
        "| part | `scheduled_departure, carrier, flight_number, origin` | column | before | after |",
        "| :--- | :--- | :--- | ---: | ---: |",
        "| `2013-07` (holdout) | `2013-07-01 05:00:00, UA, 1, EWR` | `late` | `false` | `true` |",
    ]
    assert render_edits([]) == []


def test_many_periods_are_truncated() -> None:
    lines = render_edits([edits(f"{year}-01", added=1) for year in range(1900, 2000)])
    assert len(lines) == 21
    assert lines[-1] == "- … and 80 more"


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["@all", "|", "`", "<b>", "](http://x.org)", "\n", "$x$", "#1", "*", "a"])).map("".join)
)
def test_untrusted_names_and_values_are_escaped(name: str) -> None:
    hostile = edits(
        name,
        changed=1,
        columns={name: 1},
        examples=(Example((name, name), name, name, name),),
        only_before=(name,),
        only_after=(name,),
        retyped={name: (name, name)},
    )
    text = "\n".join([*render_edits([hostile]), "", *render_edits([edits(name, unidentified=(name,))])]) + "\n"
    assert_harmless(text)
    assert len(text.splitlines()) == 7
    # No value breaks out of its table cell.
    assert all(line.count("|") == 6 for line in text.splitlines() if line.startswith("|"))
