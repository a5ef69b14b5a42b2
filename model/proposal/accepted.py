"""Who has accepted a regression: the one who has set the label at the pull request, by what GitHub says of it."""

from model import github

LABEL = "accept-regression"
UNKNOWN = "somebody whom GitHub did not name"


def accepted_by() -> str:
    """The login of who has set the label; empty where there is none, and where this is no pull request.

    Only whoever may triage the repository can set a label, so that its being there is what counts.
    """
    proposed = github.event().get("pull_request", {})
    if LABEL not in {label["name"] for label in proposed.get("labels", [])}:
        return ""
    try:
        events = github.get_all(f"issues/{proposed['number']}/events")
    except github.Errors as error:
        print(f"warning: GitHub was asked who set the label {LABEL}, and did not say: {error}")
        return UNKNOWN
    labelled = [one for one in events if one["event"] == "labeled" and one["label"]["name"] == LABEL and one["actor"]]
    return labelled[-1]["actor"]["login"] if labelled else UNKNOWN
