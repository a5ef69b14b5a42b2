"""Who has accepted a regression: the one who has set the label at the pull request, by what GitHub says of it."""

from lifecycle.shared import github

LABEL = "accept-regression"
UNKNOWN = "somebody whom GitHub did not name"


def accepted_by() -> str:
    """The login of who has set the label at the pull request, open or just merged; empty where there is none.

    Only whoever may triage the repository can set a label, so that its being there is what counts.
    """
    event = github.event()
    try:
        proposed = event.get("pull_request")
        if not proposed and "after" in event:
            proposed = github.merged_by(event["after"])
    except github.Errors as error:
        print(f"warning: GitHub was asked by which pull request this was merged, and did not say: {error}")
        return ""
    if not proposed or LABEL not in {label["name"] for label in proposed["labels"]}:
        return ""
    try:
        events = github.get_all(f"issues/{proposed['number']}/events")
    except github.Errors as error:
        print(f"warning: GitHub was asked who set the label {LABEL}, and did not say: {error}")
        return UNKNOWN
    labelled = [one for one in events if one["event"] == "labeled" and one["label"]["name"] == LABEL and one["actor"]]
    return labelled[-1]["actor"]["login"] if labelled else UNKNOWN
