"""From a finished pipeline to a proposal: find the champion, compare, judge."""

import json
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import yaml

from model import contract, github
from model.clusters import cluster_columns, find_clusters
from model.commands import CommandError, git, git_show, run
from model.console import UserError
from model.months import DATA, month_path, to_columns, to_target
from model.params import PARAMS, Judge, Months, Params, parse_judge
from model.pipeline import curves, stage
from model.pipeline.checks import Check, reported_floors, skill_floors
from model.pipeline.evaluate import WHOLE, Probability, point_metrics, slices_of
from model.pipeline.metrics import METRICS
from model.pipeline.track import LOCK
from model.predictor import Predictor, model_hash
from model.proposal import OUTPUT, changes, gate
from model.proposal.asked import Asked, asked_before, due_after
from model.proposal.champion import (
    REQUIREMENTS,
    Champion,
    ChampionAtOrigins,
    NoChampionError,
    base_data,
    check_out,
    find,
)
from model.proposal.compare import Rows, compare, compare_over_origins
from model.proposal.data_edits import render as render_edits
from model.proposal.data_warnings import edited_holdout, edits_since, suspected_leaks, unrecognised_periods
from model.proposal.origins import (
    STAGE,
    Plan,
    at_origin,
    model_folder,
    moved_back,
    possible_origins,
    window_at,
    write_plan,
)
from model.proposal.proposal import Built, Comparison, Judged, Origins, Proposal, Reproduced
from model.proposal.report import evenly
from model.proposal.rows import JudgedRows, NotComparableError, Side, judged_rows
from model.proposal.words import foreign

_HOLDOUT = stage.PREPARED / "holdout.parquet"
_LATENCY = Path(__file__).parent / "latency.py"


@dataclass(frozen=True)
class _Scored:
    """Candidate and champion on all periods that they are compared on.

    Attributes:
        rows: Of the holdout, with the scores of the two models themselves.
        judged: Which rows these are.
        base_rate: That the candidate was trained with: what the baseline predicts.
        periods: Of the origins, the first at first.
        differences: For each period, each metric of the candidate less the champion's.
    """

    rows: Rows
    judged: JudgedRows
    base_rate: float
    periods: tuple[str, ...]
    differences: tuple[Mapping[str, float], ...]


def propose(params: Params, base: str, accepter: str) -> Proposal:
    """Compare the finished pipeline's model with the champion, and judge it.

    Args:
        params: Of the candidate.
        base: Commit that the proposal is made against: its judge judges, and it has the champion if no registry does.
        accepter: Who accepts a regression; empty if nobody does.
    """
    reported = json.loads((stage.REPORTS / "metrics.json").read_text(encoding="utf-8"))
    candidate = _built(stage.MODEL, stage.seconds_taken("train"), _latency(None))
    judge, judge_obstacle = _judge_of(base, params)
    judge_changes = changes.changed_judge(judge, params)
    commit, known_as = find(base)

    def judged(by: Judge, scored: _Scored | None, obstacle: str = "") -> Judged:
        checks = gate.budgets(by.gates, candidate)
        if obstacle:
            said = "it cannot be compared with the model in production"
            checks.insert(0, Check("comparison", "comparable", None, None, None, passed=False, explanation=said))
        if scored is None:
            return Judged(by, (*checks, *reported_floors(by.gates, reported)))
        comparison = _comparison(scored, by)
        compared = gate.against_champion(by, comparison.parts, comparison.origins)
        return Judged(by, (*compared, *_floors(by, scored, comparison), *checks), comparison)

    def proposal(scored: _Scored | None = None, known: Collection[str] | None = None, **about: Any) -> Proposal:
        obstacle = about.get("obstacle", "")
        decided = judged(judge, scored, obstacle)
        asked, warning = _asked(decided, params, base)
        leaks = suspected_leaks(params, known, decided.comparison) if not about.get("unchanged") else []
        about["warnings"] = [*about.get("warnings", ()), *leaks, *filter(None, [warning])]
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

    if _made_of_the_same(commit):
        return proposal(unchanged=True)
    try:
        champion = check_out(commit, known_as)
    except NoChampionError as error:
        return proposal(commit=None, known_as=str(error))
    except CommandError as error:
        return proposal(obstacle=f"the champion cannot be brought up:\n{error}")
    about: dict[str, Any] = {
        "known_as": champion.known_as,
        "champion": _built(champion.model, stage.seconds_taken("train", champion.folder), _latency(champion)),
        "changes": _changes(champion, params),
    }
    known = champion.schema()["properties"].keys()
    try:
        before = base_data(base)
        edits = edits_since(before, params, champion)
        about["data_edits"] = "\n".join(render_edits(edits))
        about["warnings"] = [*edited_holdout(edits), *unrecognised_periods(params, champion)]
        if model_hash(champion.model) == model_hash(stage.MODEL):
            return proposal(**about, unchanged=True)
        slices = tuple(dict.fromkeys((*judge.slices, *params.slices)))
        scored = _score(champion, params, judge, slices, before)
    except (NotComparableError, CommandError, UserError) as error:
        return proposal(**about, known=known, obstacle=str(error))
    return proposal(scored, **about, known=known)


def _asked(judged: Judged, params: Params, base: str) -> tuple[Asked | None, str]:
    """How often the holdout has judged, or why that is not known."""
    if judged.comparison is None:
        return None, ""
    name, whole = judged.judge.metrics.primary, judged.comparison.parts[WHOLE]
    margin = judged.judge.gates.worse_by_at_most[name]
    due = due_after(whole.metrics[name].delta, margin, whole.clusters, judged.judge.metrics.confidence)
    try:
        return Asked(asked_before(params.holdout, base), due), ""
    except (CommandError, *github.Errors) as error:
        return None, f"How many proposals were judged on this holdout could not be found out: {foreign(error, 200)}"


def _judge_of(base: str, params: Params) -> tuple[Judge, str]:
    """What the base judges by, and why that cannot be used; the proposal's own judge stands in then."""
    try:
        return parse_judge(git("show", f"{base}:{PARAMS}"), f"{PARAMS} of the base"), ""
    except (CommandError, UserError) as error:
        return params, str(error)


def _score(champion: Champion, params: Params, judge: Judge, slices: Sequence[str], base: Path | None) -> _Scored:
    """Score the rows of each origin with both recipes.

    Raises:
        NotComparableError: Where the two cannot be compared.
        CommandError: Where the champion's code, or the training at an origin, fails.
    """
    plan = _plan(champion, params, judge)
    at_origins = _train_at_origins(champion, plan)
    periods, differences, last = [], [], None
    for back in reversed(range(plan.origins)):
        months = moved_back(params.holdout, back * plan.apart).months()
        rows = judged_rows(
            months, DATA, base, _candidate_side(params, plan, back), _champion_side(champion, plan, back)
        )
        scores = [_both(at_origins, rows, back, seed) for seed in range(plan.seeds)]
        target = to_target(rows.candidate)
        points = [
            point_metrics(target, candidate, judge.metrics) - point_metrics(target, theirs, judge.metrics)
            for theirs, candidate in scores
        ]
        periods.append(moved_back(params.holdout, back * plan.apart).in_words())
        differences.append(dict(zip(METRICS, np.mean(points, axis=0).tolist(), strict=True)))
        last = rows, target, scores[0]
    if last is None:
        raise NotComparableError("no month is left to train on at any origin")
    rows, target, (theirs, candidate) = last
    clusters = find_clusters(rows.candidate.select(cluster_columns()))
    both = Rows(target, theirs, candidate, clusters, slices_of(rows.candidate.select(list(slices))))
    base_rate = Predictor.load(stage.MODEL).metadata["base_rate"]
    return _Scored(both, rows, base_rate, tuple(periods), tuple(differences))


def _plan(champion: Champion, params: Params, judge: Judge) -> Plan:
    """As many origins as the judge asks for, and both recipes have data for; at least the one of the holdout."""
    ours = possible_origins(params.window, params.holdout, DATA, rolling=params.retraining.window != "expanding")
    theirs = possible_origins(champion.window(), params.holdout, champion.folder / DATA, rolling=champion.is_rolling())
    origins = max(1, min(judge.comparison.origins, ours, theirs))
    return Plan(origins, judge.comparison.seeds, apart=len(params.holdout.months()))


def _train_at_origins(champion: Champion, plan: Plan) -> ChampionAtOrigins:
    """Train both recipes at the origins of a plan."""
    if not plan.models():
        return ChampionAtOrigins(champion, None, plan)
    write_plan(plan)
    run([sys.executable, "-m", "dvc", "repro", "--quiet", STAGE])
    return champion.train_at_origins(plan)


def _candidate_side(params: Params, plan: Plan, back: int) -> Side:
    window = at_origin(params, back * plan.apart).window
    return Side("candidate", contract.json_schema(), _files(window, DATA))


def _champion_side(champion: Champion, plan: Plan, back: int) -> Side:
    window = window_at(champion.window(), back * plan.apart, rolling=champion.is_rolling())
    return Side("champion", champion.schema(), _files(window, champion.folder / DATA))


def _files(window: Months | None, folder: Path) -> list[Path]:
    return [month_path(month, folder) for month in window.months()] if window else []


def _both(champion: ChampionAtOrigins, rows: JudgedRows, back: int, seed: int) -> tuple[Probability, Probability]:
    """The scores of the champion and of the candidate, of the models of an origin and a seed."""
    asked, scored = (OUTPUT / f"{name}.parquet" for name in ("rows", "scored"))
    pq.write_table(rows.champion, asked)
    theirs = champion.score(back, seed, asked, scored)
    model = model_folder(back, seed) if back or seed else stage.MODEL
    ours = Predictor.load(model).probabilities(to_columns(rows.candidate))
    broken = int((~np.isfinite(ours)).sum())
    if broken:
        raise NotComparableError(f"the candidate predicts no probability for {broken:,} of {len(ours):,} rows")
    return theirs, ours


def _comparison(scored: _Scored, judge: Judge) -> Comparison:
    rows = scored.rows
    slices = {key: chosen for key, chosen in rows.slices.items() if key[0] in judge.slices}
    both = {"champion": rows.champion, "candidate": rows.candidate}
    several = len(scored.periods) > 1
    return Comparison(
        clusters=rows.clusters.in_words(),
        parts=compare(replace(rows, slices=slices), judge),
        origins=Origins(scored.periods, scored.differences, compare_over_origins(scored.differences, judge))
        if several
        else None,
        rows=scored.judged.total,
        left_out=scored.judged.left_out,
        roc=evenly({who: curves.roc(rows.target, found) for who, found in both.items()}),
        calibration=evenly(
            {
                who: curves.calibration(rows.target, found, judge.metrics.calibration_bins)[:2]
                for who, found in both.items()
            }
        ),
    )


def _floors(judge: Judge, scored: _Scored, comparison: Comparison) -> list[Check]:
    """The demands on the skill of the candidate, on the rows that both are judged on."""
    target = scored.rows.target
    baseline = point_metrics(target, np.full(len(target), scored.base_rate), judge.metrics)
    model = {name: found.candidate for name, found in comparison.parts[WHOLE].metrics.items()}
    return skill_floors(judge.gates, model, dict(zip(METRICS, baseline.tolist(), strict=True)))


def _changes(champion: Champion, params: Params) -> changes.Changes:
    metadata = champion.metadata()
    theirs, ours = champion.folder, Path()
    return changes.Changes(
        changes.changed_params(*((folder / PARAMS).read_text(encoding="utf-8") for folder in (theirs, ours))),
        changes.changed_months(theirs / DATA, metadata["window"], DATA, params),
        changes.drift(metadata),
        changes.changed_files(champion.commit),
        changes.changed_packages(
            *((folder / REQUIREMENTS).read_text(encoding="utf-8") for folder in (theirs, ours)),
        ),
    )


def _built(model: Path, seconds: float | None, latency: float | None) -> Built:
    return Built(seconds, sum(file.stat().st_size for file in model.iterdir()), latency)


def _latency(champion: Champion | None) -> float | None:
    """Of the champion, or of the candidate; None where its commit cannot tell."""
    rows = _HOLDOUT.resolve()
    try:
        if champion:
            return float(champion.run(_LATENCY.resolve(), rows))
        return float(run([sys.executable, _LATENCY, rows], PYTHONPATH=str(Path.cwd())))
    except CommandError:
        return None


def _reproduced() -> Reproduced:
    committed, made = git_show("HEAD", LOCK), LOCK.read_text(encoding="utf-8")
    if not committed:
        return "no lock committed"
    if _outputs(committed) == _outputs(made):
        return "bit for bit"
    metrics = stage.REPORTS / "metrics.json"
    return "in metrics only" if git_show("HEAD", metrics) == metrics.read_text(encoding="utf-8") else "not"


def _outputs(lock: str) -> dict[str, str]:
    stages: dict[str, Any] = yaml.safe_load(lock)["stages"]
    return {out["path"]: out["md5"] for one in stages.values() for out in one["outs"]}


def _made_of_the_same(commit: str) -> bool:
    """Whether a commit has a model, and one that is made of the same as this one: then it is the same, bit for bit.

    What its lock says does not count: who edits params.yaml on the web leaves the lock as it was.
    """
    stages: dict[str, Any] = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]
    files = {
        "dvc.yaml",
        "data.dvc",
        str(PARAMS),
        *(path for name in ("prepare", "train") for path in stages[name]["deps"]),
    }
    return bool(git_show(commit, LOCK)) and not git("diff", "--name-only", commit, "--", *sorted(files))
