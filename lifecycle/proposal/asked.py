"""The number of proposals that were judged on a holdout: with many proposals, models are selected for this holdout.

The best of k equally good models looks better than it is by up to about sqrt(2 ln k) standard errors (expected maximum
of k normal variables: Boucheron, Lugosi and Massart 2013, theorem 2.5). When this reaches the margin, a gain of the
size of the margin may be luck alone, and a new holdout is due.
"""

import os
from dataclasses import dataclass

import numpy as np

from lifecycle.shared import github
from lifecycle.shared.commands import git
from lifecycle.shared.intervals import Interval, student_quantile
from lifecycle.shared.params import PARAMS, Span
from lifecycle.shared.yaml_text import parse_yaml

# Bounds of the number of proposals from which a new holdout is due.
_FEWEST, _MOST = 10, 1000


@dataclass(frozen=True)
class Asked:
    """Use of a holdout.

    Attributes:
        before: Number of proposals that were judged on it before this one.
        due: Number of proposals from which a new holdout is due; None if the comparison has no interval.
    """

    before: int
    due: int | None

    @property
    def is_due(self) -> bool:
        """Whether a new holdout is due."""
        return self.due is not None and self.before >= self.due


def due_after(delta: Interval, margin: float, clusters: int, confidence: float) -> int | None:
    """Compute the number of proposals after which luck alone reaches the margin.

    Args:
        delta: Difference of the primary metric on the holdout.
        margin: The largest loss that still passes.
        clusters: Number of clusters that the interval was computed from.
        confidence: Confidence level of the interval.

    Returns:
        The number; None if the difference has no interval.
    """
    if not np.isfinite(delta.low):
        return None
    error = (delta.high - delta.low) / 2 / student_quantile(clusters, confidence)
    if error * np.sqrt(2 * np.log(_MOST)) <= margin:
        return _MOST
    return max(_FEWEST, int(np.exp((margin / error) ** 2 / 2)))


def asked_before(holdout: Span, base: str) -> int:
    """Count the proposals that were judged on a holdout before.

    On GitHub, these are the pull requests opened since main has this holdout. Elsewhere, they are the commits of main
    since then.

    Raises:
        CommandError: If git does not know the base.
        github.Errors: If a request to GitHub fails.
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


def _since(holdout: Span, base: str) -> tuple[str, str] | None:
    """Return the commit that gave main this holdout, and its time in UTC; None if main has another holdout."""
    wanted, oldest = holdout.model_dump(), None
    log = git(
        *("log", "--first-parent", "--format=%H %cd", "--date=format-local:%Y-%m-%dT%H:%M:%SZ"),
        *(base, "--", str(PARAMS)),
        TZ="UTC",
    )
    for line in log.splitlines():
        commit, moment = line.split()
        values = parse_yaml(git("show", f"{commit}:{PARAMS}"))
        if not isinstance(values, dict) or values.get("holdout") != wanted:
            break
        oldest = commit, moment
    return oldest
