"""What a reader has to know of a proposal's data before trusting its verdict: edits, and what looks like a leak."""

import csv
from collections.abc import Collection, Sequence
from pathlib import Path

from lifecycle.pipeline import stage
from lifecycle.pipeline.evaluate import WHOLE
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
from lifecycle.shared.months import DATA, month_path, open_month, read_month, to_columns, to_target
from lifecycle.shared.params import Params
from model import contract

_HOLDOUT = stage.PREPARED / "holdout.parquet"


def edits_since(base: Path | None, params: Params, champion: Champion) -> list[PeriodEdits]:
    """What the proposal changes in the periods of both models that the base has, too.

    Args:
        base: Folder of the base's months; None where its data is that of the proposal.
        params: Of the candidate.
        champion: Its window is looked at, too.
    """
    if base is None:
        return []
    holdout = params.holdout.months()
    return data_edits(base, DATA, [*params.window.months(), *holdout, *champion.window().months()], holdout)


def edited_holdout(edits: Sequence[PeriodEdits]) -> list[str]:
    """A warning for each period of the holdout that the proposal changes."""
    said = "The two are judged on the rows and outcomes of the base."
    changed = "**This proposal changes the data that it is judged on.**"
    return [f"{changed} {edits_headline(one)}. {said}" for one in edits if one.holdout]


def unrecognised_periods(params: Params, champion: Champion) -> list[str]:
    """A warning for each period of the holdout that the champion knows, but not by the identity of its rows."""
    found = []
    for month in {*params.holdout.months()} & {*champion.window().months()}:
        before, after = (month_path(month, folder) for folder in (champion.folder / DATA, DATA))
        if not (before.exists() and set(contract.IDENTITY) <= set(open_month(before).schema_arrow.names)):
            continue
        tables = (read_month(path).select(list(contract.IDENTITY)) for path in (before, after))
        difference = unrecognised(*tables)
        if difference:
            found.append(unrecognised_in_words(month, difference))
    return found


def suspected_leaks(params: Params, known: Collection[str] | None, comparison: Comparison | None) -> list[str]:
    """What looks as if the model knew what it cannot know.

    Args:
        params: Of the candidate.
        known: The champion's columns; None without a champion.
        comparison: Of the two; None where there is none.
    """
    window = [month_path(month, DATA) for month in params.window.months()]
    newest, holdout = read_month(window[-1]), read_month(_HOLDOUT)
    train, judged = to_columns(newest), to_columns(holdout)
    said = predicts_alone(train, to_target(newest), judged, to_target(holdout))
    said += copied_rows(window, _HOLDOUT)
    if contract.TIME:
        new = [c.name for c in contract.INPUTS if c.type == "timestamp" and c.name not in (known or ())]
        later = {name: values for name, values in judged.items() if name in {*new, contract.TIME}}
        said += known_only_later(later, contract.TIME)
        said += trained_on_later_rows(train[contract.TIME], judged[contract.TIME])
    if known is not None:
        with (stage.REPORTS / "plots/importance.csv").open(encoding="utf-8", newline="") as file:
            importance = {row["column"]: max(0.0, float(row["log_loss_gained"])) for row in csv.DictReader(file)}
        said += dominant_new_column(importance, known)
    if comparison:
        auc = comparison.parts[WHOLE].metrics["roc_auc"]
        said += implausible_leap(auc.champion, auc.candidate)
    return said
