"""The comment at the pull request: what main's code makes of the report that a proposal has left behind.

`python3 -m lifecycle.proposal.comment` fetches the report, `… --post` writes the comment where CML does not. The code
that has written the report may be a stranger's, so of what it left nothing is believed, unpacked, printed or run. Above
it stands which files of its judge the pull request changes; that comes from GitHub. With the standard library alone:
the job that may write to pull requests installs nothing that it can do without.
"""

import argparse
import os
import re
import stat
import zipfile
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

from lifecycle.proposal import judge_files
from lifecycle.shared import console, github
from lifecycle.shared.text import LONGEST, clean, foreign

COMMENT = Path("artifacts/comment.md")
ARTIFACT, FILE = "report", "report.md"
# Whoever has the job's own token comments by this name.
TITLE = "ml-report"
_MOST_BYTES = 4 * LONGEST  # a character has 4 at most
_WATERMARK = f'![](https://cml.dev/watermark.png#{{commit}} "CML watermark {TITLE}")'
_WATERMARKED = re.compile(re.escape(_WATERMARK).replace(re.escape("{commit}"), "[0-9a-fA-F]+"))
_SEEN_BY_CML = 30  # comments: it asks for the first page only


class NotShownError(Exception):
    """The report is not fit to be shown; the message says why."""


def main() -> None:
    """Prepare the comment, or post it. Never fails: that a comment is missing is no reason for a red run."""
    parser = argparse.ArgumentParser(prog="python3 -m lifecycle.proposal.comment", description=__doc__)
    parser.add_argument("--post", type=int, metavar="NUMBER", help="post to this pull request, with gh")
    number = parser.parse_args().post
    try:
        if number:
            _post(number)
        else:
            _prepare(github.event()["workflow_run"])
    except github.Errors as error:
        print(f"::warning title=No comment::GitHub did not do what it was asked: {github.one_line(error)}")


def _prepare(run: dict[str, Any]) -> None:
    """Write the comment, the job's summary, and for the next steps which pull request it is for."""
    number = _pull_request(run)
    if number is None:
        return
    commit = run["head_sha"]
    try:
        shown = clean(_report(run["id"]))
    except NotShownError as error:
        shown = f"## ❌ There is no report to show\n\n{error}\n"
    where = f"{os.environ['GITHUB_SERVER_URL']}/{os.environ['GITHUB_REPOSITORY']}/actions/runs/{int(run['id'])}"
    footer = f"<sub>Of commit {foreign(commit[:12])}, by [this run]({where}).</sub>\n"
    # Names of files are in it, which strangers choose.
    note = judge_files.note(number, commit)
    text = f"{clean(note)}\n{shown}\n{footer}" if note else f"{shown}\n{footer}"
    COMMENT.parent.mkdir(parents=True, exist_ok=True)
    COMMENT.write_text(text, encoding="utf-8")
    with Path(os.environ["GITHUB_STEP_SUMMARY"]).open("a", encoding="utf-8") as summary:
        summary.write(text)
    github.output(pull_request=str(number))
    comments = github.get_all(f"issues/{number}/comments")
    found, own = _newest(comments[:_SEEN_BY_CML]), _newest([one for one in comments if _is_own(one)])
    if found == own:
        github.output(cml="true")
    else:
        print("CML would not find its own comment: it is beyond the first 30, or somebody has put its mark on another.")


def _pull_request(run: dict[str, Any]) -> int | None:
    """The number of the open pull request that a run was for; None where there is none or it has moved on."""
    head = run["head_repository"]
    if not head:
        print("The repository of the pull request is gone.")
        return None
    # The event names no pull request of a fork, and a fork's code could name any.
    main = github.event()["repository"]["default_branch"]
    found = [
        one
        for one in github.get_all(
            "pulls", state="open", base=main, head=f"{head['owner']['login']}:{run['head_branch']}"
        )
        if one["head"]["repo"] and one["head"]["repo"]["full_name"] == head["full_name"]
    ]
    if not found:
        print("There is no open pull request of this branch.")
        return None
    if found[0]["head"]["sha"] != run["head_sha"]:
        print("The pull request has moved on: the run of its newest commit will comment.")
        return None
    return int(found[0]["number"])


def _report(run: int) -> str:
    """The report that a run has left behind, if it is nothing but that.

    Raises:
        NotShownError: Where it is not.
    """
    left = github.get(f"actions/runs/{run}/artifacts", name=ARTIFACT, per_page=100)["artifacts"]
    artifacts = [one for one in left if one["name"] == ARTIFACT and not one["expired"]]
    if not artifacts:
        raise NotShownError("The run has ended without one: its log says why.")
    newest = max(artifacts, key=lambda one: one["id"])  # a run that was repeated has several
    if newest["size_in_bytes"] > _MOST_BYTES:
        raise NotShownError(f"What the run left has {newest['size_in_bytes']:,} bytes; a report has few.")
    try:
        with zipfile.ZipFile(
            BytesIO(github.download(f"actions/artifacts/{newest['id']}/zip", most=_MOST_BYTES))
        ) as zipped:
            members = zipped.infolist()
            if [member.filename for member in members] != [FILE]:
                raise NotShownError(f"What the run left is not {FILE} alone.")
            # By the mode that the archive has for it: 0 where it has none.
            kind = stat.S_IFMT(members[0].external_attr >> 16)
            if kind not in {0, stat.S_IFREG}:
                raise NotShownError(f"The {FILE} that the run left is no file.")
            with zipped.open(members[0]) as file:
                content = file.read(_MOST_BYTES + 1)
            if len(content) > _MOST_BYTES:
                raise NotShownError(f"The {FILE} that the run left is too long for a report.")
            return content.decode()
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeDecodeError) as error:
        raise NotShownError("What the run left cannot be read.") from error


def _post(number: int) -> None:
    """Write the sticky comment by GitHub's own program, marked as CML marks it, so that CML finds it the next time."""
    mark = _WATERMARK.format(commit=os.environ["GITHUB_SHA"])
    own = _newest([one for one in github.get_all(f"issues/{number}/comments") if _is_own(one)])
    method, where = ("PATCH", f"issues/comments/{own}") if own else ("POST", f"issues/{number}/comments")
    github.send(method, where, body=f"{COMMENT.read_text(encoding='utf-8')}\n\n{mark}")
    print(f"{'Updated' if own else 'Wrote'} the comment with gh.")


def _is_own(comment: dict[str, Any]) -> bool:
    return comment["user"] is not None and comment["user"]["login"] == github.BOT


def _newest(comments: list[dict[str, Any]]) -> int | None:
    """The last of the comments that has the watermark: the one that CML would take."""
    marked = [one["id"] for one in comments if _WATERMARKED.search(one["body"] or "")]
    return marked[-1] if marked else None


if __name__ == "__main__":
    console.run_main(main)
