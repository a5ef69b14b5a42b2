"""The plan of an adoption: the contract and the split that a table suggests, and what its owner should know."""

import keyword
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

import numpy as np

from lifecycle.adoption.profile import Profile
from lifecycle.shared.columns import Column, Target
from lifecycle.shared.console import UserError
from lifecycle.shared.contract_check import RESERVED
from lifecycle.shared.params import Span, Split
from lifecycle.shared.parts import FOLDS, first_day, fold_of, later, part_range, period_of
from lifecycle.shared.rounding import round_up
from lifecycle.shared.source import ROW_ID

# A text or boolean with at most so many values lists them as its categories.
_LISTED = 12
_MOST_CLASSES = 50
_RARE = 50  # rows
_WIDE = 200  # columns
_FEW = 200  # rows
_TOO_FEW = 30  # rows
# Share of the periods, or of the folds, that are held out.
_HELD_OUT = 0.2
# Least number of periods that a split by time should have.
_PERIODS = 6
_SALTS = 50
_UNKNOWN = "To do: what it means."


@dataclass(frozen=True)
class AdoptionRequest:
    """What the user asks for.

    Attributes:
        target: Name of the target in the table.
        time: Name of the column with the time of the rows; None to split at random.
        group: Name of the column that several rows share; None if there is none.
        name: Name of the project.
        kind: Kind of the target: "boolean", "category" or "number"; None for what its values look like.
    """

    target: str
    time: str | None
    group: str | None
    name: str
    kind: str | None = None


@dataclass
class Plan:
    """A contract and a split for a table.

    Attributes:
        name: Name of the project.
        rows: Number of rows of the table.
        columns: Input columns.
        target: Target.
        identity: Names of the columns that tell rows apart.
        time: Name of the column with the time; None without a split by time.
        group: Name of the column with the group; None if there is none.
        sql: SQL expression of each column, in terms of the table.
        split: Split of the data.
        window: Parts to train on.
        holdout: Parts to judge on.
        warnings: What the owner of the table should know, in sentences.
        to_do: What is left to the owner, in sentences.
    """

    name: str
    rows: int
    columns: list[Column]
    target: Target
    identity: tuple[str, ...]
    time: str | None
    group: str | None
    sql: dict[str, str]
    split: Split
    window: Span
    holdout: Span
    warnings: list[str] = field(default_factory=list)
    to_do: list[str] = field(default_factory=list)


def make_plan(profiles: Sequence[Profile], request: AdoptionRequest, duplicates: int) -> Plan:
    """Derive a plan from the profiles of a table's columns.

    Args:
        profiles: Profile of each column.
        request: What the user asks for.
        duplicates: Number of rows that are equal to an earlier row in all columns.

    Raises:
        UserError: If the table has no such column, or its target cannot be predicted.
    """
    by_name = {profile.name: profile for profile in profiles}
    for use, wanted in (("TARGET", request.target), ("TIME", request.time), ("GROUP", request.group)):
        if wanted is not None and wanted not in by_name:
            raise UserError(f"{use} is {wanted}, but the table has no such column. It has: {', '.join(by_name)}.")
    rows = profiles[0].rows
    if rows < _TOO_FEW:
        raise UserError(
            f"the table has {rows} rows, too few to train a model and to judge it: at least {_TOO_FEW} are needed."
        )
    warnings, to_do = _warnings_of_table(profiles, rows, duplicates), []
    names = legal_names([profile.name for profile in profiles])
    wanted_target = as_kind(by_name[request.target], request.kind)
    target = _target(wanted_target, names[request.target], warnings)
    columns, sql = [], {}
    for profile in profiles:
        if profile.name == request.target:
            continue
        column = _column(profile, names[profile.name], request, warnings)
        if column:
            columns.append(column)
            sql[column.name] = profile.sql
    sql[target.name] = wanted_target.sql
    if not any(column.role == "feature" for column in columns):
        raise UserError("the table has no column to learn from besides the target.")
    identity = _identity(profiles, names, request)
    if not identity:
        identity = ("row_id",)
        columns.append(
            Column(
                name="row_id",
                type="category",
                role="ignored",
                description="Hash of the row, because no column tells rows apart.",
                example="d41d8cd98f00b204e9800998ecf8427e-1",
            )
        )
        sql["row_id"] = ROW_ID
        to_do.append("If rows have a number or a key, name it in IDENTITY of model/contract.py instead of row_id.")
    renamed = [f"{old} is now {new}" for old, new in names.items() if old != new and new in sql]
    if renamed:
        warnings.append(f"Some columns have other names in the contract: {'; '.join(renamed[:10])}.")
    time = names[request.time] if request.time else None
    group = names[request.group] if request.group else None
    split, window, holdout = _split(by_name, request)
    to_do += [
        "Describe the columns in model/contract.py: meaning, unit, and limits that no valid value exceeds.",
        "Check that each input is known when the prediction is made.",
    ]
    return Plan(
        request.name, rows, columns, target, identity, time, group, sql, split, window, holdout, warnings, to_do
    )


def legal_names(names: Sequence[str]) -> dict[str, str]:
    """Return a name for the contract for each name of a table."""
    legal: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        plain = re.sub(r"\W+", "_", name).strip("_") or "column"
        if not plain[0].isalpha():
            plain = f"c_{plain}"
        if keyword.iskeyword(plain) or plain.lower() in RESERVED:
            plain = f"{plain}_"
        number, free = 2, plain
        while free.lower() in taken:
            free, number = f"{plain}_{number}", number + 1
        taken.add(free.lower())
        legal[name] = free
    return legal


def _warnings_of_table(profiles: Sequence[Profile], rows: int, duplicates: int) -> list[str]:
    warnings = []
    if rows < _FEW:
        warnings.append(f"The table has only {rows:,} rows: its verdicts will mostly be that there are too few rows.")
    if duplicates:
        warnings.append(
            f"{duplicates:,} of {rows:,} rows are equal to another row in all columns. If they are copies, remove them "
            f"in the source: a model would be judged on rows that it was trained on."
        )
    if len(profiles) > _WIDE:
        warnings.append(
            f"The table has {len(profiles):,} columns. Each one is validated, asked for and watched: drop those that "
            f"do not matter from model/contract.py; reports/plots/importance.csv says which."
        )
    return warnings


def as_kind(profile: Profile, kind: str | None) -> Profile:
    """Return the profile of a target as the kind that the user asks for; without one, 0 and 1 are false and true.

    Raises:
        UserError: If the values are not of that kind.
    """
    is_number = profile.type in {"integer", "number"}
    if kind in {"boolean", None} and is_number and {*profile.values} == {0, 1}:
        values = {value == 1: count for value, count in profile.values.items()}
        return replace(profile, type="boolean", sql=f"({profile.sql}) = 1", was="0 or 1", values=values)
    if kind is None or kind == profile.type or (kind == "number" and is_number):
        return profile
    if kind == "category" and is_number and profile.distinct <= _MOST_CLASSES:
        text = f"({profile.sql})::VARCHAR"
        return replace(profile, type="category", sql=text, least=None, most=None)
    raise UserError(f"the target {profile.name} is a {profile.type}, which cannot be taken for a {kind}.")


def _target(profile: Profile, name: str, warnings: list[str]) -> Target:
    """Return the target, and add warnings about its values."""
    if profile.type is None:
        raise UserError(f"the target {profile.name} has no value in any row.")
    if profile.missing:
        raise UserError(
            f"the target {profile.name} is missing in {profile.missing:,} of {profile.rows:,} rows. Leave out rows "
            f"whose outcome is not known."
        )
    if profile.is_constant:
        raise UserError(f"the target {profile.name} is {profile.common} in every row, so there is nothing to learn.")
    rare = [f"{value} ({count:,})" for value, count in profile.values.items() if count < _RARE]
    if profile.was == "0 or 1":
        warnings.append(
            "The target is 0 or 1, taken for false and true. If it is a number, adopt the table again with KIND=number."
        )
    if profile.type == "integer" and profile.distinct <= _LISTED:
        warnings.append(
            f"The target is taken for a number, with {profile.distinct} different values. If they are codes of "
            f"classes, adopt the table again with KIND=category."
        )
    elif rare and profile.type != "number":
        warnings.append(
            f"The target has classes with fewer than {_RARE} rows: {', '.join(rare[:10])}. They can hardly be learned "
            f"or judged: merge them, or collect more rows."
        )
    match profile.type:
        case "boolean":
            return Target(name=name, type="boolean", description=_UNKNOWN)
        case "integer" | "number":
            least, most = _limits(profile)
            return Target(name=name, type="number", description=_UNKNOWN, minimum=least, maximum=most)
        case "category" if profile.distinct <= _MOST_CLASSES:
            classes = tuple(sorted(map(str, profile.values)))
            return Target(name=name, type="category", description=_UNKNOWN, categories=classes)
    raise UserError(
        f"the target {profile.name} is a {profile.type} with {profile.distinct:,} different values. A target is true "
        f"or false, a number, or one of at most {_MOST_CLASSES} classes."
    )


def _column(profile: Profile, name: str, request: AdoptionRequest, warnings: list[str]) -> Column | None:
    """Return the column of a profile, None if it has no value, and add warnings about it."""
    if profile.type is None:
        warnings.append(f"{profile.name} has no value in any row: it is left out.")
        return None
    is_used = profile.name in {request.time, request.group}
    role = "feature"
    if profile.was and not profile.was.startswith("yes or no"):
        warnings.append(
            f"{profile.name} is text that holds a {profile.was}: `COLUMNS` in model/data.py converts it. Check that it "
            f"reads it as you do."
        )
    elif profile.was:
        warnings.append(f"{profile.name} says yes or no in words: `COLUMNS` in model/data.py makes it true or false.")
    if profile.is_constant and not is_used:
        warnings.append(f"{profile.name} is {profile.common} in every row: the model does not use it (role: ignored).")
        role = "ignored"
    elif _is_identifier(profile) and not is_used:
        warnings.append(
            f"{profile.name} is different in every row, so it only tells rows apart: the model does not use it (role: "
            f"ignored)."
        )
        role = "ignored"
    elif profile.name == request.group:
        role = "identity"
    if profile.name == request.time and (profile.type != "timestamp" or profile.missing):
        what = f"a {profile.type}" if profile.type != "timestamp" else f"missing in {profile.missing:,} rows"
        raise UserError(f"TIME is {profile.name}, which is {what}. It has to be a date or a time in every row.")
    least, most = _limits(profile) if profile.type in {"integer", "number"} else (None, None)
    listed = profile.type == "category" and 1 < len(profile.values) <= _LISTED and role == "feature"
    return Column(
        name=name,
        type=profile.type,
        description=_UNKNOWN,
        example=_example(profile),
        minimum=least,
        maximum=most,
        categories=tuple(sorted(map(str, profile.values))) if listed else (),
        nullable=profile.missing > 0,
        role=role,  # type: ignore[arg-type]  # one of three literals
    )


def _is_identifier(profile: Profile) -> bool:
    return profile.is_unique and profile.rows >= _RARE


def _identity(profiles: Sequence[Profile], names: Mapping[str, str], request: AdoptionRequest) -> tuple[str, ...]:
    """Return the first column that tells all rows apart; empty if there is none."""
    for profile in profiles:
        if _is_identifier(profile) and profile.name not in {request.target, request.time}:
            return (names[profile.name],)
    return ()


def _example(profile: Profile) -> str | float | bool:
    value = profile.common
    if isinstance(value, datetime | date):
        return f"{value:%Y-%m-%dT%H:%M:%S}"
    if profile.type == "number":
        return float(value)
    return value if isinstance(value, bool | int) else str(value)


def _limits(profile: Profile) -> tuple[float | None, float | None]:
    """Return limits that leave room: ten times the range that the values have around zero."""
    least, most = float(profile.least), float(profile.most)
    if not (math.isfinite(least) and math.isfinite(most)):
        raise UserError(f"{profile.name} has infinite values. Remove them in the source.")
    low = 0.0 if least >= 0 else -round_up(-10 * least)
    high = 0.0 if most <= 0 else round_up(10 * most)
    return tuple(int(end) if profile.type == "integer" else end for end in (low, high))  # type: ignore[return-value]


def _split(by_name: Mapping[str, Profile], request: AdoptionRequest) -> tuple[Split, Span, Span]:
    if request.time is None:
        by: Any = "group" if request.group else "row"
        held_out = round(_HELD_OUT * FOLDS)
        window = Span(first="fold-01", last=f"fold-{FOLDS - held_out:02}")
        holdout = Span(first=f"fold-{FOLDS - held_out + 1:02}", last=f"fold-{FOLDS:02}")
        return Split(by=by, salt=0), window, holdout
    profile = by_name[request.time]
    for period in ("month", "week", "day"):
        parts = part_range(period_of(_day(profile.least), period), period_of(_day(profile.most), period))
        if len(parts) >= _PERIODS or period == "day":
            break
    if len(parts) < 2:  # noqa: PLR2004 - one to train on, and one to judge on
        raise UserError(
            f"all rows are of {first_day(parts[0])}. A split by time needs at least two days; leave out TIME."
        )
    held_out = max(1, round(_HELD_OUT * len(parts) / 2))
    last = parts[-1]
    return (
        Split(by="time", period=period),
        Span(first=parts[0], last=later(last, -held_out)),
        Span(first=later(last, 1 - held_out), last=last),
    )


def _day(moment: Any) -> date:
    return moment.date() if isinstance(moment, datetime) else moment


def choose_salt(keys: Sequence[str], classes: np.ndarray[Any, Any]) -> int:
    """Return the salt with which the holdout has nearly the same share of each class as all rows.

    Args:
        keys: Key of each row; see `key_texts`.
        classes: Class of each row, of shape (rows,).
    """
    held_out = FOLDS - round(_HELD_OUT * FOLDS)
    totals = np.bincount(classes)

    def imbalance(salt: int) -> float:
        chosen = np.bincount(classes[fold_of(keys, salt) > held_out], minlength=len(totals))
        return float((np.abs(chosen - _HELD_OUT * totals) / np.sqrt(np.maximum(totals, 1))).max())

    return min(range(_SALTS), key=imbalance)
