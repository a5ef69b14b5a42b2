"""The note above the report: the files of its judge that a pull request changes.

A proposal can change the code and the rules that judge it, and its own code writes its report. So main's code lists
these changes, from GitHub's API and not from the artifacts of the pull request's run. Like comment.py, this module uses
the standard library only.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from lifecycle.shared import github
from lifecycle.shared.text import foreign

MACHINERY, YOURS = "lifecycle/", "model/"
PARAMS = "params.yaml"
# The keys of params.yaml that define a model. All other keys, and new ones, count as part of the judge.
HARMLESS_KEYS = {"window", "holdout", "seed", "estimator", "hyperparameters", "model_format"}
# GitHub lists at most 3,000 files of a pull request (docs.github.com/rest/pulls/pulls#list-pull-requests-files).
MOST_FILES = 3_000
LONGEST_NOTE = 4_000  # characters: with the longest report it stays below the 65,536 of a comment

_MOST_NAMES = 20  # per heading
_MOST_BYTES = 2**16  # of params.yaml
_GATES, _SHADOWING = "gates", "may shadow the machinery"
# Files and directories (with a slash at the end) by heading.
_JUDGE = {
    "machinery": (MACHINERY, "Makefile", "dvc.yaml"),
    # CODEOWNERS decides who must approve; GitHub looks for it in three places.
    "workflows and reviewers": (".github/", ".ci/", ".githooks/", "CODEOWNERS", "docs/CODEOWNERS"),
    _GATES: (PARAMS,),
    "tests": ("tests/",),
    "dependencies": ("pyproject.toml", "requirements/"),
    "data storage": (".dvc/", ".dvcignore"),
    "service and deployment": ("bentofile.yaml", "deploy/"),
}
# A new object in the data remote of the repository is data of the proposal, and harmless: its name is its hash.
_NEW_DATA = re.compile(r"\.dvc/remote/files/md5/[0-9a-f]{2}/[0-9a-f]{30}(?:\.dir)?")
# Python, make and the tools look at the top level first: for numpy.py or numpy/__init__.py before the installed numpy,
# for GNUmakefile before Makefile, for pytest.ini before pyproject.toml. Directories that git ignores are read as well.
_TAKES_PRECEDENCE = re.compile(r"[^/]+|[^/]+/__init__\.[^/]+|\..*/.*|(?:artifacts|data|state)/.*", re.DOTALL)
_HARMLESS = re.compile(r"[^/]+\.(?:md|rst|txt|ipynb|png|svg)|LICENSE|data\.dvc|dvc\.lock|benchmarks/.*", re.DOTALL)

# params.yaml is read without a YAML library. Lines of a harmless block must be this simple, so that nothing in them
# affects other blocks: one key or item, one value that ends on its line, no anchors, tags, escapes or block scalars.
_KEY = re.compile(r"([A-Za-z_]\w*):(?: .*)?", re.ASCII)
_SCALAR = r"""(?:[\w.+-]+|"[\w ./+-]*"|'[\w ./+-]*')"""
_FLOW = rf"(?:\{{(?:\w+: {_SCALAR}(?:, \w+: {_SCALAR})*)?\}}|\[(?:{_SCALAR}(?:, ?{_SCALAR})*)?\])"
_SIMPLE = re.compile(rf"(?:(?:- )?(?:\w+:(?: +(?:{_SCALAR}|{_FLOW}))?|{_SCALAR})(?: +#.*)?|#.*)?", re.ASCII)


def note(number: int, commit: str) -> str:
    """Return the note above the report of a pull request, in Markdown; empty if it does not change its judge.

    Args:
        number: Number of the pull request.
        commit: Newest commit, which the report belongs to.
    """
    try:
        files = github.get_all(f"pulls/{number}/files")
        # Requested after the list: if the head is still the same, the list belongs to this commit.
        pull = github.get(f"pulls/{number}")
        if pull["head"]["sha"] != commit:
            raise ValueError("the pull request has new commits")
        gates = _changes_gates(files, pull["base"]["ref"], commit)
    except github.Errors as error:
        why = foreign(github.one_line(error), 200)
        return (
            f"⚠️ **It is unknown whether this pull request changes what it is judged by**: {why}. Review its files "
            "first: the report of a pull request is written by its own code.\n\n"
        )
    complete = pull["changed_files"] <= len(files) < MOST_FILES
    return render_note(touched(files, gates=gates), complete=complete)


def touched(files: Iterable[Mapping[str, Any]], *, gates: bool) -> dict[str, list[str]]:
    """Return the files of the judge among the changed files, by heading.

    Args:
        files: Changed files, as GitHub lists them; both names of a renamed file count.
        gates: Whether the changes of params.yaml affect the judge.
    """
    by_heading: dict[str, set[str]] = {}
    for file in files:
        if file["status"] == "added" and _NEW_DATA.fullmatch(file["filename"]):
            continue
        for name in _names(file):
            heading = _heading(name)
            if heading and (heading != _GATES or gates):
                by_heading.setdefault(heading, set()).add(name)
    return {heading: sorted(by_heading[heading]) for heading in [*_JUDGE, _SHADOWING] if heading in by_heading}


def render_note(by_heading: Mapping[str, Sequence[str]], *, complete: bool) -> str:
    """Return the note, with fewer names and a count if it would be longer than LONGEST_NOTE.

    Args:
        by_heading: Files of the judge by heading.
        complete: Whether GitHub listed all changed files of the pull request.
    """
    if complete and not by_heading:
        return ""
    first = "⚠️ **This pull request changes what it is judged by.**"
    if not complete:
        first = (
            "⚠️ **This pull request may change anything that it is judged by**: it changes more files than GitHub "
            "lists, so this list may be incomplete."
        )
    end = "Review these first: the report of a pull request is written by its own code.\n\n"
    for most in range(_MOST_NAMES, 0, -1):
        listed = "; ".join(f"{heading}: {_listed(names, most)}" for heading, names in by_heading.items())
        text = " ".join([first, *([f"{listed}."] if listed else []), end])
        if len(text) <= LONGEST_NOTE:
            break
    return text


def changes_gates(before: str, after: str) -> bool:
    """Return whether two params.yaml differ in more than the definition of a model; True if that is uncertain."""
    judging = _judging_lines(before)
    return judging is None or judging != _judging_lines(after)


def _judging_lines(text: str) -> list[str] | None:
    """Return the lines of the blocks that belong to the judge; None if the file is not simple enough to be certain."""
    # YAML also ends a line at \r, \x85, U+2028 and U+2029, and drops a byte order mark: none of these is printable.
    if not text.replace("\n", "").isprintable():
        return None
    keys: list[str] = []
    judging: list[str] = []
    for line in text.split("\n"):
        if not line or line.startswith("#"):
            continue
        # A list item may start in the first column, too, and belongs to the key above it.
        if not line.startswith((" ", "- ")):
            key = _KEY.fullmatch(line)
            if not key or key[1] in keys:
                return None
            keys.append(key[1])
        elif not keys:
            return None
        if keys[-1] not in HARMLESS_KEYS:
            judging.append(line)
        elif not _SIMPLE.fullmatch(line.strip(" ")):
            return None
    return judging


def _changes_gates(files: Sequence[Mapping[str, Any]], base: str, commit: str) -> bool:
    """Return whether the pull request changes the judge in params.yaml; True if that is uncertain."""
    changed = [file for file in files if PARAMS in _names(file)]
    if not changed:
        return False
    if any(file["status"] not in {"modified", "changed"} for file in changed):
        return True
    try:
        # Like the list of files, this compares with the merge base ("three-dot", docs.github.com: about comparing
        # branches in pull requests), because `base.sha` may be older or newer. The second page leaves out the files.
        compared = github.get(f"compare/{quote(base)}...{commit}", per_page=1, page=2)
        before, after = (
            github.file(PARAMS, at, _MOST_BYTES)
            # The commit of a fork can be read from this repository, too (docs.github.com, about permissions and
            # visibility of forks: "Commits to any repository in a network can be accessed from any repository in the
            # same network").
            for at in (compared["merge_base_commit"]["sha"], commit)
        )
        # For a symbolic link GitHub returns its target, so a later change would be one of that file only.
        is_file = _blob(after) == changed[0]["sha"]
        return not is_file or changes_gates(before.decode(), after.decode())
    except github.Errors:
        return True


def _blob(content: bytes) -> str:
    """Return git's hash of a file with this content."""
    return hashlib.sha1(b"blob %d\0%b" % (len(content), content), usedforsecurity=False).hexdigest()


def _names(file: Mapping[str, Any]) -> list[str]:
    return [name for name in (file["filename"], file.get("previous_filename")) if name]


def _heading(path: str) -> str | None:
    if path.startswith(YOURS):
        return None
    for heading, places in _JUDGE.items():
        if any(path.startswith(place) if place.endswith("/") else path == place for place in places):
            return heading
    return _SHADOWING if _TAKES_PRECEDENCE.fullmatch(path) and not _HARMLESS.fullmatch(path) else None


def _listed(names: Sequence[str], most: int) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(foreign(name) for name in names[:most]) + more
