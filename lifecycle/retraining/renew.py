"""New data for the next model: ingest the months that the source has by now, and move window and holdout on to them.

Only the working tree changes: data/, data.dvc and params.yaml. Data that breaks the contract stops here.
"""

from datetime import datetime

from lifecycle.pipeline.ingest import NoRowsError, ingest
from lifecycle.shared.commands import run
from lifecycle.shared.console import UserError
from lifecycle.shared.files import write_text
from lifecycle.shared.months import DATA, month_path, month_range
from lifecycle.shared.params import PARAMS, Params, load_params
from lifecycle.shared.yaml_text import edit_yaml

# Further than that nobody looks ahead: a source that answers for each month would never end.
_MOST_MONTHS = 120


def renew(params: Params, now: datetime) -> list[str]:
    """Ingest the months after the last one that there is, and move window and holdout on.

    Args:
        params: Of the working tree.
        now: A month that has not ended is not ingested.

    Returns:
        The new months; none where the source has none, and nothing has changed then.

    Raises:
        UserError: Where the rows of a month break the contract: window, holdout and data.dvc stay as they were.
    """
    if not DATA.exists():
        run(["dvc", "pull", "--quiet", "data.dvc"])
    months: list[str] = []
    try:
        for month in _newer(max(path.stem for path in DATA.glob("*.parquet")), now):
            ingest(month)
            months.append(month)
    except NoRowsError:
        pass  # the source has no more
    except UserError:
        for month in months:
            month_path(month).unlink()
        raise
    if months:
        _move_window(params, months[-1])
        run(["dvc", "add", "--quiet", "data"])
    return months


def _newer(last: str, now: datetime) -> list[str]:
    """The months after one that have ended."""
    return month_range(last, f"{now:%Y-%m}")[1:-1][:_MOST_MONTHS]


def _move_window(params: Params, newest: str) -> None:
    """The newest month is held out, and the months before are the window."""
    first, last = _window(params, newest)
    changes = {"window": {"first": first, "last": last}, "holdout": {"first": newest, "last": newest}}
    write_text(PARAMS, edit_yaml(PARAMS.read_text(encoding="utf-8"), changes))
    load_params()  # it can be read


def _window(params: Params, newest: str) -> tuple[str, str]:
    """First and last month to train on: all from the first on, or so many."""
    before = month_range(params.window.first, newest)[:-1]
    kept = params.retraining.window
    chosen = before if kept == "expanding" else before[-kept:]
    if not chosen:
        raise UserError(f"there is no month before {newest} to train on.")
    return chosen[0], chosen[-1]
