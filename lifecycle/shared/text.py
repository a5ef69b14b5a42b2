"""Markdown: tables, and text from untrusted sources made harmless, as a single value or as a whole report.

A character that would start something on GitHub (a mention, a link, HTML, a formula) is replaced by its full-width
look-alike, which can be read as before and starts nothing, wherever it stands.
"""

import re
from collections.abc import Iterable, Sequence

# Length of the longest report: a comment on GitHub holds 65,536 characters.
LONGEST = 60_000
# The first lines of a chart in a report. Any other diagram is shown as text.
CHART = (
    "```mermaid",
    '%%{init: {"themeVariables": {"xyChart": {"plotColorPalette": "royalblue, darkorange"}}}}%%',
    "xychart-beta",
)
# Printable according to Unicode, but invisible: fillers and variation selectors, except the one that makes an emoji.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0e\uffa0\U000e0100-\U000e01ef]"
)
_ACTIVE = re.compile(
    r"""
      [@$]                                                              # mentions and email addresses; formulas
    | <(?!/?(?:details|summary|sub|code)>|details\ open>)(?=[a-z/!?])   # HTML except the tags of the report; comments
    | \](?=[(\[:])                                                      # links, pictures, footnotes
    | (?<=:)\\?/(?=\\?/) | (?<=www)\\?\.                                # URLs that GitHub links automatically
    | \#(?=\d) | (?<=GH)\\?-(?=\d)                                      # issues, which may be mentioned or closed
    | &(?!(?:amp|lt|gt);)(?=\#?\w+;)                                    # any of these, written as an HTML entity
    """,
    re.VERBOSE | re.IGNORECASE,
)
_FENCE = re.compile(r"`{3,}|~{3,}")
_LINE_END = re.compile(r"\r\n?|\n")
_FULL_WIDTH = 0xFEE0  # offset of an ASCII character's look-alike


def table(header: Sequence[str], rows: Iterable[Sequence[str]], align: str) -> str:
    """Render a Markdown table.

    Args:
        header: Cells of the header.
        rows: Cells of each row.
        align: ``l`` or ``r`` for each column, for left or right.
    """
    marks = ["---:" if side == "r" else ":---" for side in align]
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, marks, *rows])


def foreign(text: object, longest: int = 80) -> str:
    """Render an untrusted value as a code span, in which nothing is a link, a mention, HTML or formatting.

    Titles, branches, file names, parameters and values of columns are chosen by whoever opens a pull request.
    """
    shown = _visible(str(text)).replace("`", "'").replace("|", "¦").strip()
    if len(shown) > longest:
        shown = f"{shown[:longest]}…"
    return f"`{shown}`" if shown else "` `"


def clean(report: str) -> str:
    """Clean a report that untrusted code has written, so that it is text and nothing more.

    The output of `report.render` stays as it is. Any other text mentions nobody, refers to no issue, links nowhere,
    loads no picture, hides nothing and cannot pass for a comment's watermark.
    """
    lines = [_ACTIVE.sub(_look_alike, _visible(line).rstrip()) for line in _LINE_END.split(report[:LONGEST])]
    in_block = False
    for number, line in enumerate(lines):
        starts_block = line == "```text" or (line == CHART[0] and tuple(lines[number : number + len(CHART)]) == CHART)
        if line == "```" if in_block else starts_block:
            in_block = not in_block
        else:
            lines[number] = _FENCE.sub(_look_alike, line)
    return "\n".join([*lines, "```"] if in_block else lines).strip() + "\n"


def _visible(text: str) -> str:
    """Replace each invisible character by a space."""
    return _INVISIBLE.sub(" ", "".join(character if character.isprintable() else " " for character in text))


def _look_alike(match: re.Match[str]) -> str:
    return "".join(chr(ord(character) + _FULL_WIDTH) for character in match[0])
