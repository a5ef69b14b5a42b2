"""Markdown: tables, and text that somebody else has chosen, made harmless, as a value or as a whole report.

What begins something on GitHub (a mention, a link, HTML, a formula) is replaced by its full-width look-alike: it can be
read as before, wherever it stands, and begins nothing.
"""

import re
from collections.abc import Iterable, Sequence

# The longest report: a comment on GitHub holds 65,536 characters.
LONGEST = 60_000
# How a chart of the report begins. Any other picture is shown as text.
CHART = (
    "```mermaid",
    '%%{init: {"themeVariables": {"xyChart": {"plotColorPalette": "royalblue, darkorange"}}}}%%',
    "xychart-beta",
)
# Printable by the standard, and seen by nobody: fillers and selectors of variants, but the one that makes an emoji.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0e\uffa0\U000e0100-\U000e01ef]"
)
_ACTIVE = re.compile(
    r"""
      [@$]                                                              # mentions and addresses; formulas
    | <(?!/?(?:details|summary|sub|code)>|details\ open>)(?=[a-z/!?])   # HTML, but what the report has, and comments
    | \](?=[(\[:])                                                      # links, pictures, footnotes
    | (?<=:)\\?/(?=\\?/) | (?<=www)\\?\.                                # addresses that become links by themselves
    | \#(?=\d) | (?<=GH)\\?-(?=\d)                                      # issues: named, and closed
    | &(?!(?:amp|lt|gt);)(?=\#?\w+;)                                    # any of these, written as an entity
    """,
    re.VERBOSE | re.IGNORECASE,
)
_FENCE = re.compile(r"`{3,}|~{3,}")
_LINE_END = re.compile(r"\r\n?|\n")
_FULL_WIDTH = 0xFEE0  # from a character of ASCII to its look-alike


def table(header: Sequence[str], rows: Iterable[Sequence[str]], align: str) -> str:
    """Render a table.

    Args:
        header: Cells of the first line.
        rows: Cells of the other lines.
        align: An ``l`` or an ``r`` for each column.
    """
    marks = ["---:" if side == "r" else ":---" for side in align]
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, marks, *rows])


def foreign(text: object, longest: int = 80) -> str:
    """A value that somebody else has chosen, as a code span: in it nothing is a link, a mention, HTML or formatting.

    A title, a branch, a file's name, a parameter, a value of a column: whoever opens a pull request chooses them.
    """
    shown = _seen(str(text)).replace("`", "'").replace("|", "¦").strip()
    if len(shown) > longest:
        shown = f"{shown[:longest]}…"
    return f"`{shown}`" if shown else "` `"


def clean(report: str) -> str:
    """A report that the code of a stranger has written, so that it is text and nothing more.

    What `report.render` writes stays as it is. What is left of anything else mentions nobody, refers to no issue, links
    nowhere, loads no picture, hides nothing and cannot pass for a comment's watermark.
    """
    lines = [_ACTIVE.sub(_look_alike, _seen(line).rstrip()) for line in _LINE_END.split(report[:LONGEST])]
    opened = False
    for number, line in enumerate(lines):
        begins = line == "```text" or (line == CHART[0] and tuple(lines[number : number + len(CHART)]) == CHART)
        if line == "```" if opened else begins:
            opened = not opened
        else:
            lines[number] = _FENCE.sub(_look_alike, line)
    return "\n".join([*lines, "```"] if opened else lines).strip() + "\n"


def _seen(text: str) -> str:
    """The text with a space for each character that is not seen."""
    return _UNSEEN.sub(" ", "".join(character if character.isprintable() else " " for character in text))


def _look_alike(found: re.Match[str]) -> str:
    return "".join(chr(ord(character) + _FULL_WIDTH) for character in found[0])
