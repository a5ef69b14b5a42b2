"""The user who accepted a regression, by setting a label on the pull request."""

from lifecycle.shared import github

LABEL = "accept-regression"
UNKNOWN = "a user whom GitHub did not name"


def accepted_by() -> str:
    """Return the login of the user who set the label on the open or just merged pull request; empty without the label.

    GitHub lets only users with triage permission set labels, so the label counts whoever set it.
    """
    event = github.event()
    try:
        proposed = event.get("pull_request")
        if not proposed and "after" in event:
            proposed = github.merged_by(event["after"])
    except github.Errors as error:
        print(f"warning: GitHub did not answer which pull request merged this commit: {error}")
        return ""
    if not proposed or LABEL not in {label["name"] for label in proposed["labels"]}:
        return ""
    try:
        events = github.get_all(f"issues/{proposed['number']}/events")
    except github.Errors as error:
        print(f"warning: GitHub did not answer who set the label {LABEL}: {error}")
        return UNKNOWN
    actors = [
        event["actor"]["login"]
        for event in events
        if event["event"] == "labeled" and event["label"]["name"] == LABEL and event["actor"]
    ]
    return actors[-1] if actors else UNKNOWN
