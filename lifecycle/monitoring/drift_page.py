"""The page of pictures, by Evidently: how what production is asked is distributed, beside what the model knows.

What the model knows are counts. Rows are drawn from them again, so that no row of the training data is needed; each
column by itself, which is all that the pictures show.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lifecycle.monitoring.drift import Drift
from lifecycle.monitoring.log import Log
from lifecycle.pipeline.reference import Reference
from lifecycle.shared.distributions import Distributions
from lifecycle.shared.files import replacing_file
from lifecycle.shared.histograms import UNSEEN, Bins, shares

if TYPE_CHECKING:
    import pandas as pd

_KINDS = ("number", "category")
# More would make no other picture, and a page that is too large to open.
_ROWS = 5_000


def write_page(path: Path, log: Log, reference: Reference, drifts: Sequence[Drift]) -> None:
    """Draw the distributions of all variables, those first that are furthest from what the model knows.

    Args:
        path: To write HTML to.
        log: Of one version.
        reference: Of this version.
        drifts: What each variable was compared with.
    """
    with warnings.catch_warnings():
        # Seconds to import, and not quite up to NumPy.
        warnings.simplefilter("ignore")
        import pandas as pd
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import ValueStats

        random = np.random.default_rng(0)
        live = _sampled(log, reference, drifts)
        known = pd.DataFrame({one.variable.name: _drawn(one, reference, random) for one in drifts})
        names = {kind: [one.variable.name for one in drifts if one.variable.kind == kind] for kind in _KINDS}
        definition = DataDefinition(numerical_columns=names["number"], categorical_columns=names["category"])
        both = [Dataset.from_pandas(rows, data_definition=definition) for rows in (live, known)]
        furthest = sorted(drifts, key=lambda one: -one.found / one.threshold)
        page = Report([ValueStats(column=one.variable.name) for one in furthest]).run(*both)
        with replacing_file(path) as aside:
            page.save_html(str(aside))


def _sampled(log: Log, reference: Reference, drifts: Sequence[Drift]) -> "pd.DataFrame":
    """Some values of each variable. What a client has sent and nobody knows is not shown by its name."""
    values = ", ".join(f'{one.variable.sql} AS "{one.variable.name}"' for one in drifts)
    seen: pd.DataFrame = log.sample(_ROWS).project(values).df()
    for one in drifts:
        if one.variable.kind == "category":
            column = seen[one.variable.name]
            known = column.isna() | column.isin(reference.bins[one.variable.name].labels)
            seen[one.variable.name] = column.where(known, UNSEEN)
    return seen


def _drawn(drift: Drift, reference: Reference, random: np.random.Generator) -> NDArray[np.generic]:
    """Values of a variable as they were in the months that it was compared with."""
    name = drift.variable.name
    months = [reference.months[month] for month in drift.compared]
    counts = np.sum([month.counts[name] for month in months], axis=0)
    bins = random.choice(len(counts), _ROWS, p=shares(counts))
    if drift.variable.kind == "category":
        labels = np.array([*reference.bins[name].names()[:-1], None], dtype=object)
        return labels[bins]
    low, high = _ends(reference.bins[name], months, name)
    return np.where(bins == len(counts) - 1, np.nan, random.uniform(low[bins], high[bins]))


def _ends(bins: Bins, months: Sequence[Distributions], name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where each bin of a number begins and ends; that of the missing ones nowhere."""
    moments = [month.moments[name] for month in months if name in month.moments]
    least = min((one.minimum for one in moments), default=0.0)
    most = max((one.maximum for one in moments), default=0.0)
    edges = np.array(bins.edges)
    return np.array([min([least, *edges]), *edges, 0.0]), np.array([*edges, max([most, *edges]), 0.0])
