"""Markdown, as the reports are written in."""

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]], align: str) -> str:
    """A table; `align` has an l or an r for each column."""
    marks = ["---:" if one == "r" else ":---" for one in align]
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, marks, *rows])
