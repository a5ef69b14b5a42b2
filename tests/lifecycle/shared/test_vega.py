"""Pictures that load nothing from elsewhere, and pages that escape their texts."""

import json
import re
from typing import Any

import pytest

from lifecycle.shared.vega import DrawingError, Picture, page, to_svg

BARS: dict[str, Any] = {
    "data": {"values": [{"name": "<img src=x>", "rows": 3}]},
    "mark": "bar",
    "encoding": {
        "x": {"field": "name", "type": "nominal"},
        "y": {"field": "rows", "type": "quantitative"},
    },
}


@pytest.mark.parametrize("specification", [BARS, json.dumps(BARS)], ids=["parsed", "as JSON"])
def test_values_are_escaped(specification: str | dict[str, Any]) -> None:
    svg = to_svg(specification)
    assert svg.startswith("<svg")
    assert "&lt;img src=x&gt;" in svg
    assert "<img" not in svg


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/rows.csv", "https://example.org/rows.csv", "/etc/hosts"])
def test_nothing_is_loaded(url: str) -> None:
    with pytest.raises(DrawingError, match="not allowed"):
        to_svg(BARS | {"data": {"url": url}})


@pytest.mark.parametrize(
    ("specification", "reason"),
    [
        ("{", "Failed to parse"),
        ("{}", "Invalid specification"),
        (BARS | {"mark": "drawing"}, "TypeError"),
    ],
)
def test_drawing_error_gives_the_reason_in_one_line(specification: str | dict[str, Any], reason: str) -> None:
    with pytest.raises(DrawingError, match=reason) as error:
        to_svg(specification)
    assert "\n" not in str(error.value)
    assert "jsdelivr" not in str(error.value)


def test_page_escapes_its_texts() -> None:
    html = page("<a>", ["<c>", ""], [Picture("<svg></svg>", "<e>", "<f>"), Picture("<svg></svg>")])
    assert re.findall(r"&lt;(.)&gt;", html) == ["a", "a", "c", "e", "f"]
    assert not re.search("<[acef]>", html)
    assert html.count("<p>") == 1
    assert html.count("<svg></svg>") == 2
    assert html.count("<figcaption>") == 1
