"""The rows that candidate and champion are judged on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from lifecycle.proposal.rows import JudgedRows, NotComparableError, Side, fits, judged_rows
from lifecycle.shared.parts import part_files
from lifecycle.shared.schema import json_schema
from model import contract

MARCH = ["2013-03"]
SCHEMA = json_schema()
CANDIDATE, CHAMPION = Side("candidate", SCHEMA, []), Side("champion", SCHEMA, [])


def march(folder: Path) -> pa.Table:
    return pq.read_table(part_files("2013-03", folder)[0])


def with_march(folder: Path, table: pa.Table) -> Path:
    folder.mkdir(exist_ok=True)
    pq.write_table(table, part_files("2013-03", folder)[0])
    return folder


def judged(own: Path, base: Path | None = None, candidate: Side = CANDIDATE, champion: Side = CHAMPION) -> JudgedRows:
    return judged_rows(MARCH, own, base, candidate, champion)


def without(schema: dict[str, Any], column: str) -> dict[str, Any]:
    return schema | {"properties": {name: rules for name, rules in schema["properties"].items() if name != column}}


def test_rows_that_either_was_trained_on_are_left_out(small: Path, tmp_path: Path) -> None:
    """Rows are matched by identity, in any order and with any other column corrected."""
    table = march(small)
    shuffled = table.take(pa.array(np.random.default_rng(0).permutation(1_000)))
    distance = pa.array(np.ones(1_000))
    corrected = shuffled.set_column(table.column_names.index("distance"), "distance", distance)
    pq.write_table(corrected, tmp_path / "champion.parquet")
    pq.write_table(table.slice(2_500), tmp_path / "candidate.parquet")
    rows = judged(
        small,
        candidate=replace(CANDIDATE, trained_on=[tmp_path / "candidate.parquet"]),
        champion=replace(CHAMPION, trained_on=[tmp_path / "champion.parquet"]),
    )
    assert rows.candidate.select([c.name for c in contract.INPUTS]).equals(
        table.slice(1_000, 1_500).select([c.name for c in contract.INPUTS]).cast(rows.champion.schema)
    )
    assert rows.left_out == {"the champion was trained on": 1_000, "the candidate was trained on": 500}
    assert rows.trained_on == {"champion": 1_000, "candidate": 500}
    assert rows.total == 3_000


def test_months_apart_have_no_row_in_common(small: Path) -> None:
    earlier = [part_files(month, small)[0] for month in ("2013-01", "2013-02")]
    rows = judged(
        small, candidate=replace(CANDIDATE, trained_on=earlier), champion=replace(CHAMPION, trained_on=earlier)
    )
    assert (rows.candidate.num_rows, rows.left_out) == (3_000, {})


def test_a_holdout_inside_of_the_champion_s_window(small: Path) -> None:
    champion = replace(CHAMPION, trained_on=[part_files("2013-03", small)[0]])
    with pytest.raises(
        NotComparableError, match=r"none of the 3,000 rows of 2013-03 is left .* the champion was trained"
    ):
        judged(small, champion=champion)


def test_champion_without_the_columns_of_the_identity(small: Path, tmp_path: Path) -> None:
    pq.write_table(march(small).drop_columns("flight_number"), tmp_path / "2013-02.parquet")
    champion = replace(CHAMPION, trained_on=[tmp_path / "2013-02.parquet"])
    with pytest.raises(NotComparableError, match=r"2013-02\.parquet cannot be matched by scheduled_departure"):
        judged(small, champion=champion)


def test_rows_that_the_champion_does_not_accept_are_counted(small: Path) -> None:
    """Rows of an airline that the champion does not know are left out, and the others are compared."""
    carriers = pc.value_counts(march(small).column("carrier")).to_pylist()
    rare = min(carriers, key=lambda carrier: carrier["counts"])
    legal = [carrier["values"] for carrier in carriers if carrier is not rare]
    schema = SCHEMA | {"properties": SCHEMA["properties"] | {"carrier": {"type": "string", "enum": legal}}}
    rows = judged(small, champion=replace(CHAMPION, schema=schema))
    assert rows.left_out == {"the champion's contract does not accept": rare["counts"]}
    assert rows.champion.num_rows == rows.candidate.num_rows == 3_000 - rare["counts"]


def test_rows_and_outcomes_come_from_the_base(small: Path, tmp_path: Path) -> None:
    """A proposal that drops rows or flips outcomes is judged on the rows and outcomes of the base."""
    table = march(small)
    late = table.column(contract.TARGET.name)
    edited = table.set_column(
        table.column_names.index(contract.TARGET.name), contract.TARGET.name, pc.invert(late)
    ).slice(90)
    rows = judged(with_march(tmp_path / "own", edited), small)
    assert rows.candidate.num_rows == 3_000
    assert rows.candidate.column(contract.TARGET.name).equals(late)


def test_a_column_that_the_proposal_removes(small: Path, tmp_path: Path) -> None:
    """The champion gets the column from the base."""
    own = with_march(tmp_path / "own", march(small).drop_columns("visibility"))
    rows = judged(own, small, candidate=replace(CANDIDATE, schema=without(SCHEMA, "visibility")))
    assert "visibility" in rows.champion.column_names
    assert rows.champion.num_rows == 3_000


def test_a_column_that_the_proposal_adds(small: Path, tmp_path: Path) -> None:
    """The candidate's columns come from its own rows, matched by identity, and the outcomes from the base."""
    table = march(small)
    base = with_march(tmp_path / "base", table.drop_columns("visibility"))
    shuffled = table.take(pa.array(np.random.default_rng(0).permutation(3_000)))
    rows = judged(
        with_march(tmp_path / "own", shuffled), base, champion=replace(CHAMPION, schema=without(SCHEMA, "visibility"))
    )
    assert rows.candidate.column("visibility").equals(table.column("visibility"))
    assert rows.candidate.column("flight_number").equals(table.column("flight_number"))
    assert rows.candidate.column(contract.TARGET.name).equals(table.column(contract.TARGET.name))


def test_rows_that_the_proposal_drops_with_a_column_it_adds(small: Path, tmp_path: Path) -> None:
    table = march(small)
    base = with_march(tmp_path / "base", table.drop_columns("visibility"))
    own = with_march(tmp_path / "own", table.slice(90))
    with pytest.raises(NotComparableError, match=r"90 of 3,000 rows of the base in 2013-03 are missing in"):
        judged(own, base, champion=replace(CHAMPION, schema=without(SCHEMA, "visibility")))


def test_rows_that_the_proposal_s_contract_no_longer_accepts(small: Path, tmp_path: Path) -> None:
    rules = SCHEMA["properties"]["distance"] | {"maximum": 1_000}
    narrow = SCHEMA | {"properties": SCHEMA["properties"] | {"distance": rules}}
    far = int(pc.sum(pc.greater(march(small).column("distance"), 1_000)).as_py())
    own = with_march(tmp_path / "own", march(small).filter(pc.field("distance") <= 1_000))
    with pytest.raises(NotComparableError, match=rf"{far:,} of 3,000 rows of the base in 2013-03"):
        judged(own, small, candidate=replace(CANDIDATE, schema=narrow))


def test_a_column_that_nobody_has(small: Path) -> None:
    schema = SCHEMA | {"properties": SCHEMA["properties"] | {"humour": {"type": "number"}}}
    with pytest.raises(NotComparableError, match="the champion needs columns that these rows do not have: humour"):
        judged(small, champion=replace(CHAMPION, schema=schema))


def test_values_that_a_contract_accepts(small: Path) -> None:
    assert fits(march(small), SCHEMA).all()
    table = pa.table(
        {
            "number": [1.0, None, 7.0, float("nan"), 1.5, -1.0],
            "whole": pa.array([1, 2, None, 4, 5, 6], pa.int32()),
            "text": ["AB", "A", None, "ABC", "XY", "AB"],
        }
    )

    def accepted(name: str, **rules: Any) -> list[bool]:
        return list(fits(table, {"properties": {name: rules}}))

    assert accepted("number", type="number", minimum=0, maximum=5) == [True, False, False, False, True, False]
    assert accepted("number", type=["number", "null"], maximum=5) == [True, True, False, True, True, True]
    assert accepted("number", type="integer") == [True, False, True, False, False, True]
    assert accepted("whole", type=["integer", "null"], minimum=2) == [False, True, True, True, True, True]
    assert accepted("text", type="string", pattern="^[A-Z]{2}$") == [True, False, False, False, True, True]
    assert accepted("text", type=["string", "null"], enum=["AB"]) == [True, False, True, False, False, True]
    assert accepted("text", type="number") == [False] * 6
    assert accepted("text", type=["number", "null"]) == [False, False, True, False, False, False]
