"""How the report writes things: names of metrics, numbers, and text that somebody else has chosen."""

import re

NAMES = {
    "roc_auc": "ROC AUC",
    "average_precision": "average precision",
    "log_loss": "log loss",
    "brier_score": "Brier score",
    "calibration_error": "calibration error",
}

_LONGEST = 80
_INVISIBLE = re.compile(
    r"[^\S ]|[\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\U000e0000-\U000e007f]"
)


def number(value: float | None) -> str:
    """A metric, or a dash where it is undefined."""
    return "-" if value is None or value != value else f"{value:.4f}"  # noqa: PLR0124 - NaN is not itself


def foreign(text: object) -> str:
    """Text that somebody else has chosen, as a code span: in it nothing is a link, a mention, HTML or formatting.

    A title, a branch, a file's name, a parameter, a value of a column: whoever opens a pull request chooses them.
    """
    shown = _INVISIBLE.sub(" ", str(text)).replace("`", "'").replace("|", "¦").strip()
    if len(shown) > _LONGEST:
        shown = f"{shown[:_LONGEST]}…"
    return f"`{shown}`" if shown else "` `"
