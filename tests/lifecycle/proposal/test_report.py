"""Reports of proposals with invented values."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lifecycle.pipeline.checks import Check
from lifecycle.pipeline.evaluate import WHOLE
from lifecycle.proposal.changes import Changes
from lifecycle.proposal.compare import Difference, Part, Verdict
from lifecycle.proposal.gate import against_champion
from lifecycle.proposal.report import render
from lifecycle.proposal.results import Built, Chart, Comparison, Curves, Judged, Origins, Proposal, Reproduced
from lifecycle.shared.chosen_task import METRICS
from lifecycle.shared.intervals import Interval
from lifecycle.shared.params import load_params
from lifecycle.shared.text import LONGEST, clean

PARAMS = load_params()
# Gates that refuse an unclear verdict.
JUDGE = PARAMS.model_copy(update={"gates": PARAMS.gates.model_copy(update={"unclear": "refuse"})})


def part(verdict: Verdict = "better", delta: float = 0.01, reach: float = 0.005) -> Part:
    difference = Difference(0.7, 0.7 + delta, Interval(delta, delta - reach, delta + reach), verdict)
    return Part(1000, 31, dict.fromkeys(METRICS, difference))


def comparison(whole: Part, slices: int = 0, name: str = "x", origins: Origins | None = None) -> Comparison:
    curves = Curves(0, 1, {"champion": [0.0, 1.0], "candidate": [0.0, 1.0]})
    parts = {WHOLE: whole} | {("carrier", f"{name}{n}"): part(delta=n / 1e6) for n in range(slices)}
    return Comparison(
        "31 days", parts, origins, 1000, {}, charts=(Chart("ROC", "false positive rate", "true positive rate", curves),)
    )


def proposal(compared: Comparison | None = None, *checks: Check, **about: Any) -> Proposal:
    measured = {metric: {"value": 0.7, "low": 0.6, "high": 0.8} for metric in METRICS}
    gated = against_champion(JUDGE, compared.parts, compared.origins) if compared else []
    return Proposal(
        **{"commit": "c" * 40, "known_as": "version 3 of the registry"} | about,
        reported={
            "rows": 1000,
            "clusters": {"unit": "day", "count": 31},
            "target": {"base_rate": 0.3},
            "model": measured,
            "baseline": dict.fromkeys(METRICS, 0.5),
        },
        params=JUDGE,
        candidate=Built(3.0, 2**20, 0.02),
        champion=Built(None, 2**20, None),
        reproduced="bit for bit",
        judged=Judged(JUDGE, (*gated, *checks), compared),
        changes=Changes([], [], [], [], []),
    )


def headline(judged: Proposal) -> str:
    return render(judged).partition("\n")[0].removeprefix("## ")


def test_verdict_is_the_first_line() -> None:
    verdict, blank, about = render(proposal(comparison(part()))).splitlines()[:3]
    assert verdict == "## ✅ Better than the model in production"
    assert blank == ""
    assert "Champion: `cccccccccccc`, version 3 of the registry" in about
    assert "With one origin, the verdict is about these two models, and about days like those of 2013-07." in about


def differing(delta: float, reach: float, verdict: Verdict, **others: Difference) -> Part:
    """Return a part in which only the primary metric and the named others differ."""
    same = Difference(0.7, 0.7, Interval(0.0, -0.001, 0.001), "no worse")
    primary = Difference(0.7, 0.7 + delta, Interval(delta, delta - reach, delta + reach), verdict)
    return Part(1000, 31, dict.fromkeys(METRICS, same) | {"roc_auc": primary} | others)


def test_a_loss_is_described_in_a_sentence() -> None:
    first_line = headline(proposal(comparison(differing(-0.04, 0.005, "worse"))))
    margin = JUDGE.gates.worse_by_at_most["roc_auc"]
    assert (
        first_line == f"❌ Do not merge: ROC AUC fell by 0.040 (95% CI 0.035 to 0.045); at most {margin:g} is allowed"
    )


def test_too_few_rows_to_tell() -> None:
    unclear = proposal(comparison(differing(-0.002, 0.04, "unclear")))
    first_line = headline(unclear)
    assert first_line.startswith(
        "🟡 Too few rows to tell: this holdout (31 days) can show differences of 0.04 in ROC AUC"
    )
    needed = int(np.ceil(31 * (0.04 / JUDGE.gates.worse_by_at_most["roc_auc"]) ** 2))
    assert first_line.endswith(f"about {needed:,} days would be enough")
    assert not unclear.passed


def test_too_few_rows_pass_if_the_gates_allow_it() -> None:
    gates = JUDGE.gates.model_copy(update={"unclear": "pass"})
    judge = JUDGE.model_copy(update={"gates": gates})
    compared = comparison(differing(-0.002, 0.04, "unclear"))
    allowed = replace(
        proposal(compared), judged=Judged(judge, tuple(against_champion(judge, compared.parts, None)), compared)
    )
    assert allowed.passed
    assert headline(allowed).startswith("🟡 Too few rows to tell, which the gates let pass: ")


def test_not_better_if_another_metric_is_worse() -> None:
    """The headline names the metric that is worse, even if the primary metric is better."""
    worse = Difference(0.5, 0.6, Interval(0.1, 0.09, 0.11), "worse")
    first_line = headline(proposal(comparison(differing(0.01, 0.005, "better", log_loss=worse))))
    assert first_line.startswith("❌ Do not merge: log loss rose by 0.100 (95% CI 0.090 to 0.110); at most")


def over_origins(delta: float, reach: float, verdict: Verdict) -> Origins:
    same: tuple[Interval, Verdict] = Interval(0.0, -0.001, 0.001), "no worse"
    primary: tuple[Interval, Verdict] = Interval(delta, delta - reach, delta + reach), verdict
    periods = ("2013-04", "2013-05", "2013-06", "2013-07")
    differences = tuple(dict.fromkeys(METRICS, delta) for _ in periods)
    return Origins(periods, differences, dict.fromkeys(METRICS, same) | {"roc_auc": primary})


def test_several_origins_decide() -> None:
    """With several origins, the verdict of the holdout alone does not count, whether better or unclear."""
    lucky = proposal(comparison(differing(0.005, 0.001, "better"), origins=over_origins(0.001, 0.004, "no worse")))
    assert headline(lucky) == "✅ No worse than the model in production"
    unlucky = proposal(comparison(differing(-0.005, 0.02, "unclear"), origins=over_origins(0.002, 0.001, "better")))
    assert headline(unlucky) == "✅ Better than the model in production"
    few = proposal(comparison(differing(0, 0.001, "no worse"), origins=over_origins(-0.001, 0.03, "unclear")))
    assert headline(few).startswith("🟡 Too few rows to tell: these 4 origins can show differences of 0.03 in ROC AUC")
    assert "in periods like 2013-04, 2013-05, 2013-06, 2013-07, each trained on the rows before it." in render(few)


def test_the_trained_model_must_not_be_worse_on_the_holdout() -> None:
    """A recipe can be good, and the model that was trained from it broken."""
    broken = proposal(comparison(differing(-0.1, 0.005, "worse"), origins=over_origins(0.002, 0.001, "better")))
    assert headline(broken).startswith("❌ Do not merge: ROC AUC fell by 0.100 (95% CI 0.095 to 0.105) on the holdout;")


def test_a_slice_that_is_worse_is_named() -> None:
    compared = comparison(part(), slices=1)
    lost = Difference(0.7, 0.6, Interval(-0.1, -0.12, -0.08), "worse")
    worse = replace(compared.parts["carrier", "x0"], metrics=dict.fromkeys(METRICS, lost))
    first_line = headline(proposal(replace(compared, parts={**compared.parts, ("carrier", "x0"): worse})))
    assert first_line.startswith("❌ Do not merge: ROC AUC fell by 0.100 (95% CI 0.080 to 0.120) where `carrier = x0`;")


def test_no_slice_with_enough_rows_is_reported() -> None:
    small = replace(part(), rows=10)
    compared = replace(comparison(part()), parts={WHOLE: part(), ("carrier", "x"): small})
    assert "ROC AUC is judged in no slice: none has 500 rows" in render(proposal(compared))


def test_a_failed_comparison_says_how_to_go_on() -> None:
    check = Check("comparison", "comparable", None, None, None, passed=False, explanation="it cannot be compared")
    report = render(proposal(None, check, obstacle="every row was trained on"))
    assert report.startswith("## ❌ Do not merge: it cannot be compared\n")
    assert "> `every row was trained on`" in report
    assert "another" not in report
    assert "ask a maintainer to set the label `accept-regression`" in report


def test_a_changed_judge_is_in_the_first_line() -> None:
    compared = comparison(part())
    own = Judged(JUDGE, (Check("log_loss", "skill", 0.9, 0.1, None, passed=False),), compared)
    loosened = replace(proposal(compared), own=own, judge_changes=[("gates.skill_at_least.log_loss", 0.02, 0.9)])
    report = render(loosened)
    assert report.startswith("## ✅ Better than the model in production (⚠️ changes what it is judged by)\n")
    assert "It is judged by the gates of its base. By its own gates it would fail: Skill in log loss" in report
    assert "The gate of the base, which decides: all" in report
    assert "The gate that this proposal brings: 1 of 1 checks failed" in report
    assert clean(report) == report


def test_the_worst_slice_is_in_the_title() -> None:
    assert "the worst is <code>carrier = x0</code>: +0.0000 ROC AUC" in render(proposal(comparison(part(), 3)))


@pytest.mark.parametrize("slices", [10, 1_000, 5_000, 100_000])
def test_any_report_fits_into_a_comment(slices: int) -> None:
    report = render(proposal(comparison(part(), slices, "a long name of an airline " * 4)))
    assert len(report) <= LONGEST
    lines = report.splitlines()
    assert lines[0] == "## ✅ Better than the model in production"
    assert report.count("| **ROC AUC** ↑ | 0.7000 | 0.7100 |") == 1
    assert lines[-1].startswith("<sub>The committed `dvc.lock` was confirmed")
    assert report.count("<details") == report.count("</details>")
    assert ("sections are left out" in report) == (slices >= 1_000)
    assert clean(report) == report


def test_a_long_quotation_is_cut() -> None:
    report = render(proposal(obstacle="\n".join(["no\u200bthing `@all` " * 30] * 5_000)))
    assert len(report) <= LONGEST
    assert "@all" not in clean(report)


@pytest.mark.parametrize(
    ("reproduced", "sentence"),
    [
        ("bit for bit", "the outputs are the same, bit for bit"),
        ("in metrics only", "was confirmed in its metrics; other outputs differ"),
        ("not", "is out of date; this report is about the result of the sources"),
        ("no lock committed", "No `dvc.lock` is committed"),
    ],
)
def test_reproducibility(reproduced: Reproduced, sentence: str) -> None:
    assert sentence in render(replace(proposal(comparison(part())), reproduced=reproduced)).splitlines()[-1]
