"""New data for the next model: ingest what is new in the source, and move the window and the holdout on.

Only data/, data.dvc and params.yaml of the working tree change. Data that breaks the contract is refused.
"""

from datetime import datetime

from lifecycle.pipeline.ingest import NoRowsError, ingest, next_part
from lifecycle.shared.commands import run
from lifecycle.shared.console import UserError
from lifecycle.shared.files import write_text
from lifecycle.shared.params import PARAMS, Params, Span, load_params
from lifecycle.shared.parts import DATA, end_of, later, part_files, part_range, periods
from lifecycle.shared.yaml_text import edit_yaml

# Largest number of periods to ingest at once; a source that has rows for every period would never end.
_MOST_PERIODS = 366
# Number of periods without rows after which the source has ended; a longer gap is filled by hand.
_ENDED = {"day": 14, "week": 4, "month": 3}


def renew(params: Params, now: datetime) -> list[str]:
    """Ingest the periods after the last one in data/, or the next batch, and move the window and the holdout on.

    Args:
        params: Parameters of the working tree.
        now: Current time; a period that has not ended is not ingested.

    Returns:
        The new periods or the new batch. If there are none, nothing has changed.

    Raises:
        UserError: If rows break the contract; window, holdout and data.dvc are left unchanged.
    """
    if not DATA.exists():
        run(["dvc", "pull", "--quiet", "data.dvc"])
    parts: list[str] = []
    without_rows: list[str] = []
    try:
        for part in _newer(now) if params.split.by == "time" else [next_part(params.split)]:
            try:
                ingest(part, params.split)
            except NoRowsError:
                without_rows.append(part)
                if len(without_rows) < _ENDED.get(str(params.split.period), 1):
                    continue
                print(f"the source has no rows for {', '.join(without_rows)}: it is taken to have ended before.")
                break
            parts += [*without_rows, part]
            for gap in without_rows:
                print(f"the source has no rows for {gap}, but for {part}: {gap} stays empty.")
                ingest(gap, params.split)
            without_rows.clear()
    except UserError:
        for part in parts:
            part_files(part)[0].unlink(missing_ok=True)
        raise
    if parts:
        if params.split.by == "time":
            _move_window(params, parts[-1])
        run(["dvc", "add", "--quiet", "data"])
    return parts


def _newer(now: datetime) -> list[str]:
    """Return the periods after the last one in data/ that have ended."""
    newer = [later(periods()[-1], 1)]
    while end_of(newer[-1]) <= now.date() and len(newer) <= _MOST_PERIODS:
        newer.append(later(newer[-1], 1))
    return newer[:-1]


def _move_window(params: Params, newest: str) -> None:
    """Hold out the newest periods, as many as before, and train on the ones before them."""
    holdout = Span(first=later(newest, 1 - len(params.holdout.parts())), last=newest)
    changes = {"window": _window(params, holdout).model_dump(), "holdout": holdout.model_dump()}
    write_text(PARAMS, edit_yaml(PARAMS.read_text(encoding="utf-8"), changes))
    load_params()  # fails if the edited file is not valid


def _window(params: Params, holdout: Span) -> Span:
    """Return the span to train on."""
    before = part_range(params.window.first, later(holdout.first, -1))
    kept = params.retraining.window
    chosen = before if kept == "expanding" else before[-kept:]
    if not chosen:
        raise UserError(f"there is nothing before {holdout.first} to train on.")
    return Span(first=chosen[0], last=chosen[-1])
