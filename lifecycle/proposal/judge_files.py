"""The note above the report: which files of its judge a pull request changes.

A proposal can change the code and the rules that judge it, and its report is written by its own code. So main's code
lists these changes, from GitHub's API and from nothing that the pull request's run has left behind. With the standard
library alone, as comment.py.
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
# The keys of params.yaml that make a model. Any other one, and any that is added, counts as judging it.
HARMLESS_KEYS = {"window", "holdout", "seed", "estimator", "hyperparameters", "model_format"}
# GitHub lists 3,000 files of a pull request at most (docs.github.com/rest/pulls/pulls#list-pull-requests-files).
MOST_FILES = 3_000
LONGEST_NOTE = 4_000  # characters: with the longest report it stays below the 65,536 of a comment

_MOST_NAMES = 20  # of a group
_MOST_BYTES = 2**16  # of params.yaml
_GATES, _SHADOWING = "gates", "may shadow the machinery"
# By heading: files, and folders with a slash at the end.
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
# An object that is added to the data's remote in the repository is data that the proposal brings: its name is its hash.
_NEW_DATA = re.compile(r"\.dvc/remote/files/md5/[0-9a-f]{2}/[0-9a-f]{30}(?:\.dir)?")
# Python, make and the tools look at the top level first: for numpy.py or numpy/__init__.py before the installed numpy,
# for GNUmakefile before Makefile, for pytest.ini before pyproject.toml. Folders that git ignores are read as well.
_TAKES_PRECEDENCE = re.compile(r"[^/]+|[^/]+/__init__\.[^/]+|\..*/.*|(?:artifacts|data|state)/.*", re.DOTALL)
_HARMLESS = re.compile(r"[^/]+\.(?:md|rst|txt|ipynb|png|svg)|LICENSE|data\.dvc|dvc\.lock|benchmarks/.*", re.DOTALL)

# params.yaml without a YAML library. Lines of a harmless block must be as simple as this, so that nothing in them can
# reach beyond the block: one key or item, one value that ends on its line, no anchors, tags, escapes or block texts.
_KEY = re.compile(r"([A-Za-z_]\w*):(?: .*)?", re.ASCII)
_SCALAR = r"""(?:[\w.+-]+|"[\w ./+-]*"|'[\w ./+-]*')"""
_FLOW = rf"(?:\{{(?:\w+: {_SCALAR}(?:, \w+: {_SCALAR})*)?\}}|\[(?:{_SCALAR}(?:, ?{_SCALAR})*)?\])"
_SIMPLE = re.compile(rf"(?:(?:- )?(?:\w+:(?: +(?:{_SCALAR}|{_FLOW}))?|{_SCALAR})(?: +#.*)?|#.*)?", re.ASCII)


def note(number: int, commit: str) -> str:
    """What stands above the report of a pull request: Markdown, empty where nothing of the judge is changed.

    Args:
        number: Of the pull request.
        commit: Its newest one, which the report is of.
    """
    try:
        files = github.get_all(f"pulls/{number}/files")
        # Asked after the list: a head that is still the same shows that the list is of this commit.
        pull = github.get(f"pulls/{number}")
        if pull["head"]["sha"] != commit:
            raise ValueError("the pull request has new commits")
        gates = _changes_gates(files, pull["base"]["ref"], commit)
    except github.Errors as error:
        why = foreign(github.one_line(error), 200)
        return (
            f"⚠️ **It could not be found out whether this pull request changes what it is judged by**: {why}. Look "
            "through its files first: the report of a pull request is written by its own code.\n\n"
        )
    complete = pull["changed_files"] <= len(files) < MOST_FILES
    return render_note(touched(files, gates=gates), complete=complete)


def touched(files: Iterable[Mapping[str, Any]], *, gates: bool) -> dict[str, list[str]]:
    """The files of the judge among the changed ones, by heading.

    Args:
        files: As GitHub lists them; a renamed one has two names, and both count.
        gates: Whether params.yaml changes what judges.
    """
    found: dict[str, set[str]] = {}
    for file in files:
        if file["status"] == "added" and _NEW_DATA.fullmatch(file["filename"]):
            continue
        for name in _names(file):
            heading = _heading(name)
            if heading and (heading != _GATES or gates):
                found.setdefault(heading, set()).add(name)
    return {heading: sorted(found[heading]) for heading in [*_JUDGE, _SHADOWING] if heading in found}


def render_note(found: Mapping[str, Sequence[str]], *, complete: bool) -> str:
    """The note; names are cut off, with a count, until it is no longer than LONGEST_NOTE.

    Args:
        found: Files of the judge by heading.
        complete: Whether all files that the pull request changes have been looked at.
    """
    if complete and not found:
        return ""
    said = "⚠️ **This pull request changes what it is judged by.**"
    if not complete:
        said = (
            "⚠️ **This pull request may change anything that it is judged by**: it changes more files than GitHub "
            "lists, so the list may be incomplete."
        )
    end = "Review these first: the report of a pull request is written by its own code.\n\n"
    for most in range(_MOST_NAMES, 0, -1):
        listed = "; ".join(f"{heading}: {_listed(names, most)}" for heading, names in found.items())
        text = " ".join([said, *([f"{listed}."] if listed else []), end])
        if len(text) <= LONGEST_NOTE:
            break
    return text


def changes_gates(before: str, after: str) -> bool:
    """Whether two params.yaml differ in more than what makes a model; also where this cannot be told for sure."""
    judging = _judging_lines(before)
    return judging is None or judging != _judging_lines(after)


def _judging_lines(text: str) -> list[str] | None:
    """The lines of the blocks that judge; None where the file is not as simple as it has to be for this to be sure."""
    # YAML also ends a line at \r, \x85, U+2028 and U+2029, and drops a byte order mark: none of these is printable.
    if not text.replace("\n", "").isprintable():
        return None
    keys: list[str] = []
    judging: list[str] = []
    for line in text.split("\n"):
        if not line or line.startswith("#"):
            continue
        # An item of a list may stand in the first column, too, and belongs to the key above it.
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
    """Whether params.yaml is among the changed files, and changes what judges; also where this cannot be found out."""
    changed = [file for file in files if PARAMS in _names(file)]
    if not changed:
        return False
    if any(file["status"] not in {"modified", "changed"} for file in changed):
        return True
    try:
        # Like the list of files, which compares with the merge base ("three-dot", docs.github.com: about comparing
        # branches in pull requests): `base.sha` may be older or newer. The second page has no files, which may be long.
        compared = github.get(f"compare/{quote(base)}...{commit}", per_page=1, page=2)
        before, after = (
            github.file(PARAMS, at, _MOST_BYTES)
            # A fork's commit, too, is found in this repository: docs.github.com, about permissions and visibility of
            # forks: "Commits to any repository in a network can be accessed from any repository in the same network".
            for at in (compared["merge_base_commit"]["sha"], commit)
        )
        # Of a symbolic link GitHub gives what it leads to, and a later change would be one of that file only.
        is_file = _blob(after) == changed[0]["sha"]
        return not is_file or changes_gates(before.decode(), after.decode())
    except github.Errors:
        return True


def _blob(content: bytes) -> str:
    """The hash by which git stores a file of this content."""
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
