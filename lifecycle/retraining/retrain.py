"""The pull request with a new model: made of the working tree that `renew` has left, on a branch of its own.

There is one at a time: what is newer takes its place. What was proposed once is not proposed again. CML's `pr create`
would not push to a branch that there is, and leaves the token in the address of the remote: this is done with git and
GitHub's API.
"""

import json
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from lifecycle.proposal import COMPARED, REPORT
from lifecycle.shared import github
from lifecycle.shared.commands import CommandError, git, run
from lifecycle.shared.params import Params
from lifecycle.shared.text import LONGEST, clean
from lifecycle.shared.yaml_text import parse_yaml

BRANCH, LABEL = "retraining", "retraining"
_MARK = "<!-- retraining on data {data} -->"


def proposed() -> list[dict[str, Any]]:
    """The pull requests of this branch, the newest first.

    Raises:
        github.Errors: Where GitHub does not tell.
    """
    owner = os.environ["GITHUB_REPOSITORY"].partition("/")[0]
    found = github.get_all(
        "pulls", state="all", base="main", head=f"{owner}:{BRANCH}", sort="created", direction="desc"
    )
    return [one for one in found if one["user"] and one["user"]["login"] == github.BOT]


def last_proposed() -> datetime | None:
    """When a new model was proposed the last time."""
    found = proposed()
    return datetime.fromisoformat(found[0]["created_at"]) if found else None


def open_pull_request(months: list[str], why: str, params: Params) -> str:
    """Commit what `renew` has changed, train, compare, and open the pull request, or bring it up to date.

    Args:
        months: That are new.
        why: A new model is due.
        params: Of the working tree.

    Returns:
        What was done, in a line.

    Raises:
        CommandError: Where the model cannot be trained, or main's remote does not take the branch.
        github.Errors: Where GitHub does not do what it is asked.
    """
    data = parse_yaml(Path("data.dvc").read_text(encoding="utf-8"))["outs"][0]["md5"]
    mark = _MARK.format(data=data)
    before = proposed()
    for one in before:
        if mark in (one["body"] or ""):
            return f"The data up to {months[-1]} was proposed already: #{one['number']}."
    main = git("rev-parse", "HEAD").strip()
    run([sys.executable, "-m", "lifecycle.pipeline", "--untracked"])
    run(["dvc", "push", "--quiet", "data.dvc"])
    git("add", "--all")
    git(*github.AS_BOT, "commit", "--quiet", "--message", f"Retrain on data up to {months[-1]}")
    better = _is_better(main)
    remote = git("remote", "get-url", "origin").strip()
    git("push", "--quiet", "--force", "origin", f"HEAD:refs/heads/{BRANCH}", **github.git_credentials(remote))

    title = f"Retrain on data up to {months[-1]}"
    about = f"New months: {', '.join(months)}. Due because {clean(why).strip()}.\n\n"
    body = f"{about}{clean(REPORT.read_text(encoding='utf-8'))[: LONGEST - len(about)]}\n\n{mark}\n"
    opened = next((one["number"] for one in before if one["state"] == "open"), None)
    if opened:
        github.send("PATCH", f"pulls/{opened}", title=title, body=body)
    else:
        github.send("POST", "pulls", title=title, body=body, head=BRANCH, base="main")
    pull = proposed()[0]
    number = pull["number"]
    github.send("POST", f"issues/{number}/labels", labels=[LABEL])
    # What the workflow's own token opens starts no workflow by itself.
    github.send("POST", "actions/workflows/propose.yml/dispatches", ref=BRANCH)
    if params.retraining.auto_merge and better:
        _merge_when_checked(pull["node_id"])
    return f"{'Brought up to date' if opened else 'Opened'} #{number}: {title}."


def _merge_when_checked(pull: str) -> None:
    """Have GitHub merge the pull request when all that its branch protection asks for has passed."""
    try:
        github.mutate(
            "enablePullRequestAutoMerge(input: {pullRequestId: $pull, mergeMethod: MERGE}) { clientMutationId }",
            pull=pull,
        )
    except github.Errors as error:
        print(f"::warning title=No auto-merge::{github.one_line(error)}")


def _is_better(base: str) -> bool:
    """Compare with the champion, and write the report; whether it is better, and each gate is passed."""
    try:
        run([sys.executable, "-m", "lifecycle.proposal", "--base", base])
    except CommandError as error:  # the gate is not passed: the report says why
        print(error)
        return False
    found = json.loads(COMPARED.read_text(encoding="utf-8"))
    return bool(found["passed"]) and found["verdict"] == "better"
