"""Reports of make-believe proposals."""

from dataclasses import replace

import pytest

from model.params import load_params
from model.pipeline.evaluate import WHOLE
from model.pipeline.floors import Check
from model.pipeline.metrics import METRICS, Interval
from model.proposal.changes import Changes
from model.proposal.compare import Difference, Part, Verdict
from model.proposal.proposal import Built, Comparison, Curves, Proposal, Reproduced
from model.proposal.report import render
from model.proposal.words import LONGEST, clean


def part(verdict: Verdict = "better", delta: float = 0.01) -> Part:
    difference = Difference(0.7, 0.7 + delta, Interval(delta, delta - 0.005, delta + 0.005), verdict)
    return Part(1000, 0.3, dict.fromkeys(METRICS, difference))


def proposal(slices: int = 3, name: str = "x") -> Proposal:
    curves = Curves(0, 1, {"champion": [0.0, 1.0], "candidate": [0.0, 1.0]})
    parts = {WHOLE: part()} | {("carrier", f"{name}{n}"): part(delta=n / 1e6) for n in range(slices)}
    measured = {metric: {"value": 0.7, "low": 0.6, "high": 0.8} for metric in METRICS}
    return Proposal(
        commit="c" * 40,
        known_as="version 3 of the registry",
        reported={"rows": 1000, "base_rate": 0.3, "model": measured, "baseline": dict.fromkeys(METRICS, 0.5)},
        params=load_params(),
        candidate=Built(3.0, 2**20, 0.02),
        champion=Built(None, 2**20, None),
        reproduced="bit for bit",
        comparison=Comparison(parts, 0, 0, roc=curves, calibration=curves),
        changes=Changes([], [], [], [], []),
        checks=[Check("ROC AUC at least 0.7", "0.7100", passed=True)],
    )


def test_verdict_is_the_first_line() -> None:
    verdict, nothing, about = render(proposal()).splitlines()[:3]
    assert verdict == "## ✅ Better than the model in production"
    assert nothing == ""
    assert "Champion: `cccccccccccc`, version 3 of the registry" in about


def test_worst_slice_is_named() -> None:
    assert "the worst is <code>carrier = x0</code>: +0.0000 ROC AUC" in render(proposal())


@pytest.mark.parametrize("slices", [10, 1_000, 5_000, 100_000])
def test_fits_into_a_comment_whatever_happens(slices: int) -> None:
    report = render(proposal(slices, "a long name of an airline " * 4))
    assert len(report) <= LONGEST
    lines = report.splitlines()
    assert lines[0] == "## ✅ Better than the model in production"
    assert report.count("| ROC AUC ↑ | 0.7000 | 0.7100 |") == 1
    assert lines[-1].startswith("<sub>The committed `dvc.lock` was confirmed")
    assert report.count("<details") == report.count("</details>")
    assert ("sections are left out" in report) == (slices >= 1_000)
    assert clean(report) == report


def test_what_is_quoted_cannot_make_it_too_long() -> None:
    report = render(replace(proposal(), comparison=None, obstacle="\n".join(["no\u200bthing `@all` " * 30] * 5_000)))
    assert len(report) <= LONGEST
    assert "@all" not in clean(report)


@pytest.mark.parametrize(
    ("reproduced", "said"),
    [
        ("bit for bit", "the same outputs, bit for bit"),
        ("in metrics only", "was confirmed in its metrics; other outputs differ"),
        ("not", "is not what these sources give"),
        ("no lock committed", "No `dvc.lock` is committed"),
    ],
)
def test_reproducibility(reproduced: Reproduced, said: str) -> None:
    assert said in render(replace(proposal(), reproduced=reproduced)).splitlines()[-1]
