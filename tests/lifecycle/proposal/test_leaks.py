"""Suspected leaks: a warning for each leak that a test makes, and none about real months."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from lifecycle.proposal.leaks import (
    copied_rows,
    dominant_new_column,
    implausible_leap,
    known_only_later,
    predicts_alone,
    trained_on_later_rows,
)
from lifecycle.shared.columns import Columns
from lifecycle.shared.tables import to_columns, to_target
from model import contract
from tests.lifecycle.repository import MONTHS
from tests.lifecycle.shared.test_text import assert_harmless

Bools = NDArray[np.bool_]


@pytest.mark.parametrize(
    ("champion", "candidate", "suspected"),
    [
        (0.75, 0.8751, True),
        (0.75, 0.875, False),
        (0.75, 0.60, False),
        (0.9, 0.9, False),
        (1.0, 1.0, False),
        (np.nan, 0.99, False),
        (0.75, np.nan, False),
    ],
)
def test_a_leap(champion: float, candidate: float, suspected: bool) -> None:  # noqa: FBT001  parametrized
    assert bool(implausible_leap(champion, candidate)) == suspected


def test_a_leap_in_words() -> None:
    (warning,) = implausible_leap(0.7517, 0.9312)
    assert warning == (
        "ROC AUC rises from 0.7517 to 0.9312, which closes 72% of the champion's gap to a perfect model. "
        "Is each input known when the prediction is made?"
    )


def test_a_new_column_with_most_of_the_importance() -> None:
    importance = {"arrival_delay": 0.5, "pressure": 0.3, "noise": -4.0, "nothing": np.nan}
    (warning,) = dominant_new_column(importance, ["pressure", "noise", "nothing"])
    assert warning == (
        "`arrival_delay`, which the champion does not have, carries 62% of the importance of all columns. "
        "Is it known when the prediction is made?"
    )
    assert dominant_new_column(importance, importance) == []
    assert dominant_new_column(importance | {"pressure": 0.5}, ["pressure", "noise", "nothing"]) == []
    assert dominant_new_column(dict.fromkeys(importance, 0.0), []) == []
    (hostile,) = dominant_new_column({"@all <b>": 1.0}, ["a"])
    assert_harmless(hostile)


@pytest.fixture(scope="module")
def flights(small: Path) -> tuple[Columns, Bools, Columns, Bools]:
    """Columns and target of training rows and of a holdout."""
    train = pa.concat_tables([pq.read_table(small / f"{month}.parquet") for month in MONTHS[:2]])
    holdout = pq.read_table(small / f"{MONTHS[2]}.parquet")
    return to_columns(train), to_target(train), to_columns(holdout), to_target(holdout)


def texts(values: NDArray[np.generic]) -> NDArray[np.object_]:
    return np.array([str(value) for value in values], dtype=object)


def noise(rows: int) -> NDArray[np.float64]:
    return np.random.default_rng(1).normal(size=rows)


def month(columns: Columns) -> NDArray[np.int64]:
    return columns["scheduled_departure"].astype("datetime64[M]").astype(np.int64)


def midnight(columns: Columns) -> NDArray[np.datetime64]:
    return columns["scheduled_departure"].astype("datetime64[D]").astype("datetime64[s]")


def some(rows: int, share: float = 0.5) -> Bools:
    return np.random.default_rng(2).random(rows) < share


# The leaking column, and its values as a function of outcomes and columns. "Of another scale": no training row has
# similar values.
LEAKS: dict[str, tuple[str, Callable[[Bools, Columns], NDArray[np.generic]]]] = {
    "a number": ("wind_gust", lambda late, _: late * 3 + noise(len(late))),
    "a number, large or small": ("wind_gust", lambda late, _: np.where(late, 9, 1) * np.sign(noise(len(late)))),
    "a number, missing": ("plane_year", lambda late, _: np.where(late, np.nan, 2000.0)),
    "a number, present": ("plane_year", lambda late, _: np.where(late, 2000.0 + noise(len(late)), np.nan)),
    "a number, missing or between": (
        "plane_year",
        lambda late, _: np.where(some(len(late)), np.where(late, np.nan, 0.0), np.where(late, 5.0, 10.0)),
    ),
    "a number of another scale, large": ("distance", lambda late, columns: late + 9.0 * month(columns)),
    "a number of another scale, small": ("distance", lambda late, columns: 9.0 * month(columns) - late),
    "a number of another scale, large or missing": (
        "distance",
        lambda late, columns: np.where(late & some(len(late)), np.nan, late + 9.0 * month(columns)),
    ),
    "a number of another scale, small or missing": (
        "distance",
        lambda late, columns: np.where(late & some(len(late)), np.nan, 9.0 * month(columns) - late),
    ),
    "a category": ("destination", lambda late, _: np.where(late, "BOS", "MIA").astype(object)),
    "a category, missing": (
        "carrier",
        lambda late, _: np.array([None if is_late else "UA" for is_late in late], dtype=object),
    ),
    "a category, unseen in many rows": (
        "destination",
        lambda late, columns: np.where(
            some(len(late), 0.7), np.where(late, "BOS", "MIA"), texts(month(columns)).astype(str)
        ).astype(object),
    ),
    "an hour": (
        "scheduled_departure",
        lambda late, columns: midnight(columns) + np.where(late, 3_600 * 20, 3_600 * 6),
    ),
    "a time, missing": (
        "scheduled_departure",
        lambda late, columns: np.where(late, np.datetime64("NaT"), midnight(columns)),
    ),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_a_column_that_gives_the_outcome_away(leak: str, flights: tuple[Columns, Bools, Columns, Bools]) -> None:
    train, train_late, holdout, late = flights
    name, leaking_values = LEAKS[leak]
    (warning,) = predicts_alone(
        train | {name: leaking_values(train_late, train)},
        train_late,
        holdout | {name: leaking_values(late, holdout)},
        late,
    )
    assert warning.startswith(f"`{name}` alone reaches a ROC AUC of ")
    assert warning.endswith(" on the holdout. Is it known when the prediction is made?")


def test_roc_auc_of_a_single_number(flights: tuple[Columns, Bools, Columns, Bools]) -> None:
    """95% of the late rows and 5% of the others are marked, so the ROC AUC is 0.95."""
    train, train_late, holdout, late = flights

    def marks(late: Bools) -> NDArray[np.float64]:
        marked = np.zeros(len(late))
        for kind, share in ((late, 0.95), (~late, 0.05)):
            rows = np.flatnonzero(kind)
            marked[rows[: round(share * len(rows))]] = 1
        return marked

    marked = marks(late)
    expected = (1 + marked[late].mean() - marked[~late].mean()) / 2
    (warning,) = predicts_alone(
        train | {"wind_speed": marks(train_late)}, train_late, holdout | {"wind_speed": marked}, late
    )
    assert f"`wind_speed` alone reaches a ROC AUC of {expected:.3f} on" in warning


def test_an_id_raises_no_warning(flights: tuple[Columns, Bools, Columns, Bools]) -> None:
    """In training, the id of a row determines its outcome, but it says nothing about the holdout."""
    train, train_late, holdout, late = flights
    ids = texts(np.arange(len(train_late) + len(late)))
    warnings = predicts_alone(
        train | {"destination": ids[: len(train_late)]}, train_late, holdout | {"destination": ids[-len(late) :]}, late
    )
    assert warnings == []
    # The same ids with other outcomes.
    reused = texts(np.arange(len(late)))
    assert (
        predicts_alone(
            train | {"carrier": reused[np.arange(len(train_late)) % len(late)]},
            train_late,
            holdout | {"carrier": reused},
            late,
        )
        == []
    )


def test_few_rows_prove_nothing(flights: tuple[Columns, Bools, Columns, Bools]) -> None:
    train, train_late, holdout, late = flights
    # In random order, because late flights cluster on a few days.
    random = np.random.default_rng(0).permutation(np.flatnonzero(late))
    for positive, suspected in ((29, 0), (30, 1)):
        rows = np.concatenate([random[:positive], np.flatnonzero(~late)])
        leak = {name: values[rows] for name, values in holdout.items()} | {"wind_gust": late[rows].astype(float)}
        assert len(predicts_alone(train, train_late, leak, late[rows])) == suspected


def test_columns_without_any_value(flights: tuple[Columns, Bools, Columns, Bools]) -> None:
    train, train_late, holdout, late = flights
    empty = {"wind_gust": np.nan, "carrier": None}
    sides = [
        columns | {name: np.full(len(columns[name]), value) for name, value in empty.items()}
        for columns in (train, holdout)
    ]
    assert predicts_alone(sides[0], train_late, sides[1], late) == []


def with_values(table: pa.Table, **columns: pa.Array) -> pa.Table:
    for name, values in columns.items():
        at = table.column_names.index(name)
        table = table.set_column(at, table.schema.field(name), pc.cast(values, table.schema.field(name).type))
    return table


def moved(table: pa.Table) -> pa.Table:
    """Return the same rows two months later."""
    later = pc.add(table.column("scheduled_departure"), pa.scalar(59 * 86_400_000, pa.duration("ms")))
    return with_values(table, scheduled_departure=later)


def written(folder: Path, name: str, *tables: pa.Table) -> Path:
    pq.write_table(pa.concat_tables(tables), folder / name)
    return folder / name


def copied_from(window: list[Path], holdout: Path) -> list[str]:
    return copied_rows([[file] for file in window], holdout)


def test_copied_rows(small: Path, tmp_path: Path) -> None:
    january, february, march = (pq.read_table(small / f"{month}.parquet") for month in MONTHS[:3])
    window = [small / f"{month}.parquet" for month in MONTHS[:2]]
    # 30 of 3,000 rows are 1%, the largest share without a warning.
    for copies, suspected in ((30, False), (31, True), (600, True)):
        holdout = written(tmp_path, "holdout.parquet", march.slice(copies), moved(january.slice(7, copies)))
        assert bool(copied_from(window, holdout)) == suspected
        assert bool(copied_from(window[1:], holdout)) is False
    (warning,) = copied_from(window, holdout)
    assert warning == (
        "20.0% of the holdout's rows occur in the training window under another identity, with the same values in all "
        "other columns; between parts of the window, 0.0% do. Were rows copied or moved in time?"
    )
    # A row with another outcome, or a number that differs in the last digit, is another row.
    copied = moved(january.slice(7, 600))
    for name, values in (
        ("late", pc.invert(copied.column("late"))),
        ("distance", pc.multiply(copied.column("distance"), 1 + 2e-16)),
    ):
        other = written(tmp_path, "other.parquet", march.slice(600), with_values(copied, **{name: values}))
        assert copied_from(window, other) == []
    only_window = [written(tmp_path, "february.parquet", february)]
    assert copied_from(only_window, written(tmp_path, "again.parquet", march, moved(february))) != []


def test_duplicates_within_a_period_are_not_the_usual_share(small: Path, tmp_path: Path) -> None:
    """If the window has several periods, the usual share is that of rows that occur in several of them."""
    january, february, march = (pq.read_table(small / f"{month}.parquet") for month in MONTHS[:3])
    doubled = written(tmp_path, "february.parquet", february, moved(february.slice(0, 600)))
    holdout = written(tmp_path, "holdout.parquet", march.slice(150), moved(january.slice(0, 150)))
    assert len(copied_from([small / f"{MONTHS[0]}.parquet", doubled], holdout)) == 1
    assert (
        copied_from([doubled], written(tmp_path, "other.parquet", march.slice(150), moved(february.slice(0, 150))))
        == []
    )


def alike(table: pa.Table, share: float, *, seed: int) -> pa.Table:
    """Return the table with the same values in a share of the rows, as in data with few columns."""
    rows = len(table)
    chosen = np.random.default_rng(seed).permutation(rows) < share * rows
    others = [column.name for column in contract.INPUTS if column.name not in contract.IDENTITY]
    first = table.slice(0, 1)
    values = {
        name: pc.if_else(pa.array(chosen), first.column(name)[0], table.column(name).combine_chunks())
        for name in [*others, contract.TARGET.name]
    }
    return with_values(table, **values)


@pytest.mark.parametrize(
    ("usual", "share", "suspected"),
    [(0.02, 0.05, False), (0.02, 0.08, True), (0.4, 0.6, False), (0.4, 0.7, True), (0.6, 1.0, False)],
)
def test_rows_that_are_alike_by_nature(
    small: Path,
    tmp_path: Path,
    usual: float,
    share: float,
    suspected: bool,  # noqa: FBT001  parametrized
) -> None:
    january, february, march = (pq.read_table(small / f"{month}.parquet") for month in MONTHS[:3])
    constant = january.slice(0, 1)
    february, march = (pa.concat_tables([constant, table.slice(1)]) for table in (february, march))
    files = [
        written(tmp_path, f"{n}.parquet", alike(table, part, seed=n))
        for n, (table, part) in enumerate([(january, 0.1), (february, usual), (march, share)])
    ]
    assert bool(copied_from(files[:2], files[2])) == suspected
    # With a single period, its own duplicates are the usual share.
    assert bool(copied_from(files[1:2], files[2])) == suspected


def test_a_time_that_is_known_only_later(
    flights: tuple[Columns, Bools, Columns, Bools], monkeypatch: pytest.MonkeyPatch
) -> None:
    holdout = flights[2]
    assert known_only_later(holdout, "scheduled_departure") == []
    column = replace(contract.INPUTS[0], name="gate_closed")
    monkeypatch.setattr(contract, "INPUTS", (*contract.INPUTS, column))
    departure = holdout["scheduled_departure"]
    for later, suspected in ((3, False), (4, True), (2_950, True)):
        closed = departure.astype("datetime64[s]") - np.timedelta64(600, "s")
        closed[:later] += np.timedelta64(601, "s")
        closed[later : later + 10] = np.datetime64("NaT")
        closed[later + 10 : later + 20] = departure[later + 10 : later + 20]
        warnings = known_only_later(holdout | {"gate_closed": closed}, "scheduled_departure")
        assert bool(warnings) == suspected
    assert warnings == [
        (
            "`gate_closed` is later than `scheduled_departure` in 98.3% of the rows. "
            "Is it known when the prediction is made?"
        )
    ]


def test_training_rows_after_the_holdout() -> None:
    window = np.array(["2013-06-30T23:59", "2013-07-01T05:00", "2013-07-01T05:01", "NaT"], dtype="datetime64[s]")
    holdout = np.array(["NaT", "2013-07-02T10:00", "2013-07-01T05:00"], dtype="datetime64[s]")
    assert trained_on_later_rows(window[:2], holdout) == []
    (warning,) = trained_on_later_rows(window, holdout)
    assert warning == (
        "1 of 4 rows of the training window are later than the first row of the holdout (2013-07-01T05:00:00): "
        "the model has seen the period that it is judged on. End the window earlier."
    )


@pytest.mark.parametrize("last", [1, 2, 3])
def test_nothing_is_suspected_of_real_months(months: Path, last: int) -> None:
    window, holdout = [months / f"{month}.parquet" for month in MONTHS[:last]], months / f"{MONTHS[last]}.parquet"
    trained, judged = pa.concat_tables(map(pq.read_table, window)), pq.read_table(holdout)
    train, columns = to_columns(trained), to_columns(judged)
    assert predicts_alone(train, to_target(trained), columns, to_target(judged)) == []
    assert copied_from(window, holdout) == []
    assert known_only_later(columns, "scheduled_departure") == []
    assert trained_on_later_rows(train["scheduled_departure"], columns["scheduled_departure"]) == []
