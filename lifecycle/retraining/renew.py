"""New data for the next model: ingest new months from the source, and move the window and the holdout on.

Only data/, data.dvc and params.yaml of the working tree change. Data that breaks the contract is refused.
"""

from datetime import datetime

from lifecycle.pipeline.ingest import NoRowsError, ingest
from lifecycle.shared.commands import run
from lifecycle.shared.console import UserError
from lifecycle.shared.files import write_text
from lifecycle.shared.months import DATA, month_path, month_range
from lifecycle.shared.params import PARAMS, Params, load_params
from lifecycle.shared.yaml_text import edit_yaml

# Largest number of months to ingest at once; a source that has rows for every month would never end.
_MOST_MONTHS = 120


def renew(params: Params, now: datetime) -> list[str]:
    """Ingest the months after the last one in data/, and move the window and the holdout on.

    Args:
        params: Parameters of the working tree.
        now: Current time; a month that has not ended is not ingested.

    Returns:
        The new months. If there are none, nothing has changed.

    Raises:
        UserError: If rows of a month break the contract; window, holdout and data.dvc are left unchanged.
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
    """Return the months after another one that have ended."""
    return month_range(last, f"{now:%Y-%m}")[1:-1][:_MOST_MONTHS]


def _move_window(params: Params, newest: str) -> None:
    """Hold out the newest month, and train on the months before it."""
    first, last = _window(params, newest)
    changes = {"window": {"first": first, "last": last}, "holdout": {"first": newest, "last": newest}}
    write_text(PARAMS, edit_yaml(PARAMS.read_text(encoding="utf-8"), changes))
    load_params()  # fails if the edited file is not valid


def _window(params: Params, newest: str) -> tuple[str, str]:
    """Return the first and the last month to train on."""
    before = month_range(params.window.first, newest)[:-1]
    kept = params.retraining.window
    chosen = before if kept == "expanding" else before[-kept:]
    if not chosen:
        raise UserError(f"there is no month before {newest} to train on.")
    return chosen[0], chosen[-1]
