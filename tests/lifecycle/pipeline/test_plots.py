"""The page of plots if DVC or a template fails; the tests of tracking and of proposals cover a complete page."""

import json

import pytest

from lifecycle.pipeline import plots
from lifecycle.shared.console import CommandError

GOOD = {
    "data": {"values": [{"recall": 1, "rev": "workspace"}, {"recall": 0, "rev": "c0ffee"}]},
    "mark": "point",
    "encoding": {"x": {"field": "recall", "type": "quantitative"}, "color": {"field": "rev"}},
}


def test_plot_that_cannot_be_drawn_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other plots are still on the page; DVC's plots that are images are left out."""
    printed = {
        "data": {
            "good": [{"type": "vega", "content": GOOD}],
            "bad <b>": [{"type": "vega", "content": "{}"}],
            "text": [{"type": "vega", "content": json.dumps(GOOD)}],
            "picture": [{"type": "image", "url": "picture.png"}],
        }
    }
    commands = []

    def run(command: list[str]) -> str:
        commands.append(command)
        return json.dumps(printed)

    monkeypatch.setattr(plots, "run", run)
    page = plots.plots_page("candidate", "<i>better</i>", "c0ffee")
    assert commands == [["dvc", "plots", "diff", "c0ffee", "--json"]]
    assert page.count("<svg") == 2
    assert "The plot bad &lt;b&gt; cannot be drawn: " in page
    assert "&lt;i&gt;better&lt;/i&gt;" in page
    assert page.count(">candidate<") == page.count(">champion<") == 2
    assert "workspace" not in page


def test_dvc_that_fails_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_: list[str]) -> str:
        raise CommandError("ERROR: <no plots>", 1)

    monkeypatch.setattr(plots, "run", run)
    page = plots.plots_page("this run")
    assert "DVC could not make the plots: ERROR: &lt;no plots&gt;" in page
    assert "<svg" not in page
