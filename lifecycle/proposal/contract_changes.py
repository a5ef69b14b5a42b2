"""Changes of the contract between champion and candidate, and what they mean for clients."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

Column = Mapping[str, Any]
_REFUSED = "get a 400"


class ContractChange(NamedTuple):
    """A change of a column, or of what the service answers.

    Attributes:
        column: Name of the column.
        change: What has changed.
        effect: What it means for clients.
        breaks: Whether requests or answers of today no longer work.
    """

    column: str
    change: str
    effect: str
    breaks: bool


def contract_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[ContractChange]:
    """Compare two contracts.

    Args:
        before: Contract of the champion, as JSON Schema.
        after: Contract of the candidate.

    Returns:
        The changes that clients notice; those that break something come first.
    """
    changes = [*_columns(before, after), *_target(before.get("target", {}), after.get("target", {}))]
    return sorted(changes, key=lambda change: not change.breaks)


def _columns(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[ContractChange]:
    old, new = before["properties"], after["properties"]
    had_to, have_to = set(before.get("required", old)), set(after.get("required", new))
    for name in dict.fromkeys((*old, *new)):
        if name not in new:
            yield ContractChange(name, "removed", f"requests that have it {_REFUSED}", breaks=True)
        elif name not in old and name in have_to:
            yield ContractChange(name, "added", f"requests without it {_REFUSED}", breaks=True)
        elif name not in old:
            yield ContractChange(name, "added, optional", "requests may have it", breaks=False)
        else:
            yield from _values(name, old[name], new[name])
            if name in have_to - had_to:
                yield ContractChange(name, "no longer optional", f"requests without it {_REFUSED}", breaks=True)
            elif name in had_to - have_to:
                yield ContractChange(name, "optional", "requests may leave it out", breaks=False)


def _values(name: str, old: Column, new: Column) -> Iterator[ContractChange]:
    """Yield the changes of the valid values of a column."""
    types = [_types(column) for column in (old, new)]
    kinds = [" or ".join(sorted(kinds - {"null"})) for kinds in types]
    if kinds[0] != kinds[1]:
        widened = kinds == ["integer", "number"]
        effect = "fractions are allowed" if widened else f"values of the old type {_REFUSED}"
        yield ContractChange(name, f"type {kinds[0]} → {kinds[1]}", effect, breaks=not widened)
        return
    if "null" in types[0] - types[1]:
        yield ContractChange(name, "must not be missing", "null gets a 400", breaks=True)
    elif "null" in types[1] - types[0]:
        yield ContractChange(name, "may be missing", "null is allowed", breaks=False)
    if old.get("unit") != new.get("unit"):
        change = f"unit {old.get('unit') or 'none'} → {new.get('unit') or 'none'}"
        effect = "nothing is refused, but the numbers mean something else: clients have to convert them"
        yield ContractChange(name, change, effect, breaks=True)
    yield from _range(name, old, new)
    yield from _categories(name, old, new)
    if old.get("pattern") != new.get("pattern") and new.get("pattern"):
        change = f"pattern {old.get('pattern') or 'none'} → {new['pattern']}"
        yield ContractChange(name, change, f"values that do not match it {_REFUSED}", breaks=True)


def _range(name: str, old: Column, new: Column) -> Iterator[ContractChange]:
    for limit, side, narrower in (("minimum", "below", 1), ("maximum", "above", -1)):
        before, after = old.get(limit), new.get(limit)
        if before == after:
            continue
        change = f"{limit} {'none' if before is None else before} → {'none' if after is None else after}"
        if after is not None and (before is None or (after - before) * narrower > 0):
            yield ContractChange(name, change, f"values {side} {after} {_REFUSED}", breaks=True)
        else:
            yield ContractChange(name, change, "more values are allowed", breaks=False)


def _categories(name: str, old: Column, new: Column) -> Iterator[ContractChange]:
    before, after = old.get("enum"), new.get("enum")
    if before == after:
        return
    if after is None:
        yield ContractChange(name, "any category", "more values are allowed", breaks=False)
    elif before is None:
        yield ContractChange(name, f"one of {', '.join(after)}", f"other values {_REFUSED}", breaks=True)
    else:
        gone, added = ([item for item in one if item not in other] for one, other in ((before, after), (after, before)))
        if gone:
            yield ContractChange(name, f"without {', '.join(gone)}", f"these values {_REFUSED}", breaks=True)
        if added:
            yield ContractChange(name, f"also {', '.join(added)}", "more values are allowed", breaks=False)


def _target(old: Column, new: Column) -> Iterator[ContractChange]:
    """Yield the changes of what the service answers."""
    if not old or not new:
        return
    if old["name"] != new["name"]:
        effect = "answers predict something else"
        yield ContractChange(new["name"], f"target {old['name']} → {new['name']}", effect, breaks=True)
        return
    kinds = [(column.get("type"), column.get("enum"), column.get("unit")) for column in (old, new)]
    if kinds[0] != kinds[1]:
        effect = "answers have other fields, classes or units"
        yield ContractChange(new["name"], "target of another kind", effect, breaks=True)


def _types(column: Column) -> set[str]:
    kind = column.get("type", [])
    return {kind} if isinstance(kind, str) else set(kind)
