"""Score the rows of each origin with candidate and champion, each by its own code, and compute their differences."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from lifecycle.pipeline import stage
from lifecycle.pipeline.evaluate import point_metrics, slices_of
from lifecycle.proposal import OUTPUT
from lifecycle.proposal.champion import Champion, ChampionAtOrigins, broken_rows
from lifecycle.proposal.compare import Rows
from lifecycle.proposal.interface import CURRENT
from lifecycle.proposal.origins import (
    OriginPlan,
    at_origin,
    model_folder,
    moved_back,
    possible_origins,
    window_at,
    write_plan,
)
from lifecycle.proposal.rows import JudgedRows, NotComparableError, Side, judged_rows
from lifecycle.shared.chosen_task import METRICS
from lifecycle.shared.clusters import cluster_columns, find_clusters
from lifecycle.shared.commands import run
from lifecycle.shared.params import Judge, Params, Span
from lifecycle.shared.parts import DATA, is_fold, part_files
from lifecycle.shared.predictor import Predictor
from lifecycle.shared.schema import json_schema
from lifecycle.shared.tables import to_columns, to_target
from lifecycle.shared.tasks.task import Predictions


@dataclass(frozen=True)
class ScoredOrigins:
    """The scores of candidate and champion on all periods of the comparison.

    Attributes:
        rows: Rows of the holdout, with the scores of both models.
        judged: Selection of these rows.
        baseline: Prediction of the baseline, from the candidate's training data.
        periods: Periods of the origins, in order.
        differences: For each period, the candidate's value minus the champion's, by metric.
    """

    rows: Rows
    judged: JudgedRows
    baseline: Any
    periods: tuple[str, ...]
    differences: tuple[Mapping[str, float], ...]


def score_origins(
    champion: Champion, params: Params, judge: Judge, slices: Sequence[str], base: Path | None
) -> ScoredOrigins:
    """Train both recipes at each origin, and score the rows of its period with both.

    Args:
        champion: Champion, checked out with its model.
        params: Parameters of the candidate, whose model is trained.
        judge: Judge, which sets the number of origins and seeds.
        slices: Columns to slice the holdout by.
        base: Directory of the base's data; None if its data is that of the proposal.

    Raises:
        NotComparableError: If the models cannot be compared.
        CommandError: If the champion's code or the training at an origin fails.
    """
    plan = _plan(champion, params, judge)
    at_origins = _train_at_origins(champion, plan)
    periods, differences, last = [], [], None
    for back in reversed(range(plan.origins)):
        parts = moved_back(params.holdout, back * plan.apart).parts()
        rows = judged_rows(parts, DATA, base, _candidate_side(params, plan, back), _champion_side(champion, plan, back))
        scores = [_both(at_origins, rows, back, seed) for seed in range(plan.seeds)]
        targets = to_target(rows.candidate)
        points = [
            point_metrics(targets, of_candidate, judge) - point_metrics(targets, of_champion, judge)
            for of_champion, of_candidate in scores
        ]
        periods.append(moved_back(params.holdout, back * plan.apart).in_words())
        differences.append(dict(zip(METRICS, np.mean(points, axis=0).tolist(), strict=True)))
        last = rows, targets, scores[0]
    if last is None:
        raise NotComparableError("nothing is left to train on at any origin")
    rows, targets, (of_champion, of_candidate) = last
    clusters = find_clusters(rows.candidate.select(cluster_columns()))
    both = Rows(targets, of_champion, of_candidate, clusters, slices_of(rows.candidate.select(list(slices))))
    baseline = Predictor.load(stage.MODEL).metadata["baseline"]
    return ScoredOrigins(both, rows, baseline, tuple(periods), tuple(differences))


def _plan(champion: Champion, params: Params, judge: Judge) -> OriginPlan:
    """Plan as many origins as the judge sets and both recipes have data for, and at least one."""
    for_candidate = possible_origins(
        params.window, params.holdout, DATA, rolling=params.retraining.window != "expanding"
    )
    for_champion = possible_origins(
        champion.window(), params.holdout, champion.folder / DATA, rolling=champion.is_rolling()
    )
    origins = max(1, min(judge.comparison.origins, for_candidate, for_champion))
    return OriginPlan(origins, judge.comparison.seeds, apart=len(params.holdout.parts()))


def _train_at_origins(champion: Champion, plan: OriginPlan) -> ChampionAtOrigins:
    """Train both recipes at the origins of a plan."""
    if not plan.models():
        return ChampionAtOrigins(champion, None, plan)
    write_plan(plan)
    run([sys.executable, "-m", "dvc", "repro", "--quiet", CURRENT.origins])
    return champion.train_at_origins(plan)


def _candidate_side(params: Params, plan: OriginPlan, back: int) -> Side:
    earlier = at_origin(params, back * plan.apart)
    return Side("candidate", json_schema(), _files(earlier.window, earlier.holdout, DATA))


def _champion_side(champion: Champion, plan: OriginPlan, back: int) -> Side:
    window = window_at(champion.window(), back * plan.apart, rolling=champion.is_rolling())
    judged = moved_back(champion.holdout(), back * plan.apart)
    return Side("champion", champion.schema(), _files(window, judged, champion.folder / DATA))


def _files(window: Span | None, holdout: Span, folder: Path) -> list[Path]:
    """Return the files of the parts of a window; at an earlier origin, the folds that are judged are left out."""
    parts = window.parts() if window else []
    if parts and is_fold(parts[0]):
        parts = [part for part in parts if part not in holdout.parts()]
    return [file for part in parts for file in part_files(part, folder)]


def _both(champion: ChampionAtOrigins, rows: JudgedRows, back: int, seed: int) -> tuple[Predictions, Predictions]:
    """Return the scores of champion and candidate with their models of an origin and a seed."""
    inputs, scored = (OUTPUT / f"{name}.parquet" for name in ("rows", "scored"))
    pq.write_table(rows.champion, inputs)
    of_champion = champion.score(back, seed, inputs, scored)
    model = model_folder(back, seed) if back or seed else stage.MODEL
    of_candidate = Predictor.load(model).predict(to_columns(rows.candidate))
    broken = broken_rows(of_candidate)
    if broken:
        raise NotComparableError(f"the candidate predicts nothing for {broken:,} of {len(of_candidate):,} rows")
    return of_champion, of_candidate
