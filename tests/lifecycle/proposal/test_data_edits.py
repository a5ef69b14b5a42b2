"""What a proposal changes in data that existed before, by known answers and against a slow reference."""

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
# What the small tables of these tests have.
IDENTITY = [(datetime(2013, 3, 1, 6), "UA", number, "EWR") for number in range(1, 5)]  # noqa: DTZ001  has no zone


def table(rows: Sequence[tuple[Any, ...]], temperature: pa.DataType | None = None, **others: pa.Array) -> pa.Table:
    """Rows of the identity's columns, a temperature and the target."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * 6
    types = [pa.timestamp("ms"), pa.string(), pa.int32(), pa.string(), temperature or pa.float64(), pa.bool_()]
    names = [*contract.IDENTITY, "temperature", contract.TARGET]
    arrays = [pa.array(values, kind) for values, kind in zip(columns, types, strict=True)]
    return pa.table(dict(zip(names, arrays, strict=True)) | others)


def replaced(old: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    return old.set_column(old.column_names.index(name), name, values)


@pytest.fixture
def edits_of(tmp_path: Path) -> Callable[..., PeriodEdits | None]:
    """What differs between two tables, as the files of a month."""

    def compare(before: pa.Table, after: pa.Table) -> PeriodEdits | None:
        return edits_in(tmp_path, before, after)

    return compare


def edits_in(folder: Path, before: pa.Table, after: pa.Table) -> PeriodEdits | None:
    for name, one in (("before", before), ("after", after)):
        (folder / name).mkdir(exist_ok=True)
        pq.write_table(one, folder / name / f"{MONTH}.parquet")
    found = data_edits(folder / "before", folder / "after", [MONTH])
    return found[0] if found else None


Edits = Callable[[pa.Table, pa.Table], PeriodEdits | None]


def test_a_month_is_edited_in_each_way(small: Path, tmp_path: Path) -> None:
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

    (found,) = data_edits(small, tmp_path, ["2013-02", MONTH, "2013-01", MONTH], [MONTH])
    assert found.period == MONTH
    assert found.holdout
    assert (found.rows_before, found.rows_after) == (3_000, 2_924)
    assert (found.removed, found.added, found.changed, found.relabelled) == (83, 7, 12, 294)
    assert found.columns == {"temperature": 12}
    assert edits_headline(found) == (
        "`2013-03` (holdout): 83 rows removed, 7 added, 12 changed (`temperature` 12), 294 relabelled"
    )
    # In the order of the identity, which is that of the file; of the target first, which changed most.
    first, second, third = found.examples
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


def test_identical_files_are_not_even_opened(tmp_path: Path) -> None:
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{MONTH}.parquet").write_bytes(b"no Parquet")
    assert data_edits(tmp_path / "before", tmp_path / "after", [MONTH]) == []
    # As long, but not the same.
    (tmp_path / "after" / f"{MONTH}.parquet").write_bytes(b"No Parquet")
    with pytest.raises(UserError, match=r"2013-03\.parquet cannot be read as Parquet"):
        data_edits(tmp_path / "before", tmp_path / "after", [MONTH])


def test_a_damaged_page_is_an_error_for_people(small: Path, tmp_path: Path) -> None:
    pq.write_table(pq.read_table(small / f"{MONTH}.parquet"), tmp_path / f"{MONTH}.parquet", compression="none")
    damaged = bytearray((tmp_path / f"{MONTH}.parquet").read_bytes())
    damaged[4:400] = b"\xff" * 396
    (tmp_path / f"{MONTH}.parquet").write_bytes(damaged)
    with pytest.raises(UserError, match=r"2013-03\.parquet cannot be compared: .*dvc checkout"):
        data_edits(small, tmp_path, [MONTH])


def test_the_same_rows_in_another_file_are_no_edit(small: Path, edits_of: Edits) -> None:
    march = pq.read_table(small / f"{MONTH}.parquet")
    shuffled = march.take(pa.array(np.random.default_rng(0).permutation(len(march))))
    assert edits_of(march, shuffled.select(list(reversed(march.column_names)))) is None


def test_new_and_removed_periods(small: Path, tmp_path: Path) -> None:
    (tmp_path / "2013-01.parquet").write_bytes((small / "2013-01.parquet").read_bytes())
    assert data_edits(tmp_path, small, ["2013-01", "2013-02"]) == []
    (found,) = data_edits(small, tmp_path, ["2013-01", "2013-02"])
    assert (found.period, found.rows_before, found.rows_after, found.removed) == ("2013-02", 3_000, 0, 3_000)
    assert edits_headline(found) == "`2013-02`: 3,000 rows removed"


def test_a_folder_that_is_missing_is_not_read_as_no_edits(small: Path, tmp_path: Path) -> None:
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
def test_what_counts_as_another_value(edits_of: Edits, before: float | None, after: float | None, changed: int) -> None:
    old = table([(*IDENTITY[0], before, True), (*IDENTITY[1], 1.0, True)])
    new = table([(*IDENTITY[0], after, True), (*IDENTITY[1], 1.0, False)])
    found = edits_of(old, new)
    assert found is not None
    assert found.changed == changed
    assert found.relabelled == 1


@pytest.mark.parametrize("unit", ["s", "us", "ns"])
def test_times_are_compared_by_value(small: Path, edits_of: Edits, unit: str) -> None:
    march = pq.read_table(small / f"{MONTH}.parquet")
    departure = march.column("scheduled_departure").cast(pa.timestamp(unit))
    found = edits_of(march, replaced(march, "scheduled_departure", departure))
    assert found is None or (not found.unidentified and found.removed == found.added == found.changed == 0)
    later = pc.add(departure, pa.scalar(1, pa.duration(unit)))
    moved = edits_of(march, replaced(march, "scheduled_departure", later))
    assert moved is not None
    assert moved.removed == moved.added == len(march)


def test_times_that_nanoseconds_cannot_hold(edits_of: Edits) -> None:
    """Where a sentinel in the year 9999 was replaced because of a change of units, that is a change."""
    rows = [(*identity, 1.0, True) for identity in IDENTITY[:3]]
    far, near = datetime(9999, 12, 31), datetime(2013, 3, 1, 7, 30, 0, 500_000)  # noqa: DTZ001  have no zone
    before = table(rows, landed=pa.array([far, near, near], pa.timestamp("us")))
    after = table(rows, landed=pa.array([None, near, near], pa.timestamp("ns")))
    found = edits_of(before, after)
    assert found is not None
    assert found.columns == {"landed": 1}
    assert found.examples[0].before == "9999-12-31 00:00:00"
    assert found.retyped == {"landed": ("TIMESTAMP", "TIMESTAMP_NS")}


def test_a_date_is_its_midnight(edits_of: Edits) -> None:
    rows = [(*identity, 1.0, True) for identity in IDENTITY[:2]]
    midnight = pa.array([datetime(2013, 3, 1), datetime(2013, 3, 2, 1)], pa.timestamp("ns"))  # noqa: DTZ001  no zone
    found = edits_of(table(rows, day=midnight), table(rows, day=pa.array([date(2013, 3, 1), date(2013, 3, 2)])))
    assert found is not None
    assert found.columns == {"day": 1}


def test_other_columns(edits_of: Edits) -> None:
    """Those that both have are compared where they can be; the others are named."""
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
    found = edits_of(before, after)
    assert found is not None
    assert found.columns == {"empty": 1, "seats": 1}
    assert found.changed == 2
    assert (found.only_before, found.only_after) == (("gone",), ("new",))
    assert found.not_compared == ("gate",)
    assert found.retyped["seats"] == ("INTEGER", "DOUBLE")
    assert found.examples == (
        Example(("2013-03-01 06:00:00", "UA", "1", "EWR"), "empty", "null", "x"),
        Example(("2013-03-01 06:00:00", "UA", "2", "EWR"), "seats", "2", "2.5"),
    )
    assert edits_headline(found) == (
        "`2013-03`: 2 rows changed (`empty` 1, `seats` 1), column `gone` removed, column `new` added, "
        "column `seats` was `INTEGER` and is `DOUBLE`, column `fare` was `DECIMAL(3,2)` and is `DOUBLE`, "
        "column `gate` was `INTEGER` and is `VARCHAR`, not compared, "
        'column `empty` was `"NULL"` and is `VARCHAR`'
    )


def test_names_of_columns_are_only_names(edits_of: Edits) -> None:
    rows = [(*identity, 1.0, True) for identity in IDENTITY]
    name = 'a", (SELECT 1) AS "b'
    old, new = (table(rows, **{name: pa.array([1, 2, 3, last])}) for last in (4, 5))
    found = edits_of(old, new.rename_columns([*new.column_names[:5], "Late", name]))
    assert found is not None
    assert found.columns == {name: 1}
    # DuckDB itself takes no notice of case.
    assert (found.only_before, found.only_after) == (("late",), ("Late",))


@pytest.mark.parametrize(
    ("change", "said"),
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
def test_rows_that_cannot_be_told_apart(edits_of: Edits, change: Callable[[pa.Table], pa.Table], said: str) -> None:
    old = table([(*identity, 1.0, True) for identity in IDENTITY])
    for before, after in ((old, change(old)), (change(old), old)):
        found = edits_of(before, after)
        assert found is not None
        assert len(found.unidentified) == 1
        assert found.removed == found.added == found.changed == found.relabelled == 0
    found = edits_of(old, change(old))
    assert found is not None
    assert edits_headline(found) == f"`2013-03`: the 4 old and 4 new rows cannot be matched, because {said}"


def test_a_wider_identity_column_still_identifies(edits_of: Edits) -> None:
    old = table([(*identity, 1.0, True) for identity in IDENTITY])
    wider = replaced(old, "flight_number", old.column("flight_number").cast(pa.float64())).slice(1)
    found = edits_of(old, wider)
    assert found is not None
    assert (found.unidentified, found.removed, found.added) == ((), 1, 0)


def test_doubled_identities(edits_of: Edits) -> None:
    """What is the same on both sides belongs together; a row is counted once."""
    known = IDENTITY[0]
    before = table([(*known, 1.0, True), (*known, 2.0, True), (*known, 3.0, True), (*IDENTITY[1], 5.0, True)])
    after = table([(*known, 3.0, True), (*known, 1.0, True), (*IDENTITY[1], 5.0, False), (*IDENTITY[1], 5.0, False)])
    found = edits_of(before, after)
    assert found is not None
    assert (found.removed, found.added, found.changed, found.relabelled) == (1, 1, 0, 1)


values = st.sampled_from([None, math.nan, 0.0, 1.5])
rows = st.lists(st.tuples(st.sampled_from(IDENTITY), values, st.booleans()), max_size=7).map(
    lambda drawn: [(*identity, *rest) for identity, *rest in drawn]
)


@settings(max_examples=50, deadline=None)
@given(rows, rows)
def test_counts_are_those_of_a_slow_reference(before: list[tuple[Any, ...]], after: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = edits_in(Path(folder), table(before), table(after))
    expected = slow_reference(before, after)
    assert (found and (found.removed, found.added, found.changed, found.relabelled)) == (
        expected if any(expected) else None
    )
    if found:
        assert found.columns == ({"temperature": found.changed} if found.changed else {})
        assert len(found.examples) == min(3, found.changed + found.relabelled)


def slow_reference(before: list[tuple[Any, ...]], after: list[tuple[Any, ...]]) -> tuple[int, int, int, int]:
    """Rows removed, added, changed and relabelled, one row at a time."""

    def comparable(row: tuple[Any, ...]) -> tuple[Any, ...]:
        *identity, temperature, late = row
        # As DuckDB orders them: NaN after all numbers, and missing values last.
        placed = (2, 0.0) if temperature is None else (1, 0.0) if math.isnan(temperature) else (0, temperature)
        return (*identity, placed, late)

    old, new = Counter(map(comparable, before)), Counter(map(comparable, after))
    removed = added = changed = relabelled = 0
    for identity in {row[:4] for row in [*old, *new]}:
        left = [sorted(row for row in rest.elements() if row[:4] == identity) for rest in (old - new, new - old)]
        for one, other in zip_longest(*left):
            removed += other is None
            added += one is None
            changed += bool(one and other) and one[4] != other[4]
            relabelled += bool(one and other) and one[5] != other[5]
    return removed, added, changed, relabelled


def test_no_row_on_a_side(edits_of: Edits) -> None:
    found = edits_of(table([]), table([(*IDENTITY[0], 1.0, True)]))
    assert found is not None
    assert edits_headline(found) == "`2013-03`: 1 row added"


def edits(period: str, *, holdout: bool = False, **differences: Any) -> PeriodEdits:
    return PeriodEdits(period, holdout, 10, 10, **differences)


def test_rendered_with_the_holdout_first() -> None:
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
        "| period | `scheduled_departure, carrier, flight_number, origin` | column | before | after |",
        "| :--- | :--- | :--- | ---: | ---: |",
        "| `2013-07` (holdout) | `2013-07-01 05:00:00, UA, 1, EWR` | `late` | `false` | `true` |",
    ]
    assert render_edits([]) == []


def test_many_periods_are_cut_short() -> None:
    lines = render_edits([edits(f"{year}-01", added=1) for year in range(1900, 2000)])
    assert len(lines) == 21
    assert lines[-1] == "- … and 80 more"


@given(
    st.lists(st.sampled_from(["@all", "|", "`", "<b>", "](http://x.org)", "\n", "$x$", "#1", "*", "a"])).map("".join)
)
def test_what_others_have_chosen_is_text(name: str) -> None:
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
    # Each cell is one cell.
    assert all(line.count("|") == 6 for line in text.splitlines() if line.startswith("|"))
