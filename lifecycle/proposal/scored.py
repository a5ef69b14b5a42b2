"""Candidate and champion on the rows of each origin: whose code scores what, and by how much the two differ."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from lifecycle.pipeline import stage
from lifecycle.pipeline.evaluate import Probability, point_metrics, slices_of
from lifecycle.proposal import OUTPUT
from lifecycle.proposal.champion import Champion, ChampionAtOrigins
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
from lifecycle.shared.clusters import cluster_columns, find_clusters
from lifecycle.shared.commands import run
from lifecycle.shared.metrics import METRICS
from lifecycle.shared.months import DATA, month_path, to_columns, to_target
from lifecycle.shared.params import Judge, Months, Params
from lifecycle.shared.predictor import Predictor
from lifecycle.shared.schema import json_schema


@dataclass(frozen=True)
class ScoredOrigins:
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


def score_origins(
    champion: Champion, params: Params, judge: Judge, slices: Sequence[str], base: Path | None
) -> ScoredOrigins:
    """Train both recipes at each origin, and score the rows of its period with both.

    Args:
        champion: Checked out, with its model.
        params: Of the candidate, whose model is trained.
        judge: Its number of origins and seeds counts.
        slices: Columns to slice the holdout by.
        base: Folder of the base's months; None where its data is that of the proposal.

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
    return ScoredOrigins(both, rows, base_rate, tuple(periods), tuple(differences))


def _plan(champion: Champion, params: Params, judge: Judge) -> OriginPlan:
    """As many origins as the judge asks for, and both recipes have data for; at least the one of the holdout."""
    ours = possible_origins(params.window, params.holdout, DATA, rolling=params.retraining.window != "expanding")
    theirs = possible_origins(champion.window(), params.holdout, champion.folder / DATA, rolling=champion.is_rolling())
    origins = max(1, min(judge.comparison.origins, ours, theirs))
    return OriginPlan(origins, judge.comparison.seeds, apart=len(params.holdout.months()))


def _train_at_origins(champion: Champion, plan: OriginPlan) -> ChampionAtOrigins:
    """Train both recipes at the origins of a plan."""
    if not plan.models():
        return ChampionAtOrigins(champion, None, plan)
    write_plan(plan)
    run([sys.executable, "-m", "dvc", "repro", "--quiet", CURRENT.origins])
    return champion.train_at_origins(plan)


def _candidate_side(params: Params, plan: OriginPlan, back: int) -> Side:
    window = at_origin(params, back * plan.apart).window
    return Side("candidate", json_schema(), _files(window, DATA))


def _champion_side(champion: Champion, plan: OriginPlan, back: int) -> Side:
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
