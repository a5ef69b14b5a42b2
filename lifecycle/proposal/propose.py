"""Make a proposal from a finished pipeline: find the champion, compare, and apply the gates."""

import json
import sys
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lifecycle.pipeline import stage
from lifecycle.pipeline.checks import Check, reported_floors, skill_floors
from lifecycle.pipeline.evaluate import WHOLE, point_metrics, score_settings
from lifecycle.pipeline.track import LOCK
from lifecycle.proposal import changes, gate
from lifecycle.proposal.asked import Asked, asked_before, due_after
from lifecycle.proposal.base import other_model
from lifecycle.proposal.champion import REQUIREMENTS, Champion, NoChampionError, base_data, check_out, find
from lifecycle.proposal.compare import compare, compare_over_origins
from lifecycle.proposal.contract_changes import contract_changes
from lifecycle.proposal.data_edits import render_edits
from lifecycle.proposal.data_warnings import edited_holdout, edits_since, suspected_leaks, unrecognised_periods
from lifecycle.proposal.interface import CURRENT
from lifecycle.proposal.report import evenly
from lifecycle.proposal.results import Built, Chart, Comparison, Judged, Origins, Proposal, Reproduced
from lifecycle.proposal.rows import NotComparableError
from lifecycle.proposal.scored import ScoredOrigins, score_origins
from lifecycle.shared import github
from lifecycle.shared.chosen_task import METRICS, TASK
from lifecycle.shared.commands import git, git_show, run
from lifecycle.shared.console import CommandError, UserError
from lifecycle.shared.metrics import Floats
from lifecycle.shared.params import PARAMS, Judge, Params, parse_judge
from lifecycle.shared.parts import DATA
from lifecycle.shared.predictor import model_hash
from lifecycle.shared.schema import json_schema
from lifecycle.shared.tasks.task import Curve, Predictions, Targets
from lifecycle.shared.text import foreign
from lifecycle.shared.yaml_text import parse_yaml

_HOLDOUT = stage.PREPARED / "holdout.parquet"


def propose(params: Params, base: str, accepter: str) -> Proposal:
    """Compare the finished pipeline's model with the champion, and judge it.

    Args:
        params: Parameters of the candidate.
        base: Commit that the proposal is made against. Its gates apply, and its model is the champion if there is no
            registry.
        accepter: GitHub user who accepts a regression; empty if there is none.
    """
    reported = json.loads((stage.REPORTS / "metrics.json").read_text(encoding="utf-8"))
    candidate = _built(stage.MODEL, stage.seconds_taken("train"), _latency(None))
    judge, judge_obstacle = _judge_of(base, params)
    judge_changes = changes.changed_judge(judge, params)
    commit, known_as = find(base)
    edited = changes.edited_objects(base)

    def judged(by: Judge, scored: ScoredOrigins | None, obstacle: str = "") -> Judged:
        checks = gate.budgets(by.gates, candidate)
        if obstacle:
            reason = "it cannot be compared with the model in production"
            checks.insert(0, Check("comparison", "comparable", None, None, None, passed=False, explanation=reason))
        if scored is None:
            return Judged(by, (*checks, *reported_floors(by.gates, reported)))
        comparison = _comparison(scored, by)
        compared = gate.against_champion(by, comparison.parts, comparison.origins)
        return Judged(by, (*compared, *_floors(by, scored, comparison), *checks), comparison)

    def proposal(
        scored: ScoredOrigins | None = None, champion_columns: Collection[str] | None = None, **about: Any
    ) -> Proposal:
        obstacle = about.get("obstacle", "")
        decided = judged(judge, scored, obstacle)
        asked, warning = _asked(decided, params, base)
        leaks = suspected_leaks(params, champion_columns, decided.comparison) if not about.get("unchanged") else []
        about["warnings"] = [*edited, *about.get("warnings", ()), *leaks, *filter(None, [warning])]
        return Proposal(
            **{"commit": commit, "known_as": known_as, "accepted_by": accepter} | about,
            reported=reported,
            params=params,
            candidate=candidate,
            reproduced=_reproduced(),
            judged=decided,
            asked=asked,
            own=judged(params, scored, obstacle) if judge_changes else None,
            judge_changes=judge_changes,
            judge_obstacle=judge_obstacle,
        )

    try:
        if _made_of_the_same(commit):
            return proposal(unchanged=True)
        champion = check_out(commit, known_as)
    except NoChampionError as error:
        return proposal(commit=None, known_as=str(error))
    except CommandError as error:
        return proposal(obstacle=f"the champion cannot be restored:\n{error}")
    about: dict[str, Any] = {
        "known_as": champion.known_as,
        "champion": _built(champion.model, stage.seconds_taken("train", champion.folder), _latency(champion)),
        "changes": _changes(champion, params),
    }
    about["contract_changes"] = contract_changes(champion.schema(), json_schema())
    champion_columns = champion.schema()["properties"].keys()
    try:
        before = base_data(base)
        edits = edits_since(before, params, champion)
        about["data_edits"] = "\n".join(render_edits(edits))
        about["warnings"] = [*edited_holdout(edits), *unrecognised_periods(params, champion)]
        if model_hash(champion.model) == model_hash(stage.MODEL):
            return proposal(**about, unchanged=True)
        slices = tuple(dict.fromkeys((*judge.slices, *params.slices)))
        scored = score_origins(champion, params, judge, slices, before)
    except (NotComparableError, CommandError, UserError) as error:
        return proposal(**about, champion_columns=champion_columns, obstacle=str(error))
    return proposal(scored, **about, champion_columns=champion_columns)


def _asked(judged: Judged, params: Params, base: str) -> tuple[Asked | None, str]:
    """Return how often the holdout was used, or a warning if that is unknown."""
    if judged.comparison is None:
        return None, ""
    name, whole = judged.judge.metrics.primary, judged.comparison.parts[WHOLE]
    margin = judged.judge.gates.worse_by_at_most[name]
    due = due_after(whole.metrics[name].delta, margin, whole.clusters, judged.judge.metrics.confidence)
    try:
        return Asked(asked_before(params.holdout, base), due), ""
    except (CommandError, *github.Errors) as error:
        return None, f"It is unknown how many proposals were judged on this holdout: {foreign(error, 200)}"


def _judge_of(base: str, params: Params) -> tuple[Judge, str]:
    """Return the judge of the base. If it cannot be used, return the proposal's own one and the reason."""
    if other := other_model(base):
        return params, f"it has another model, {other}"
    try:
        return parse_judge(git("show", f"{base}:{PARAMS}"), f"{PARAMS} of the base"), ""
    except (CommandError, UserError) as error:
        return params, str(error)


def _over_origins(scored: ScoredOrigins, judge: Judge) -> Origins:
    compared = compare_over_origins(scored.differences, judge, len(scored.rows.targets))
    return Origins(scored.periods, scored.differences, compared)


def _comparison(scored: ScoredOrigins, judge: Judge) -> Comparison:
    rows = scored.rows
    slices = {key: chosen for key, chosen in rows.slices.items() if key[0] in judge.slices}
    both = {"champion": rows.champion, "candidate": rows.candidate}
    return Comparison(
        clusters=rows.clusters.in_words(),
        parts=compare(replace(rows, slices=slices), judge),
        origins=_over_origins(scored, judge) if len(scored.periods) > 1 else None,
        rows=scored.judged.total,
        left_out=scored.judged.left_out,
        charts=_charts(rows.targets, both, judge),
    )


def _charts(targets: Targets, both: Mapping[str, Predictions], judge: Judge) -> tuple[Chart, ...]:
    """Return the curves of both models that the task charts."""
    curves = {who: TASK.curves(targets, predictions, **score_settings(judge)) for who, predictions in both.items()}
    return tuple(
        Chart(title, x, y, evenly({who: _points(of_model[name]) for who, of_model in curves.items()}))
        for name, (title, x, y) in TASK.charts.items()
    )


def _points(curve: Curve) -> tuple[Floats, Floats]:
    """Return the first two columns of a curve."""
    x, y, *_ = np.array(curve.rows, dtype=np.float64).T
    return x, y


def _floors(judge: Judge, scored: ScoredOrigins, comparison: Comparison) -> list[Check]:
    """Return the checks of the candidate's skill, on the rows that both models are judged on."""
    targets = scored.rows.targets
    baseline = point_metrics(targets, TASK.constant(scored.baseline, len(targets)), judge)
    model = {name: difference.candidate for name, difference in comparison.parts[WHOLE].metrics.items()}
    return skill_floors(judge.gates, model, dict(zip(METRICS, baseline.tolist(), strict=True)))


def _changes(champion: Champion, params: Params) -> changes.Changes:
    metadata = champion.metadata()
    folders = champion.folder, Path()
    return changes.Changes(
        changes.changed_params(*((folder / PARAMS).read_text(encoding="utf-8") for folder in folders)),
        changes.changed_parts(champion.folder / DATA, metadata["window"], DATA, params),
        changes.drift(metadata),
        changes.changed_files(champion.commit),
        changes.changed_packages(
            *((folder / REQUIREMENTS).read_text(encoding="utf-8") for folder in folders),
        ),
    )


def _built(model: Path, seconds: float | None, latency: float | None) -> Built:
    return Built(seconds, sum(file.stat().st_size for file in model.iterdir()), latency)


def _latency(champion: Champion | None) -> float | None:
    """Measure the latency of the champion or, with None, of the candidate; None if its commit cannot measure it."""
    rows = _HOLDOUT.resolve()
    try:
        if champion:
            return float(champion.run("-m", champion.interface.latency, rows))
        return float(run([sys.executable, "-m", CURRENT.latency, rows]))
    except CommandError:
        return None


def _reproduced() -> Reproduced:
    committed, current = git_show("HEAD", LOCK), LOCK.read_text(encoding="utf-8")
    if not committed:
        return "no lock committed"
    if _outputs(committed) == _outputs(current):
        return "bit for bit"
    metrics = stage.REPORTS / "metrics.json"
    return "in metrics only" if git_show("HEAD", metrics) == metrics.read_text(encoding="utf-8") else "not"


def _outputs(lock: str) -> dict[str, str]:
    stages: dict[str, Any] = parse_yaml(lock)["stages"]
    return {out["path"]: out["md5"] for entry in stages.values() for out in entry["outs"]}


def _made_of_the_same(commit: str) -> bool:
    """Return whether a commit has the same model as this one, from the same sources.

    An equal lock is not enough, because an edit of params.yaml on the web leaves the lock unchanged; and equal sources
    are not, because data of that name may have another content here.
    """
    stages: dict[str, Any] = parse_yaml(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]
    files = {
        "dvc.yaml",
        "data.dvc",
        str(PARAMS),
        *(path for name in ("prepare", "train") for path in stages[name]["deps"]),
    }
    recorded = git_show(commit, LOCK)
    same_model = bool(recorded) and _outputs(recorded) == _outputs(LOCK.read_text(encoding="utf-8"))
    return same_model and not git("diff", "--name-only", commit, "--", *sorted(files))
