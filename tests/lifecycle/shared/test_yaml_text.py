"""DVC, the settings and MLflow read the same values from params.yaml."""

from pathlib import Path

import pytest
from dvc.utils.serialize import parse_yaml as parse_as_dvc

from lifecycle.shared.console import UserError
from lifecycle.shared.params import load_params
from lifecycle.shared.yaml_text import edit_yaml, parse_yaml
from tests.lifecycle.repository import EXAMPLE_PROJECT

PARAMS = (EXAMPLE_PROJECT / "params.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "value", ["010", "0o10", "1e-3", "12e3", "yes", "off", "1:30", "1_000", "0x1F", "~", "2013-01"]
)
def test_read_as_dvc_does(value: str) -> None:
    text = f"value: {value}\n"
    assert parse_yaml(text) == parse_as_dvc(text, "params.yaml")


def test_settings_take_what_dvc_takes(tmp_path: Path) -> None:
    """As YAML 1.1, `010` would be 8 in training but 10 in dvc.lock."""
    path = tmp_path / "params.yaml"
    path.write_text(
        PARAMS.replace("max_iter: 200", "max_iter: 010").replace("seed: 2013", "seed: 007"), encoding="utf-8"
    )
    params = load_params(path)
    assert (params.hyperparameters.hist_gradient_boosting.max_iter, params.seed) == (10, 7)


def test_repeated_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"{PARAMS}\nseed: 1\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"is not valid YAML: line \d+: found duplicate key .seed. with"):
        load_params(path)


def test_only_what_is_edited_changes() -> None:
    edited = edit_yaml(PARAMS, {"holdout": {"first": "2013-08", "last": "2013-08"}, "seed": 1})
    before, after = PARAMS.splitlines(), edited.splitlines()
    assert len(before) == len(after)
    changed = [line for line, new in zip(before, after, strict=True) if line != new]
    assert all("2013-07" in line or line.startswith("seed:") for line in changed)
    assert parse_yaml(edited) == parse_yaml(PARAMS) | {"holdout": {"first": "2013-08", "last": "2013-08"}, "seed": 1}


def test_the_rest_stays_as_it_is_written() -> None:
    text = "a: \"x\"\nb: 010   # c\nc: 1e-3\nlist:\n  - 's'\nseed: 3\n"
    assert edit_yaml(text, {"seed": 4}) == text.replace("seed: 3", "seed: 4")
    without_indent = "list:\n- x\nseed: 3\n"
    assert edit_yaml(without_indent, {"seed": 4}) == without_indent.replace("seed: 3", "seed: 4")
