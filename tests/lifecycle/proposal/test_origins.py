"""The recipe at earlier origins."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lifecycle.proposal.origins import (
    OriginPlan,
    model_folder,
    moved_back,
    possible_origins,
    train_at_origins,
    window_at,
)
from lifecycle.shared.params import Params, Span


def span(first: str, last: str) -> Span:
    return Span(first=first, last=last)


@pytest.mark.parametrize(
    ("back", "kept", "first", "last"),
    [
        (0, "first month", "2013-01", "2013-06"),
        (3, "first month", "2013-01", "2013-03"),
        (5, "first month", "2013-01", "2013-01"),
        (3, "length", "2012-10", "2013-03"),
    ],
)
def test_a_window_keeps_its_first_month_or_its_length(back: int, kept: str, first: str, last: str) -> None:
    window = window_at(span("2013-01", "2013-06"), back, rolling=kept == "length")
    assert window == span(first, last)


def test_no_month_before_the_first() -> None:
    assert window_at(span("2013-01", "2013-06"), 6, rolling=False) is None


def test_windows_that_end_a_month_apart_do_so_at_every_origin() -> None:
    """If a retraining of the same recipe ends a month after the champion's window, it does so at each origin."""
    for back in range(4):
        candidate, champion = (window_at(span("2013-01", last), back, rolling=False) for last in ("2013-07", "2013-06"))
        assert candidate
        assert champion
        assert moved_back(span(candidate.last, candidate.last), 1).last == champion.last


def test_as_many_origins_as_there_are_months_for(small: Path) -> None:
    """The data has January to April."""
    window, holdout = span("2013-01", "2013-03"), span("2013-04", "2013-04")
    assert possible_origins(window, holdout, small, rolling=False) == 3
    assert possible_origins(window, holdout, small, rolling=True) == 1
    assert possible_origins(span("2013-03", "2013-03"), holdout, small, rolling=True) == 3
    assert possible_origins(span("2013-01", "2013-02"), span("2013-03", "2013-04"), small, rolling=False) == 1
    assert possible_origins(span("2012-12", "2013-03"), holdout, small, rolling=False) == 0


def test_each_model_is_trained_on_the_months_before_its_origin(
    small: Path, params: Callable[..., Params], tmp_path: Path
) -> None:
    recipe = params(window={"first": "2013-01", "last": "2013-03"}, holdout={"first": "2013-04", "last": "2013-04"})
    fast = recipe.hyperparameters.hist_gradient_boosting.model_copy(update={"max_iter": 3})
    recipe = recipe.model_copy(
        update={"hyperparameters": recipe.hyperparameters.model_copy(update={"hist_gradient_boosting": fast})}
    )
    plan = OriginPlan(origins=3, seeds=2, apart=1)
    # The model of the last origin and the first seed is the one that the pipeline trains.
    assert plan.models() == [(0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]
    train_at_origins(recipe, plan, small, tmp_path / "origins")
    trained = {}
    for back, seed in plan.models():
        folder = model_folder(back, seed, tmp_path / "origins")
        metadata = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
        trained[back, seed] = (metadata["window"]["last"], metadata["rows"], metadata["seed"])
    assert trained == {
        (0, 1): ("2013-03", 9_000, 2014),
        (1, 0): ("2013-02", 6_000, 2013),
        (1, 1): ("2013-02", 6_000, 2014),
        (2, 0): ("2013-01", 3_000, 2013),
        (2, 1): ("2013-01", 3_000, 2014),
    }
