"""Text that somebody else has chosen, as the report shows it."""

import re

_LONGEST = 80
_INVISIBLE = re.compile(
    r"[^\S ]|[\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\U000e0000-\U000e007f]"
)


def foreign(text: object) -> str:
    """Text that somebody else has chosen, as a code span: in it nothing is a link, a mention, HTML or formatting.

    A title, a branch, a file's name, a parameter, a value of a column: whoever opens a pull request chooses them.
    """
    shown = _INVISIBLE.sub(" ", str(text)).replace("`", "'").replace("|", "¦").strip()
    if len(shown) > _LONGEST:
        shown = f"{shown[:_LONGEST]}…"
    return f"`{shown}`" if shown else "` `"
