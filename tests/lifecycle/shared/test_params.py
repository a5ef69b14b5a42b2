from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from lifecycle.shared.console import UserError
from lifecycle.shared.params import Params, load_params
from tests.lifecycle.repository import EXAMPLE_PROJECT


def test_params_of_the_example() -> None:
    params = load_params(EXAMPLE_PROJECT / "params.yaml")
    assert params.window.parts() == ["2013-01", "2013-02", "2013-03", "2013-04", "2013-05", "2013-06"]
    assert params.holdout.parts() == ["2013-07"]
    assert type(params.chosen_hyperparameters()).__name__ == "HistGradientBoosting"


def test_months_across_a_new_year(params: Callable[..., Params]) -> None:
    changed_params = params(window={"first": "2012-11", "last": "2013-02"})
    assert changed_params.window.parts() == ["2012-11", "2012-12", "2013-01", "2013-02"]


def test_frozen(params: Callable[..., Params]) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        params().seed = 2


def changed(change: Callable[[dict[str, Any]], object], folder: Path) -> str:
    """Return the error that the example's params.yaml gives after a change."""
    values = yaml.safe_load((EXAMPLE_PROJECT / "params.yaml").read_text(encoding="utf-8"))
    change(values)
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    with pytest.raises(UserError) as raised:
        load_params(path)
    assert str(raised.value).startswith(f"{path} cannot be used:\n")
    return str(raised.value)


HYPER = "hyperparameters.hist_gradient_boosting"


@pytest.mark.parametrize(
    ("change", "messages"),
    [
        (
            lambda v: v.update(seeed=v.pop("seed")),
            ["seed: is missing", "seeed: unknown key; allowed here: threshold, metrics, slices,", "did you mean seed?"],
        ),
        (
            lambda v: v["hyperparameters"]["hist_gradient_boosting"].update(max_iters=3),
            [f"{HYPER}.max_iters: unknown key; allowed here: max_iter, learning_rate,", "did you mean max_iter?"],
        ),
        (
            lambda v: v.update(estimator="lightgbn"),
            ["estimator: there is no 'lightgbn'; allowed: hist_gradient_boosting,", "did you mean lightgbm?"],
        ),
        (lambda v: v.update(seed="2013"), ["seed: input should be a valid integer (it is '2013')"]),
        (lambda v: v.update(seed=True), ["seed: input should be a valid integer (it is True)"]),
        (lambda v: v.update(threshold=1.5), ["threshold: input should be less than 1 (it is 1.5)"]),
        (lambda v: v.update(threshold=float("nan")), ["threshold: input should be a finite number"]),
        (lambda v: v.update(model_format="pickle"), ["model_format: input should be 'onnx' or 'skops'"]),
        (lambda v: v["window"].update(last="2013-07"), ["the holdout starts in 2013-07, but the window goes on to"]),
        (lambda v: v["window"].update(last="2013-08"), ["the holdout starts in 2013-07, but the window goes on to"]),
        (lambda v: v["window"].update(last="2012-06"), ["window: first (2013-01) lies after last (2012-06)"]),
        (lambda v: v["holdout"].update(last="2013-06"), ["holdout: first (2013-07) lies after last (2013-06)"]),
        (lambda v: v["holdout"].pop("last"), ["holdout.last: is missing"]),
        (lambda v: v.pop("holdout"), ["holdout: is missing"]),
        (lambda v: v["window"].update(first="2013-13"), ["window.first: '2013-13' is no month (2030-07)"]),
        (
            lambda v: v.update(slices=["orgin", "distance"]),
            [
                "slices.0: 'orgin' is not a category of the contract; allowed: carrier, origin, destination",
                "slices.1: ",
            ],
        ),
        (
            lambda v: v["gates"]["skill_at_least"].update(logloss=0.1),
            [
                "gates.skill_at_least.logloss",
                "there is no metric 'logloss'; allowed: roc_auc,",
                "did you mean log_loss?",
            ],
        ),
        (lambda v: v["gates"]["worse_by_at_most"].update(accuracy=0.1), ["there is no metric 'accuracy'; allowed:"]),
        (
            lambda v: v["monitoring"]["worse_by_at_most"].update(calibration_error=0.1),
            ["'calibration_error' cannot be computed in production; allowed: roc_auc, average_precision,"],
        ),
        (lambda v: v["metrics"].update(primary="auc"), ["metrics.primary: there is no metric 'auc'"]),
        (
            lambda v: v["gates"]["worse_by_at_most"].pop("roc_auc"),
            ["gates.worse_by_at_most: has no roc_auc, the primary metric"],
        ),
        (lambda v: v.update(slices=[]), ["slices: is empty, so gates.slices_worse_by_at_most judges nothing"]),
        (lambda v: v["comparison"].update(origins=0), ["comparison.origins: input should be greater than 0"]),
        (lambda v: v["gates"].update(unclear="maybe"), ["gates.unclear: input should be 'refuse' or 'pass'"]),
    ],
)
def test_mistake_is_named(change: Callable[[dict[str, Any]], object], messages: list[str], tmp_path: Path) -> None:
    error = changed(change, tmp_path)
    for message in messages:
        assert message in error


@pytest.mark.parametrize("text", ["window: [1", "a: b: c", "\t- x", "\x00"])
def test_invalid_yaml(text: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="not valid YAML"):
        load_params(path)


@pytest.mark.parametrize("text", ["", "[]", "7", "- window"])
def test_yaml_of_another_shape(text: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="input should be an object"):
        load_params(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is missing"):
        load_params(tmp_path / "params.yaml")
