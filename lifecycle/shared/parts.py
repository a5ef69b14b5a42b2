"""The parts that the data consists of, and their files.

With a split by time, a part is a period: a month (`2030-07`), an ISO week (`2030-W27`) or a day (`2030-07-01`), with
the file `data/2030-07.parquet`. With a split by group or by row, a part is one of `FOLDS` folds (`fold-07`), and each
batch of new rows has a file for each fold (`data/0001/fold-07.parquet`). A window is a span of parts. All rows with the
same key are in the same fold, by a hash of the key, so that they stay there when the data grows.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lifecycle.shared.console import UserError

DATA = Path("data")
FOLDS = 20

_FORMS = {
    "month": re.compile(r"\d{4}-(?:0[1-9]|1[0-2])"),
    "week": re.compile(r"\d{4}-W(?:0[1-9]|[1-4]\d|5[0-3])"),
    "day": re.compile(r"\d{4}-\d{2}-\d{2}"),
    "fold": re.compile(rf"fold-(?:{'|'.join(f'{number:02}' for number in range(1, FOLDS + 1))})"),
}
_BATCH = re.compile(r"\d{4}")
# Separates the values of a key before they are hashed.
_SEPARATOR = "\x1f"


def kind_of(part: str) -> str:
    """Return the kind of a part: "month", "week", "day" or "fold".

    Raises:
        ValueError: If it is none of them.
    """
    for kind, form in _FORMS.items():
        if form.fullmatch(part):
            if kind != "fold":
                _first_day(part, kind)
            return kind
    raise ValueError(f"{part!r} is no month (2030-07), no week (2030-W27), no day (2030-07-01) and no fold (fold-07)")


def is_fold(part: str) -> bool:
    """Return whether a part is a fold instead of a period."""
    return kind_of(part) == "fold"


def first_day(part: str) -> date:
    """Return the first day of a period."""
    return _first_day(part, kind_of(part))


def months_between(month: int, other: int) -> int:
    """Return the number of months between two months of the year, from 0 to 6."""
    return min((month - other) % 12, (other - month) % 12)


def end_of(part: str) -> date:
    """Return the day after the last day of a period."""
    return first_day(later(part, 1))


def period_of(day: date, kind: str) -> str:
    """Return the period of a kind that a day lies in."""
    if kind == "week":
        year, week, _ = day.isocalendar()
        return f"{year}-W{week:02}"
    return day.isoformat() if kind == "day" else f"{day:%Y-%m}"


def later(part: str, parts: int) -> str:
    """Return the part that comes some parts later, or earlier for a negative number.

    Raises:
        ValueError: If there is no such fold.
    """
    kind = kind_of(part)
    if kind == "fold":
        number = int(part[-2:]) + parts
        if not 1 <= number <= FOLDS:
            raise ValueError(f"there is no fold {number}; the folds are 1 to {FOLDS}")
        return f"fold-{number:02}"
    if kind == "month":
        return str(np.datetime64(part, "M") + parts)
    return period_of(first_day(part) + timedelta(days=parts * (7 if kind == "week" else 1)), kind)


def part_range(first: str, last: str) -> list[str]:
    """Return the parts from the first to the last, both included, which are of the same kind."""
    parts = [first]
    while parts[-1] < last:
        parts.append(later(parts[-1], 1))
    return parts if first <= last else []


def part_files(part: str, folder: Path = DATA) -> list[Path]:
    """Return the files of a part, whether or not they exist: one of a period, and one for each batch of a fold."""
    if not is_fold(part):
        return [folder / f"{part}.parquet"]
    return [batch / f"{part}.parquet" for batch in batches(folder)]


def batches(folder: Path = DATA) -> list[Path]:
    """Return the directories of the batches, in order; none if the data is split by time."""
    return sorted(path for path in folder.glob("*") if path.is_dir() and _BATCH.fullmatch(path.name))


def periods(folder: Path = DATA) -> list[str]:
    """Return the periods that have a file, in order; none if the data is split by group or by row."""
    forms = [form for kind, form in _FORMS.items() if kind != "fold"]
    return sorted(path.stem for path in folder.glob("*.parquet") if any(form.fullmatch(path.stem) for form in forms))


def part_exists(part: str, folder: Path = DATA) -> bool:
    """Return whether all files of a part exist."""
    files = part_files(part, folder)
    return bool(files) and all(file.exists() for file in files)


def read_part(part: str, folder: Path = DATA) -> pa.Table:
    """Read a part.

    Raises:
        UserError: If a file is missing or cannot be read.
    """
    tables = []
    for file in _present(part, folder):
        try:
            tables.append(opened(file).read().replace_schema_metadata())
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(file, error) from error
    return pa.concat_tables(tables, promote_options="default") if len(tables) > 1 else tables[0]


def row_count(parts: Iterable[str], folder: Path = DATA) -> int:
    """Return the number of rows of some parts.

    Raises:
        UserError: If a file is missing or not a Parquet file.
    """
    files = (file for part in parts for file in _present(part, folder))
    return sum(int(opened(file).metadata.num_rows) for file in files)


def key_texts(columns: Sequence[Iterable[object]]) -> list[str]:
    """Return the key of each row as a text.

    Args:
        columns: Values of the key's columns, one for each row.
    """
    return [_SEPARATOR.join(map(_as_key, values)) for values in zip(*columns, strict=True)]


def fold_of(keys: Sequence[str], salt: int) -> NDArray[np.intp]:
    """Return the number of the fold of each row, from 1 to `FOLDS`, of shape (rows,).

    Args:
        keys: Key of each row; see `key_texts`.
        salt: Number that the assignment depends on.
    """
    folds = {key: _hash(f"{salt}{_SEPARATOR}{key}") % FOLDS + 1 for key in set(keys)}
    return np.array([folds[key] for key in keys], dtype=np.intp)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _as_key(value: object) -> str:
    """Return a value as text that does not depend on its type's width: 2 and 2.0 are the same."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None else str(value)


def _first_day(part: str, kind: str) -> date:
    if kind == "week":
        return date.fromisocalendar(int(part[:4]), int(part[6:]), 1)
    return date.fromisoformat(f"{part}-01" if kind == "month" else part)


def _present(part: str, folder: Path) -> list[Path]:
    """Return the files of a part; UserError if one is missing."""
    files = part_files(part, folder)
    missing = [file for file in files if not file.exists()]
    if files and not missing:
        return files
    if is_fold(part):
        what = f"{missing[0]} is missing" if missing else f"{folder} has no batch of rows"
        raise UserError(f"{what}. Restore the versioned data with `dvc checkout data.dvc`, or add rows: `make ingest`.")
    raise UserError(
        f"{missing[0]} is missing (available: {', '.join(periods(folder)) or 'no period'}). Restore a versioned "
        f"{kind_of(part)} with `dvc checkout data.dvc`, add a new one with `make ingest PART={part}`, or change the "
        f"window or holdout in params.yaml."
    )


def opened(file: Path) -> pq.ParquetFile:
    """Open a file for reading.

    Raises:
        UserError: If it is not a Parquet file.
    """
    try:
        return pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: Exception) -> UserError:
    return UserError(
        f"{file} cannot be read as Parquet: it is empty, truncated or damaged ({error}). "
        f"`dvc checkout --force data.dvc` restores the versioned file."
    )
