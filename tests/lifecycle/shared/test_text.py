"""Untrusted reports, as GitHub's own Markdown renderer shows them."""

import re
from html.parser import HTMLParser

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.shared.text import CHART, LONGEST, clean, foreign

# The first two lines are Markdown's tags, the third the report's own; `input` is the checkbox of a task list.
ALLOWED = {"h1", "h2", "h3", "h4", "h5", "h6", "p", "br", "hr", "strong", "em", "del", "ul", "ol", "li", "blockquote"}
ALLOWED |= {"pre", "code", "table", "thead", "tbody", "tr", "th", "td", "input"}
ALLOWED |= {"details", "summary", "sub"}
# What GitHub turns into links in the text that Markdown leaves.
MENTION, ISSUE, ADDRESS = re.compile(r"@\w"), re.compile(r"(?:#|GH-)\d", re.IGNORECASE), re.compile(r"://|www\.")
FRAGMENTS = [
    *("@", "&#64;", "&commat;", "a", "1", " ", "\n", "\n\n", "\r", "\t", "#", "GH-", "&num;", "$", "$$", "\\", "!"),
    *("[", "]", "(", ")", "^", ":", "//", "http", "www.", "mailto:", "<", ">", "/", "<!--", "-->", "<img src=x>"),
    *("<a href=x>", "\\/", "\\.", "\\-", "`", "```", "~~~", "```mermaid", "```text", "```math", "<details>"),
    *("</details>", "<sub>", "|", "- ", "> ", "    ", "\u200b", "\u202e", "\u2028", "\x0b", "\x00", "\ufe0f", "\u3164"),
    *("fixes #1", "\n".join(CHART), "[x]: y\n", "xmpp:"),
]


class Page(HTMLParser):
    """A rendered page: its tags, its comments, the text outside of code, and language and content of code blocks."""

    def __init__(self, markdown: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.comments: list[str] = []
        self.languages: list[tuple[str, str]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(cmarkgfm.github_flavored_markdown_to_html(markdown, Options.CMARK_OPT_UNSAFE))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.text += " "  # GitHub looks at each text node separately
        self._open.append(tag)
        if tag == "pre":
            self.languages.append((dict(attrs).get("lang") or "", ""))

    def handle_endtag(self, tag: str) -> None:
        self.text += " "
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if "pre" in self._open:
            self.languages[-1] = (self.languages[-1][0], self.languages[-1][1] + data)
        elif "code" not in self._open:
            self.text += data

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)


def assert_harmless(report: str) -> None:
    cleaned = clean(report)
    assert len(cleaned) <= LONGEST + 10
    page = Page(cleaned)
    assert page.tags <= ALLOWED
    assert page.comments == []
    assert not MENTION.search(page.text)
    assert not ISSUE.search(page.text)
    assert not ADDRESS.search(page.text)
    assert "$" not in page.text
    for language, content in page.languages:
        assert language in {"", "text", "mermaid"}
        assert language != "mermaid" or content.startswith("\n".join(CHART[1:]))
    assert all(character.isprintable() or character == "\n" for character in cleaned)


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=25).map("".join))
def test_combined_fragments_are_harmless(report: str) -> None:
    assert_harmless(report)


@given(st.text())
def test_any_text_is_harmless(report: str) -> None:
    assert_harmless(report)


@pytest.mark.parametrize(
    "trick",
    [
        "@acme/all",
        "&#64;acme",
        "&commat;acme",
        "\\@acme",
        "Fixes #12, closes acme/flights#12, resolves GH-12",
        "fixes https://github.com/acme/flights/issues/12",
        "<!-- nobody sees this -->",
        "<span hidden>nobody sees this</span>",
        "<details ontoggle=alert(1)>",
        '<img src="http://example.org/who-reads-this.png">',
        "![](http://example.org/who-reads-this.png)",
        '![](https://cml.dev/watermark.png#abc "CML watermark ml-report")',
        "[the full report](http://example.org)",
        "[the full report][1]\n\n[1]: http://example.org",
        "[^1]\n\n[^1]: a footnote",
        "<http://example.org>",
        "```mermaid\nflowchart LR\nA-->B\nclick A href 'http://example.org'\n```",
        "- ```mermaid\n  flowchart LR\n  ```",
        "~~~math\nx\n~~~",
        "```geojson\n{}\n```",
        "$\\color{white}{nobody}$",
        "a\u200bb\u202ec\u00add",
        "\n".join(CHART) + "\nnever closed",
        "0" * 10**6,
    ],
)
def test_tricks(trick: str) -> None:
    assert_harmless(trick)
    assert_harmless(f"## ✅ Better\n\n<details><summary>More\n\n{trick}\n\n</details>\n")
    assert_harmless(f"```text\n{trick}")
    assert_harmless(f"| a |\n| --- |\n| {trick} |\n")


def test_an_ordinary_report_stays_as_it_is() -> None:
    report = "\n".join(
        [
            "## ⚠️ Accepted with a regression by `maintainer`: ROC AUC worse by at most 0.003: worse: -0.0100",
            "",
            "**flight-delay**, judged on 2013-07: 29,425 rows. Champion: `0123456789ab`, version 3 of the registry.",
            "",
            "| | champion | 95% interval |",
            "| :--- | ---: | ---: |",
            "| ROC AUC ↑ | 0.7520 | -0.0010 to +0.0020 |",
            "",
            "<details open><summary>Slices; the worst is <code>a &lt; b</code></summary>",
            "",
            *CHART,
            '  title "ROC: champion in blue and candidate in orange"',
            "  line [0.000, 1.000]",
            "```",
            "",
            "```text",
            '  File "train.py", line 3, in main',
            "```",
            "</details>",
            "",
            "<sub>Merging creates no new version.</sub>",
            "",
        ]
    )
    assert clean(report) == report


def test_a_value_is_a_code_span() -> None:
    assert foreign("a`b|c\nd\u200b") == "`a'b¦c d`"
    assert foreign("") == "` `"
    assert foreign("x" * 1000) == f"`{'x' * 80}…`"
    assert foreign(None) == "`None`"
    assert "em" not in Page(f"value {foreign('*a* <b>')}").tags
