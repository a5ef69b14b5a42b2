"""The check of model/contract.py, which each command makes before it uses the contract."""

import keyword
import math
import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from types import ModuleType
from typing import Any

from lifecycle.shared.columns import Column, ColumnType, Target

# Names of columns in the prediction log, in scored files and in the checks of production.
RESERVED = {
    *("id", "time", "model_version", "contract_version", "request_id", "inputs", "prediction", "outcome"),
    *("key", "reported", "prediction_id", "label", "probability", "probabilities", "value"),
}
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_TIMESTAMP = "%Y-%m-%dT%H:%M:%S"


def faults(contract: ModuleType) -> list[str]:
    """Return what is wrong with a contract, in sentences; empty if nothing is."""
    return [
        *_faults_of_names(contract),
        *(fault for column in contract.INPUTS for fault in _faults_of_column(column)),
        *_faults_of_target(contract.TARGET),
        *_faults_of_roles(contract),
    ]


def _faults_of_names(contract: ModuleType) -> Iterator[str]:
    if not _SLUG.fullmatch(contract.NAME):
        yield (
            f"NAME {contract.NAME!r} cannot name an image: use up to 63 lower-case letters, digits and hyphens, such "
            f"as {slug(contract.NAME)!r}."
        )
    names = [column.name for column in (*contract.INPUTS, contract.TARGET)]
    for name in names:
        if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
            yield f"{name!r} cannot name a column: use letters, digits and underscores, and begin with a letter."
        elif name.lower() in RESERVED:
            yield f"{name!r} cannot name a column: the prediction log has a column of that name. Rename it in fetch."
    # DuckDB does not tell names apart by case.
    for name, count in Counter(name.lower() for name in names).items():
        if count > 1:
            alike = ", ".join(repr(other) for other in names if other.lower() == name)
            yield f"{count} columns have the same name, without regard to case: {alike}."


def slug(text: str) -> str:
    """Return a text as the name of a project: lower-case letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].strip("-") or "model"


def _faults_of_column(column: Column) -> Iterator[str]:
    yield from _faults_of_limits(column)
    if column.pattern is not None:
        if column.type != "category" or column.categories:
            yield f"{column.name} has a pattern, which only a category without a list of categories can have."
        try:
            re.compile(column.pattern)
        except re.error as error:
            yield f"The pattern of {column.name} is not a regular expression: {error}."
            return
    if column.optional and not column.nullable:
        yield f"{column.name} is optional, so its value may be missing: set nullable=True too."
    reason = _why_illegal(column, column.example)
    if reason:
        yield f"The example of {column.name}, {column.example!r}, {reason}."


def _faults_of_target(target: Target) -> Iterator[str]:
    yield from _faults_of_limits(target)
    if target.type == "category" and len(target.categories) < 2:  # noqa: PLR2004 - with one, nothing is to be predicted
        yield f"The target {target.name} is a category, so it needs at least two categories: list all of them."


def _faults_of_limits(column: Column | Target) -> Iterator[str]:
    least, most = column.minimum, column.maximum
    if (least is not None or most is not None) and column.type not in {"integer", "number"}:
        yield f"{column.name} is a {column.type}, which has neither minimum nor maximum."
    elif least is not None and most is not None and least > most:
        yield f"The minimum of {column.name}, {least:g}, is larger than its maximum, {most:g}."
    if column.categories and column.type != "category":
        yield f"{column.name} is a {column.type}, which has no categories."
    twice = [name for name, count in Counter(column.categories).items() if count > 1]
    if twice:
        yield f"{column.name} lists a category twice: {', '.join(map(repr, twice))}."
    if not all(isinstance(category, str) and category for category in column.categories):
        yield f"{column.name} has a category that is no text or empty; each must be a text."


def _faults_of_roles(contract: ModuleType) -> Iterator[str]:
    by_name = {column.name: column for column in contract.INPUTS}
    if not any(column.role == "feature" for column in contract.INPUTS):
        yield "INPUTS has no column with the role feature: the model has nothing to learn from."
    uses = {f"IDENTITY names {name}": name for name in contract.IDENTITY}
    uses |= {f"{use} is {getattr(contract, use)}": getattr(contract, use) for use in ("TIME", "GROUP")}
    if contract.CLUSTER not in {"day", "row"}:
        uses[f"CLUSTER is {contract.CLUSTER}"] = contract.CLUSTER
    for use, name in uses.items():
        if name is not None and name not in by_name:
            yield f"{use}, which is not a column of INPUTS."
    if contract.CLUSTER == "day" and not contract.TIME:
        yield 'CLUSTER is "day", but there is no TIME.'
    time = by_name.get(contract.TIME)
    if time and (time.type != "timestamp" or time.nullable or time.role == "ignored"):
        yield f"TIME is {time.name}, which has to be a timestamp that is never missing and not ignored."
    for name in contract.IDENTITY:
        if name in by_name and by_name[name].nullable:
            yield f"IDENTITY names {name}, which may be missing: a row without it could not be told apart."


def _why_illegal(column: Column, value: Any) -> str:
    """Return why a value is illegal in a column; empty if it is legal."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    number = value if is_number else 0
    least = -math.inf if column.minimum is None else column.minimum
    most = math.inf if column.maximum is None else column.maximum
    limits = [(is_number, "is not a number"), (least <= number <= most, "is outside of its limits")]
    rules: dict[ColumnType, list[tuple[bool, str]]] = {
        "boolean": [(isinstance(value, bool), "is neither True nor False")],
        "category": [
            (isinstance(value, str), "is not a text"),
            (not column.categories or value in column.categories, "is not one of its categories"),
            (re.fullmatch(column.pattern or "(?s:.*)", str(value)) is not None, "does not match its pattern"),
        ],
        "integer": [(number == math.floor(number), "is not a whole number"), *limits],
        "number": limits,
        "timestamp": [(_is_timestamp(value), "is not a date and time like '2030-12-31T17:30:00'")],
    }
    return next((reason for fits, reason in rules[column.type] if not fits), "")


def _is_timestamp(value: Any) -> bool:
    try:
        return bool(datetime.strptime(value, _TIMESTAMP).strftime(_TIMESTAMP) == value)  # noqa: DTZ007 - it has no zone
    except (ValueError, TypeError):
        return False
