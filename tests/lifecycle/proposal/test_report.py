"""Reports of make-believe proposals."""

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
from lifecycle.proposal.results import Built, Comparison, Curves, Judged, Origins, Proposal, Reproduced
from lifecycle.shared.intervals import Interval
from lifecycle.shared.metrics import METRICS
from lifecycle.shared.params import load_params
from lifecycle.shared.text import LONGEST, clean

REPOSITORY_S = load_params()
# Gates that refuse what is unclear.
JUDGE = REPOSITORY_S.model_copy(update={"gates": REPOSITORY_S.gates.model_copy(update={"unclear": "refuse"})})


def part(verdict: Verdict = "better", delta: float = 0.01, reach: float = 0.005) -> Part:
    difference = Difference(0.7, 0.7 + delta, Interval(delta, delta - reach, delta + reach), verdict)
    return Part(1000, 31, 0.3, dict.fromkeys(METRICS, difference))


def comparison(whole: Part, slices: int = 0, name: str = "x", origins: Origins | None = None) -> Comparison:
    curves = Curves(0, 1, {"champion": [0.0, 1.0], "candidate": [0.0, 1.0]})
    parts = {WHOLE: whole} | {("carrier", f"{name}{n}"): part(delta=n / 1e6) for n in range(slices)}
    return Comparison("31 days", parts, origins, 1000, {}, roc=curves, calibration=curves)


def proposal(found: Comparison | None = None, *checks: Check, **about: Any) -> Proposal:
    measured = {metric: {"value": 0.7, "low": 0.6, "high": 0.8} for metric in METRICS}
    gated = against_champion(JUDGE, found.parts, found.origins) if found else []
    return Proposal(
        **{"commit": "c" * 40, "known_as": "version 3 of the registry"} | about,
        reported={
            "rows": 1000,
            "clusters": {"unit": "day", "count": 31},
            "base_rate": 0.3,
            "model": measured,
            "baseline": dict.fromkeys(METRICS, 0.5),
        },
        params=JUDGE,
        candidate=Built(3.0, 2**20, 0.02),
        champion=Built(None, 2**20, None),
        reproduced="bit for bit",
        judged=Judged(JUDGE, (*gated, *checks), found),
        changes=Changes([], [], [], [], []),
    )


def headline(made: Proposal) -> str:
    return render(made).partition("\n")[0].removeprefix("## ")


def test_verdict_is_the_first_line() -> None:
    verdict, nothing, about = render(proposal(comparison(part()))).splitlines()[:3]
    assert verdict == "## ✅ Better than the model in production"
    assert nothing == ""
    assert "Champion: `cccccccccccc`, version 3 of the registry" in about
    assert "With one origin, the verdict is about these two models, and about days like those of 2013-07." in about


def differing(delta: float, reach: float, verdict: Verdict, **others: Difference) -> Part:
    """A part in which the primary metric differs, and the others do not unless they are named."""
    same = Difference(0.7, 0.7, Interval(0.0, -0.001, 0.001), "no worse")
    primary = Difference(0.7, 0.7 + delta, Interval(delta, delta - reach, delta + reach), verdict)
    return Part(1000, 31, 0.3, dict.fromkeys(METRICS, same) | {"roc_auc": primary} | others)


def test_a_loss_is_said_in_a_sentence() -> None:
    said = headline(proposal(comparison(differing(-0.04, 0.005, "worse"))))
    margin = JUDGE.gates.worse_by_at_most["roc_auc"]
    assert said == f"❌ Do not merge: ROC AUC fell by 0.040 (95% CI 0.035 to 0.045); at most {margin:g} is allowed"


def test_too_few_rows_are_no_loss() -> None:
    made = proposal(comparison(differing(-0.002, 0.04, "unclear")))
    said = headline(made)
    assert said.startswith("🟡 Too few rows to tell: this holdout (31 days) can show differences of 0.04 in ROC AUC")
    needed = int(np.ceil(31 * (0.04 / JUDGE.gates.worse_by_at_most["roc_auc"]) ** 2))
    assert said.endswith(f"about {needed:,} days would be enough")
    assert not made.passed


def test_too_few_rows_pass_where_the_gates_say_so() -> None:
    gates = JUDGE.gates.model_copy(update={"unclear": "pass"})
    judge = JUDGE.model_copy(update={"gates": gates})
    found = comparison(differing(-0.002, 0.04, "unclear"))
    made = replace(proposal(found), judged=Judged(judge, tuple(against_champion(judge, found.parts, None)), found))
    assert made.passed
    assert headline(made).startswith("🟡 Too few rows to tell, which the gates let pass: ")


def test_not_better_beside_a_worse() -> None:
    """A guard that is worse is what the headline says, however much better the primary metric is."""
    worse = Difference(0.5, 0.6, Interval(0.1, 0.09, 0.11), "worse")
    said = headline(proposal(comparison(differing(0.01, 0.005, "better", log_loss=worse))))
    assert said.startswith("❌ Do not merge: log loss rose by 0.100 (95% CI 0.090 to 0.110); at most")


def over_origins(delta: float, reach: float, verdict: Verdict) -> Origins:
    same: tuple[Interval, Verdict] = Interval(0.0, -0.001, 0.001), "no worse"
    primary: tuple[Interval, Verdict] = Interval(delta, delta - reach, delta + reach), verdict
    periods = ("2013-04", "2013-05", "2013-06", "2013-07")
    differences = tuple(dict.fromkeys(METRICS, delta) for _ in periods)
    return Origins(periods, differences, dict.fromkeys(METRICS, same) | {"roc_auc": primary})


def test_several_origins_decide() -> None:
    """What one period shows for better or for unclear is not the verdict, where there are several."""
    lucky = proposal(comparison(differing(0.005, 0.001, "better"), origins=over_origins(0.001, 0.004, "no worse")))
    assert headline(lucky) == "✅ No worse than the model in production"
    unlucky = proposal(comparison(differing(-0.005, 0.02, "unclear"), origins=over_origins(0.002, 0.001, "better")))
    assert headline(unlucky) == "✅ Better than the model in production"
    few = proposal(comparison(differing(0, 0.001, "no worse"), origins=over_origins(-0.001, 0.03, "unclear")))
    assert headline(few).startswith("🟡 Too few rows to tell: these 4 origins can show differences of 0.03 in ROC AUC")
    assert "in a period like 2013-04, 2013-05, 2013-06, 2013-07" in render(few)


def test_the_trained_model_must_not_be_worse_on_the_holdout() -> None:
    """A recipe may be as good as ever, and this very model broken."""
    made = proposal(comparison(differing(-0.1, 0.005, "worse"), origins=over_origins(0.002, 0.001, "better")))
    assert headline(made).startswith("❌ Do not merge: ROC AUC fell by 0.100 (95% CI 0.095 to 0.105) on the holdout;")


def test_a_slice_that_is_worse_is_named() -> None:
    found = comparison(part(), slices=1)
    lost = Difference(0.7, 0.6, Interval(-0.1, -0.12, -0.08), "worse")
    worse = replace(found.parts["carrier", "x0"], metrics=dict.fromkeys(METRICS, lost))
    said = headline(proposal(replace(found, parts={**found.parts, ("carrier", "x0"): worse})))
    assert said.startswith("❌ Do not merge: ROC AUC fell by 0.100 (95% CI 0.080 to 0.120) where `carrier = x0`;")


def test_no_slice_with_enough_rows_is_not_met_in_silence() -> None:
    small = replace(part(), rows=10)
    found = replace(comparison(part()), parts={WHOLE: part(), ("carrier", "x"): small})
    assert "ROC AUC is judged in no slice: none has 500 rows" in render(proposal(found))


def test_what_cannot_be_compared_says_how_to_go_on() -> None:
    check = Check("comparison", "comparable", None, None, None, passed=False, explanation="it cannot be compared")
    report = render(proposal(None, check, obstacle="every row was trained on"))
    assert report.startswith("## ❌ Do not merge: it cannot be compared\n")
    assert "> `every row was trained on`" in report
    assert "another" not in report
    assert "ask a maintainer to set the label `accept-regression`" in report


def test_another_judge_is_said_in_the_first_line() -> None:
    found = comparison(part())
    own = Judged(JUDGE, (Check("log_loss", "skill", 0.9, 0.1, None, passed=False),), found)
    made = replace(proposal(found), own=own, judge_changes=[("gates.skill_at_least.log_loss", 0.02, 0.9)])
    report = render(made)
    assert report.startswith("## ✅ Better than the model in production (⚠️ changes what it is judged by)\n")
    assert "It is judged by the gates of its base. By its own gates it would fail: Skill in log loss" in report
    assert "The gate of the base, which decides: all" in report
    assert "The gate that this proposal brings: 1 of 1 checks failed" in report
    assert clean(report) == report


def test_worst_slice_is_named() -> None:
    assert "the worst is <code>carrier = x0</code>: +0.0000 ROC AUC" in render(proposal(comparison(part(), 3)))


@pytest.mark.parametrize("slices", [10, 1_000, 5_000, 100_000])
def test_fits_into_a_comment_whatever_happens(slices: int) -> None:
    report = render(proposal(comparison(part(), slices, "a long name of an airline " * 4)))
    assert len(report) <= LONGEST
    lines = report.splitlines()
    assert lines[0] == "## ✅ Better than the model in production"
    assert report.count("| **ROC AUC** ↑ | 0.7000 | 0.7100 |") == 1
    assert lines[-1].startswith("<sub>The committed `dvc.lock` was confirmed")
    assert report.count("<details") == report.count("</details>")
    assert ("sections are left out" in report) == (slices >= 1_000)
    assert clean(report) == report


def test_what_is_quoted_cannot_make_it_too_long() -> None:
    report = render(proposal(obstacle="\n".join(["no\u200bthing `@all` " * 30] * 5_000)))
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
    assert said in render(replace(proposal(comparison(part())), reproduced=reproduced)).splitlines()[-1]
