"""The comment on the pull request, which main's code makes from the report of a proposal.

`python3 -m lifecycle.proposal.comment` fetches the report; `… --post` posts the comment if CML fails. The report may
come from a stranger's code, so its artifact is never trusted, unpacked to disk, printed or run. Above the report, the
comment lists the changed files of the judge, as GitHub reports them. It uses the standard library only: the job
that may write to pull requests installs as little as possible.
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
# Title of the comment in CML's watermark.
TITLE = "ml-report"
_MOST_BYTES = 4 * LONGEST  # a character takes at most four bytes
_WATERMARK = f'![](https://cml.dev/watermark.png#{{commit}} "CML watermark {TITLE}")'
_WATERMARKED = re.compile(re.escape(_WATERMARK).replace(re.escape("{commit}"), "[0-9a-fA-F]+"))
_SEEN_BY_CML = 30  # comments: it reads only the first page


class NotShownError(Exception):
    """The report cannot be shown. The message gives the reason."""


def main() -> None:
    """Prepare the comment, or post it. It never fails, because a missing comment must not turn the run red."""
    parser = argparse.ArgumentParser(prog="python3 -m lifecycle.proposal.comment", description=__doc__)
    parser.add_argument("--post", type=int, metavar="NUMBER", help="post to this pull request, with gh")
    number = parser.parse_args().post
    try:
        if number:
            _post(number)
        else:
            _prepare(github.event()["workflow_run"])
    except github.Errors as error:
        print(f"::warning title=No comment::A request to GitHub failed: {github.one_line(error)}")


def _prepare(run: dict[str, Any]) -> None:
    """Write the comment and the job's summary, and output the number of the pull request for the next steps."""
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
    # It contains names of files, which strangers choose.
    note = judge_files.note(number, commit)
    text = f"{clean(note)}\n{shown}\n{footer}" if note else f"{shown}\n{footer}"
    COMMENT.parent.mkdir(parents=True, exist_ok=True)
    COMMENT.write_text(text, encoding="utf-8")
    with Path(os.environ["GITHUB_STEP_SUMMARY"]).open("a", encoding="utf-8") as summary:
        summary.write(text)
    github.output(pull_request=str(number))
    comments = github.get_all(f"issues/{number}/comments")
    comment_of_cml = _newest(comments[:_SEEN_BY_CML])
    own_comment = _newest([comment for comment in comments if _is_own(comment)])
    if comment_of_cml == own_comment:
        github.output(cml="true")
    else:
        print("CML would not find its own comment: it is not among the first 30, or another comment has its watermark.")


def _pull_request(run: dict[str, Any]) -> int | None:
    """Return the number of the open pull request of a run; None if there is none, or it has newer commits."""
    head = run["head_repository"]
    if not head:
        print("The repository of the pull request does not exist any more.")
        return None
    # The event does not name the pull request of a fork, and a fork's code could name any.
    main = github.event()["repository"]["default_branch"]
    pulls = [
        pull
        for pull in github.get_all(
            "pulls", state="open", base=main, head=f"{head['owner']['login']}:{run['head_branch']}"
        )
        if pull["head"]["repo"] and pull["head"]["repo"]["full_name"] == head["full_name"]
    ]
    if not pulls:
        print("There is no open pull request of this branch.")
        return None
    if pulls[0]["head"]["sha"] != run["head_sha"]:
        print("The pull request has newer commits: the run of the newest one will comment.")
        return None
    return int(pulls[0]["number"])


def _report(run: int) -> str:
    """Return the report of a run.

    Raises:
        NotShownError: If the artifact is missing, too large, or anything else than a report.
    """
    listed = github.get(f"actions/runs/{run}/artifacts", name=ARTIFACT, per_page=100)["artifacts"]
    artifacts = [artifact for artifact in listed if artifact["name"] == ARTIFACT and not artifact["expired"]]
    if not artifacts:
        raise NotShownError("The run ended without a report. Its log says why.")
    newest = max(artifacts, key=lambda artifact: artifact["id"])  # a repeated run has several
    if newest["size_in_bytes"] > _MOST_BYTES:
        raise NotShownError(f"The artifact of the run has {newest['size_in_bytes']:,} bytes, too many for a report.")
    try:
        with zipfile.ZipFile(
            BytesIO(github.download(f"actions/artifacts/{newest['id']}/zip", most=_MOST_BYTES))
        ) as zipped:
            members = zipped.infolist()
            if [member.filename for member in members] != [FILE]:
                raise NotShownError(f"The artifact of the run does not consist of {FILE} alone.")
            # The file type in the archive; 0 if it has none.
            kind = stat.S_IFMT(members[0].external_attr >> 16)
            if kind not in {0, stat.S_IFREG}:
                raise NotShownError(f"The {FILE} in the artifact of the run is not a regular file.")
            with zipped.open(members[0]) as file:
                content = file.read(_MOST_BYTES + 1)
            if len(content) > _MOST_BYTES:
                raise NotShownError(f"The {FILE} in the artifact of the run is too long for a report.")
            return content.decode()
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeDecodeError) as error:
        raise NotShownError("The artifact of the run cannot be read.") from error


def _post(number: int) -> None:
    """Write the comment with `gh`, with CML's watermark, so that CML finds and updates it the next time."""
    mark = _WATERMARK.format(commit=os.environ["GITHUB_SHA"])
    own = _newest([comment for comment in github.get_all(f"issues/{number}/comments") if _is_own(comment)])
    method, where = ("PATCH", f"issues/comments/{own}") if own else ("POST", f"issues/{number}/comments")
    github.send(method, where, body=f"{COMMENT.read_text(encoding='utf-8')}\n\n{mark}")
    print(f"{'Updated' if own else 'Wrote'} the comment with gh.")


def _is_own(comment: dict[str, Any]) -> bool:
    return comment["user"] is not None and comment["user"]["login"] == github.BOT


def _newest(comments: list[dict[str, Any]]) -> int | None:
    """Return the id of the last comment with the watermark, which is the one that CML updates."""
    marked = [comment["id"] for comment in comments if _WATERMARKED.search(comment["body"] or "")]
    return marked[-1] if marked else None


if __name__ == "__main__":
    console.run_main(main)
