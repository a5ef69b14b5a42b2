"""Who has accepted a regression: the one who has set the label at the pull request, by what GitHub says of it."""

import json
import os
import urllib.request
from pathlib import Path
from typing import Any

LABEL = "accept-regression"
UNKNOWN = "somebody whom GitHub did not name"
_AT_A_TIME = 100
_MOST_PAGES = 50
_PATIENCE = 20  # seconds


def accepted_by() -> str:
    """The login of who has set the label; empty where there is none, and where this is no pull request.

    Only whoever may triage the repository can set a label, so that its being there is what counts.
    """
    path = os.environ.get("GITHUB_EVENT_PATH")
    event: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    proposed = event.get("pull_request", {})
    if LABEL not in {label["name"] for label in proposed.get("labels", [])}:
        return ""
    where = f"{os.environ['GITHUB_API_URL']}/repos/{os.environ['GITHUB_REPOSITORY']}/issues/{proposed['number']}/events"
    found = UNKNOWN
    try:
        for page in range(1, _MOST_PAGES + 1):
            events = _get(f"{where}?per_page={_AT_A_TIME}&page={page}")
            for one in events:
                if one["event"] == "labeled" and one["label"]["name"] == LABEL and one["actor"]:
                    found = one["actor"]["login"]
            if len(events) < _AT_A_TIME:
                break
    except (OSError, ValueError) as error:
        print(f"warning: GitHub was asked who set the label {LABEL}, and did not say: {error}")
    return found


def _get(url: str) -> list[dict[str, Any]]:
    request = urllib.request.Request(  # noqa: S310 - GitHub's, by its own environment
        url,
        headers={"Accept": "application/vnd.github+json", "Authorization": f"Bearer {os.environ['GITHUB_TOKEN']}"},
    )
    with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:  # noqa: S310
        found: list[dict[str, Any]] = json.load(answer)
    return found
