"""How often a holdout has been asked: a period that judges many proposals is learnt by heart.

Of k models that are equally good, the best looks better than it is by up to about sqrt(2 ln k) standard errors (the
expected maximum of k normal variables: Boucheron, Lugosi and Massart 2013, theorem 2.5). From the k on at which this
reaches the margin, a gain of the margin may be luck alone, and a new period is due.
"""

import os
from dataclasses import dataclass

import numpy as np

from lifecycle.shared import github
from lifecycle.shared.commands import git
from lifecycle.shared.intervals import Interval, student_quantile
from lifecycle.shared.params import PARAMS, Months
from lifecycle.shared.yaml_text import parse_yaml

# Fewer proposals are never too many, and more than that always are.
_FEWEST, _MOST = 10, 1000


@dataclass(frozen=True)
class Asked:
    """How often a holdout has judged.

    Attributes:
        before: Proposals that were judged on it before this one.
        due: From how many on a new period is due; None where nothing was compared.
    """

    before: int
    due: int | None

    @property
    def is_due(self) -> bool:
        """Whether a new period is due by now."""
        return self.due is not None and self.before >= self.due


def due_after(delta: Interval, margin: float, clusters: int, confidence: float) -> int | None:
    """After how many proposals luck alone reaches the margin.

    Args:
        delta: Difference of the primary metric on the holdout.
        margin: By how much it may be worse.
        clusters: How many the interval was made with.
        confidence: Of the interval.

    Returns:
        None where the difference has no interval.
    """
    if not np.isfinite(delta.low):
        return None
    error = (delta.high - delta.low) / 2 / student_quantile(clusters, confidence)
    if error * np.sqrt(2 * np.log(_MOST)) <= margin:
        return _MOST
    return max(_FEWEST, int(np.exp((margin / error) ** 2 / 2)))


def asked_before(holdout: Months, base: str) -> int:
    """How many proposals were judged on a holdout before.

    On GitHub these are the pull requests that were opened since main has this holdout; elsewhere, the commits of main
    since then.

    Raises:
        CommandError: Where git does not know the base.
        github.Errors: Where GitHub does not answer.
    """
    since = _since(holdout, base)
    if since is None:
        return 0
    commit, moment = since
    if not os.environ.get("GITHUB_TOKEN"):
        return int(git("rev-list", "--count", "--first-parent", f"{commit}..{base}").strip())
    pulls = github.get_all("pulls", state="all", base="main", sort="created", direction="desc")
    own = github.event().get("pull_request", {}).get("number")
    return sum(pull["created_at"] >= moment and pull["number"] != own for pull in pulls)


def _since(holdout: Months, base: str) -> tuple[str, str] | None:
    """The commit by which main got a holdout, and when in UTC; None where main has another one."""
    wanted, found = holdout.model_dump(), None
    shown = git(
        *("log", "--first-parent", "--format=%H %cd", "--date=format-local:%Y-%m-%dT%H:%M:%SZ"),
        *(base, "--", str(PARAMS)),
        TZ="UTC",
    )
    for line in shown.splitlines():
        commit, moment = line.split()
        values = parse_yaml(git("show", f"{commit}:{PARAMS}"))
        if not isinstance(values, dict) or values.get("holdout") != wanted:
            break
        found = commit, moment
    return found
