"""The pull request with a new model, made from the working tree after `renew`, on a branch of its own.

There is one such pull request at a time; newer data replaces the older. The same data is never proposed twice. It uses
git and GitHub's API instead of CML's `pr create`, which does not push to an existing branch and leaves the token in the
URL of the remote.
"""

import json
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from lifecycle.proposal import COMPARED, REPORT
from lifecycle.shared import github
from lifecycle.shared.commands import git, run
from lifecycle.shared.console import CommandError
from lifecycle.shared.params import Params
from lifecycle.shared.text import LONGEST, clean
from lifecycle.shared.yaml_text import parse_yaml

BRANCH, LABEL = "retraining", "retraining"
_MARK = "<!-- retraining on data {data} -->"


def proposed() -> list[dict[str, Any]]:
    """Return the pull requests of this branch, the newest first.

    Raises:
        github.Errors: If a request to GitHub fails.
    """
    owner = os.environ["GITHUB_REPOSITORY"].partition("/")[0]
    pull_requests = github.get_all(
        "pulls", state="all", base="main", head=f"{owner}:{BRANCH}", sort="created", direction="desc"
    )
    return [pull for pull in pull_requests if pull["user"] and pull["user"]["login"] == github.BOT]


def last_proposed() -> datetime | None:
    """Return when a new model was last proposed; None if never."""
    newest_first = proposed()
    return datetime.fromisoformat(newest_first[0]["created_at"]) if newest_first else None


def open_pull_request(parts: list[str], why: str, params: Params) -> str:
    """Commit the changes of `renew`, train, compare, and open or update the pull request.

    Args:
        parts: New periods, or the new batch.
        why: Reason for the new model.
        params: Parameters of the working tree.

    Returns:
        A line that describes the result.

    Raises:
        CommandError: If the model cannot be trained, or the branch cannot be pushed.
        github.Errors: If a request to GitHub fails.
    """
    data = parse_yaml(Path("data.dvc").read_text(encoding="utf-8"))["outs"][0]["md5"]
    mark = _MARK.format(data=data)
    before = proposed()
    for pull in before:
        if mark in (pull["body"] or ""):
            return f"This data was proposed already: #{pull['number']}."
    main = git("rev-parse", "HEAD").strip()
    run([sys.executable, "-m", "lifecycle.pipeline", "--untracked"])
    run(["dvc", "push", "--quiet", "data.dvc"])
    git("add", "--all")
    title = f"Retrain on data up to {parts[-1]}" if params.split.by == "time" else f"Retrain with batch {parts[-1]}"
    git(*github.AS_BOT, "commit", "--quiet", "--message", title)
    better = _is_better(main)
    remote = git("remote", "get-url", "origin").strip()
    git("push", "--quiet", "--force", "origin", f"HEAD:refs/heads/{BRANCH}", **github.git_credentials(remote))
    introduction = f"New data: {', '.join(parts)}. Due because {clean(why).strip()}.\n\n"
    body = f"{introduction}{clean(REPORT.read_text(encoding='utf-8'))[: LONGEST - len(introduction)]}\n\n{mark}\n"
    opened = next((pull["number"] for pull in before if pull["state"] == "open"), None)
    if opened:
        github.send("PATCH", f"pulls/{opened}", title=title, body=body)
    else:
        github.send("POST", "pulls", title=title, body=body, head=BRANCH, base="main")
    newest = proposed()[0]
    number = newest["number"]
    github.send("POST", f"issues/{number}/labels", labels=[LABEL])
    # A pull request opened with the workflow's token starts no workflow.
    github.send("POST", "actions/workflows/propose.yml/dispatches", ref=BRANCH)
    if params.retraining.auto_merge and better:
        _merge_when_checked(newest["node_id"])
    return f"{'Updated' if opened else 'Opened'} #{number}: {title}."


def _merge_when_checked(pull: str) -> None:
    """Enable auto-merge: GitHub merges the pull request when all required checks have passed."""
    try:
        github.mutate(
            "enablePullRequestAutoMerge(input: {pullRequestId: $pull, mergeMethod: MERGE}) { clientMutationId }",
            pull=pull,
        )
    except github.Errors as error:
        print(f"::warning title=No auto-merge::{github.one_line(error)}")


def _is_better(base: str) -> bool:
    """Compare with the champion, write the report, and return whether the model is better and passes each gate."""
    try:
        run([sys.executable, "-m", "lifecycle.proposal", "--base", base])
    except CommandError as error:  # a gate failed; the report says which
        print(error)
        return False
    compared = json.loads(COMPARED.read_text(encoding="utf-8"))
    return bool(compared["passed"]) and compared["verdict"] == "better"
