"""Warnings about a proposal's data that a reader needs before trusting the verdict: edits and suspected leaks."""

import csv
from collections.abc import Collection, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from lifecycle.pipeline import stage
from lifecycle.pipeline.evaluate import IMPORTANCE, WHOLE
from lifecycle.proposal.champion import Champion
from lifecycle.proposal.data_edits import PeriodEdits, data_edits, edits_headline
from lifecycle.proposal.leaks import (
    copied_rows,
    dominant_new_column,
    implausible_leap,
    known_only_later,
    predicts_alone,
    trained_on_later_rows,
)
from lifecycle.proposal.results import Comparison
from lifecycle.proposal.unrecognised import unrecognised, unrecognised_in_words
from lifecycle.shared.chosen_task import TASK
from lifecycle.shared.inputs import request_columns
from lifecycle.shared.params import Params
from lifecycle.shared.parts import DATA, opened, part_exists, part_files, read_part
from lifecycle.shared.tables import to_columns, to_target
from model import contract

_HOLDOUT = stage.PREPARED / "holdout.parquet"


def edits_since(base: Path | None, params: Params, champion: Champion) -> list[PeriodEdits]:
    """Find the changes of the proposal in the periods of both models that the base has.

    Args:
        base: Directory of the base's data; None if its data is that of the proposal.
        params: Parameters of the candidate.
        champion: Champion, whose window is compared, too.
    """
    if base is None:
        return []
    holdout = params.holdout.parts()
    return data_edits(base, DATA, [*params.window.parts(), *holdout, *champion.window().parts()], holdout)


def edited_holdout(edits: Sequence[PeriodEdits]) -> list[str]:
    """Return a warning for each period of the holdout that the proposal changes."""
    changed = "**This proposal changes the data that it is judged on.**"
    consequence = "Both models are judged on the rows and outcomes of the base."
    return [f"{changed} {edits_headline(period)}. {consequence}" for period in edits if period.holdout]


def unrecognised_periods(params: Params, champion: Champion) -> list[str]:
    """Return a warning for each period of holdout and champion's window in which few rows match by identity."""
    texts = []
    for part in {*params.holdout.parts()} & {*champion.window().parts()}:
        before = champion.folder / DATA
        if not part_exists(part, before) or not set(contract.IDENTITY) <= set(
            opened(part_files(part, before)[0]).schema_arrow.names
        ):
            continue
        tables = (read_part(part, folder).select(list(contract.IDENTITY)) for folder in (before, DATA))
        difference = unrecognised(*tables)
        if difference:
            texts.append(unrecognised_in_words(part, difference))
    return texts


def suspected_leaks(params: Params, known: Collection[str] | None, comparison: Comparison | None) -> list[str]:
    """Return warnings about signs that the model uses information it will not have in production.

    Args:
        params: Parameters of the candidate.
        known: Columns of the champion; None without a champion.
        comparison: Comparison of both models; None if there is none.
    """
    window = params.window.parts()
    newest, holdout = read_part(window[-1]), pq.read_table(_HOLDOUT)
    train, judged = to_columns(newest), to_columns(holdout)
    leaks = predicts_alone(train, to_target(newest), judged, to_target(holdout))
    leaks += copied_rows([part_files(part) for part in window], _HOLDOUT)
    if params.split.by == "time" and contract.TIME:
        new = [c.name for c in request_columns() if c.type == "timestamp" and c.name not in (known or ())]
        later = {name: values for name, values in judged.items() if name in {*new, contract.TIME}}
        leaks += known_only_later(later, contract.TIME)
        leaks += trained_on_later_rows(train[contract.TIME], judged[contract.TIME])
    if known is not None:
        with (stage.REPORTS / "plots/importance.csv").open(encoding="utf-8", newline="") as file:
            importance = {row["column"]: max(0.0, float(row[IMPORTANCE[-1]])) for row in csv.DictReader(file)}
        leaks += dominant_new_column(importance, known)
    if comparison:
        metric = comparison.parts[WHOLE].metrics[TASK.ranks]
        leaks += implausible_leap(metric.champion, metric.candidate)
    return leaks
