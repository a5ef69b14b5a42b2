"""`make upgrade`: merge a newer version of the template into this repository, and leave the team's own files alone.

It is a three-way merge of the version that this repository was made from, this repository, and the newer version.
Without APPLY=1 it only prints what it would do. A repository made with "Use this template" shares no history with the
template, but its first commit has the same tree as one of the template's commits: the version it was made from.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lifecycle.shared import console
from lifecycle.shared.commands import git
from lifecycle.shared.console import CommandError, UserError
from lifecycle.shared.files import write_json

RECORD = Path(".template.json")
# The team's model and data, the files made from them, and its own texts. An upgrade never changes these.
OWN = (
    *("model", "data.dvc", "dvc.lock", "lifecycle/proposal/dvc.lock", "reports", ".dvc/remote"),
    *("README.md", "LICENSE"),
)
# Compiled from pyproject.toml: a conflict takes the template's file, because nobody could resolve it by hand.
_COMPILED = "requirements/"
_REFS = "refs/template"
_REMOVED = f"0 {'0' * 40}"  # mode and hash of a removed file in `git update-index --index-info`
_CONFLICTS = 3  # exit status


@dataclass(frozen=True)
class Template:
    """A version of the template.

    Attributes:
        url: Git repository that it was fetched from.
        commit: Commit of the version.
    """

    url: str
    commit: str


@dataclass(frozen=True)
class Upgrade:
    """The changes that an upgrade makes.

    Attributes:
        template: Version that is merged.
        base: Commit of the template that this repository was made from.
        tree: Resulting tree, with conflict markers in the files in conflict.
        changes: Path and action for each file that changes.
        conflicts: Files in conflict.
        deleted: Files that the team has deleted but the newer version still has.
    """

    template: Template
    base: str
    tree: str
    changes: list[tuple[str, str]]
    conflicts: list[str]
    deleted: list[str]


def fetch(url: str, version: str) -> Template:
    """Fetch the template without adding a remote or changing a tag.

    Args:
        url: Git repository of the template.
        version: Tag, branch or commit; empty for the newest commit of the default branch.

    Raises:
        UserError: If it cannot be fetched, or has no such version.
    """
    try:
        refs = (f"+refs/{kind}/*:{_REFS}/{kind}/*" for kind in ("heads", "tags"))
        git("fetch", "--quiet", "--no-tags", "--prune", "--", url, *refs)
        head = git("ls-remote", "--symref", "--", url, "HEAD")
    except CommandError as error:
        raise UserError(f"the template cannot be fetched from {url}:\n{error}") from error
    if not version:
        version = head.split()[1].removeprefix("refs/heads/") if head.startswith("ref: ") else ""
    commit = _commit(version)
    if commit:
        return Template(url, commit)
    raise UserError(f"the template at {url} has no version {version!r}. Name a tag, a branch or a commit: TO=…")


def find_template_base(template: Template, named: str) -> str:
    """Find the commit of the template that this repository was made from, or last upgraded to.

    Args:
        template: Newer version.
        named: Commit that the user names; empty if none.

    Raises:
        UserError: If there is no such commit.
    """
    if named or RECORD.exists():
        name = named or _recorded("commit")
        commit = _commit(name)
        if not commit:
            raise UserError(
                f"the template has no commit {name}, which {'BASE' if named else RECORD} names. Name the version that "
                "this repository was made from: make upgrade BASE=<tag or commit>"
            )
        return commit
    if git("rev-parse", "--is-shallow-repository").strip() == "true":
        raise UserError("this clone is shallow, so its first commit is unknown. Run `git fetch --unshallow` first.")
    shared = _git("merge-base", "HEAD", template.commit, also=1).strip()
    if shared:
        return shared
    roots = git("rev-list", "--max-parents=0", "HEAD").split()
    first_trees = {git("rev-parse", f"{root}^{{tree}}").strip() for root in roots}
    for line in git("log", "--format=%H %T", f"--glob={_REFS}/*").splitlines():
        commit, tree = line.split()
        if tree in first_trees:
            return commit
    raise UserError(
        f"no commit of the template at {template.url} has the files of this repository's first commit, so the "
        "version it was made from is unknown. Name that version once: make upgrade BASE=<tag or commit>"
    )


def plan_upgrade(template: Template, base: str) -> Upgrade:
    """Merge the newer version without changing the working tree.

    Args:
        template: Newer version.
        base: Commit of the template that this repository was made from.

    Raises:
        UserError: If the version is the base, or older.
    """
    if template.commit == base:
        raise UserError(f"this repository has version {base[:12]} already.")
    if _git("merge-base", template.commit, base, also=1).strip() == template.commit:
        raise UserError(f"{template.commit[:12]} is older than {base[:12]}, which this repository has already.")
    base_files, head_files, template_files = (_blobs(commit) for commit in (base, "HEAD", template.commit))
    deleted = {path for path in base_files.keys() - head_files.keys() if not _is_own(path)}
    renamed = {new for old, new in _renamed(base, template.commit) if old in deleted}
    left_out = deleted | renamed
    base_tree, template_tree = (_tree(commit, left_out) for commit in (base, template.commit))
    base_commit = git("commit-tree", base_tree, "-m", "base", **_NOBODY).strip()
    sides = [
        git("commit-tree", tree, "-p", base_commit, "-m", "side", **_NOBODY).strip()
        for tree in (git("rev-parse", "HEAD^{tree}").strip(), template_tree)
    ]
    tree, conflicts = _merge(sides[0], sides[1])
    compiled = [path for path in conflicts if path.startswith(_COMPILED) and path in template_files]
    tree = _with_blobs(tree, {path: template_files[path] for path in compiled})
    merged = _blobs(tree)
    changes = [
        (path, _action(head_files.get(path), base_files.get(path), merged.get(path)))
        for path in sorted(head_files.keys() | merged.keys())
        if head_files.get(path) != merged.get(path)
    ]
    kept_out = sorted(path for path in left_out if path in template_files)
    return Upgrade(template, base, tree, changes, sorted(set(conflicts) - set(compiled)), kept_out)


def apply(planned: Upgrade) -> None:
    """Update the working tree and the index to the planned tree, and record the version.

    Raises:
        CommandError: If git cannot change the working tree, which is then unchanged.
    """
    git("read-tree", "-m", "-u", "HEAD", planned.tree)
    write_json(RECORD, {"url": planned.template.url, "commit": planned.template.commit})
    git("add", "--force", "--", str(RECORD))


def describe(planned: Upgrade, *, applied: bool) -> str:
    """Describe an upgrade for people."""
    lines = [f"From {planned.base[:12]} to {planned.template.commit[:12]} of {planned.template.url}:"]
    lines += [f"  {action:9} {path!r}" for path, action in planned.changes if path not in planned.conflicts]
    lines += [f"  kept out  {path!r}: deleted here" for path in planned.deleted]
    lines += [f"  CONFLICT  {path!r}" for path in planned.conflicts]
    if any(path.startswith(_COMPILED) for path, _ in planned.changes):
        lines.append("requirements/ is the template's: if pyproject.toml has dependencies of yours, run `make lock`.")
    if not applied:
        lines.append("Nothing was changed. Read the CHANGELOG.md of that version, then run `make upgrade APPLY=1`.")
    elif planned.conflicts:
        lines.append("Resolve the marked conflicts and `git add` the files, then run `make check` and `git commit`.")
    else:
        lines.append("Staged. Review it (`git diff --cached`), then run `make check`, `make` and `git commit`.")
    return "\n".join(lines)


# Author of commits that only git's merge sees.
_NOBODY = {
    f"GIT_{role}_{key}": value
    for role in ("AUTHOR", "COMMITTER")
    for key, value in (("NAME", "upgrade"), ("EMAIL", "upgrade@localhost"))
}


def _git(*arguments: str, also: int = 0, stdin: str = "", index: str = "") -> str:
    """Run git and return its output; paths are passed and returned byte for byte.

    Args:
        arguments: Arguments of git.
        also: Another exit status than 0 that is not an error.
        stdin: Input of git.
        index: Path of the index file; empty for that of the repository.

    Raises:
        CommandError: If git fails.
    """
    completed = subprocess.run(
        ["git", *arguments],
        env=os.environ | ({"GIT_INDEX_FILE": index} if index else {}),
        input=stdin.encode(errors="surrogateescape"),
        capture_output=True,
        check=False,
    )
    if completed.returncode not in {0, also}:
        message = completed.stderr.decode(errors="replace").strip() or f"git {arguments[0]} failed"
        raise CommandError(message, completed.returncode)
    return completed.stdout.decode(errors="surrogateescape")


def _commit(name: str) -> str:
    """Return the hash of a tag, branch or commit of the template; empty if there is none of that name."""
    for revision in (f"{_REFS}/tags/{name}", f"{_REFS}/heads/{name}", name):
        arguments = ("rev-parse", "--quiet", "--verify", "--end-of-options", f"{revision}^{{commit}}")
        commit = _git(*arguments, also=1).strip()
        if commit:
            return commit
    return ""


def _recorded(key: str) -> str:
    """Return what the last upgrade recorded."""
    try:
        return str(json.loads(RECORD.read_text(encoding="utf-8"))[key])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{RECORD} is damaged. Delete it, and name the template and your version: make upgrade FROM=<url> "
            "BASE=<tag or commit>"
        ) from error


def _is_own(path: str) -> bool:
    return any(path == own or path.startswith(f"{own}/") for own in OWN)


def _blobs(tree: str) -> dict[str, str]:
    """Return mode and hash of each file of a tree, by its path."""
    lines = _git("ls-tree", "-r", "-z", tree).split("\0")[:-1]
    return {path: entry for entry, _, path in (line.partition("\t") for line in lines)}


def _renamed(before: str, after: str) -> list[tuple[str, str]]:
    """Return old and new path of each file that was renamed between two commits."""
    options = ("-r", "-z", "-M", "--diff-filter=R", "--name-status")
    fields = iter(_git("diff-tree", *options, before, after).split("\0")[:-1])
    return [(next(fields), next(fields)) for _ in fields]


def _tree(commit: str, left_out: Iterable[str]) -> str:
    """Make the tree of a template's commit with this repository's own files and without those that are left out."""
    own = {path: entry for path, entry in _blobs("HEAD").items() if _is_own(path)}
    replaced = {path: "" for path in _blobs(commit) if _is_own(path)}
    return _with_blobs(commit, replaced | own | dict.fromkeys(left_out, ""))


def _with_blobs(tree: str, entries: dict[str, str]) -> str:
    """Make a tree with some files changed: mode and hash by path, or an empty string to remove the file."""
    with tempfile.TemporaryDirectory() as folder:
        index = str(Path(folder) / "index")
        _git("read-tree", tree, index=index)
        lines = "".join(f"{entry or _REMOVED}\t{path}\0" for path, entry in entries.items())
        _git("update-index", "-z", "--index-info", stdin=lines, index=index)
        return _git("write-tree", index=index).strip()


def _merge(ours: str, theirs: str) -> tuple[str, list[str]]:
    """Return the merged tree, and the files in conflict."""
    output = _git("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", ours, theirs, also=1)
    tree, *conflicts = output.split("\0")[:-1]
    return tree, conflicts


def _action(head: str | None, base: str | None, merged: str | None) -> str:
    """Return the action that an upgrade takes on a file."""
    if merged is None:
        return "delete"
    if head is None:
        return "add"
    return "take" if head == base else "merge"


def main() -> None:
    """Plan an upgrade, print it, and apply it with ``--apply``."""
    parser = argparse.ArgumentParser(prog="make upgrade", description=__doc__)
    parser.add_argument("--from", dest="url", default="", help="git repository of the template; default: the last one")
    parser.add_argument("--to", default="", help="tag, branch or commit; default: the newest commit")
    parser.add_argument("--base", default="", help="version that this repository was made from, if it is not found")
    parser.add_argument("--apply", action="store_true", help="change the working tree")
    arguments = parser.parse_args()
    try:
        if git("status", "--porcelain"):
            raise UserError("the working tree has changes. Commit them, or stash them with `git stash -u`, first.")
        planned = _planned(arguments.url, arguments.to, arguments.base)
        if arguments.apply:
            apply(planned)
    except CommandError as error:
        raise UserError(str(error)) from error
    print(describe(planned, applied=arguments.apply))
    sys.exit(_CONFLICTS if planned.conflicts else 0)


def _planned(url: str, version: str, base: str) -> Upgrade:
    if not url:
        if not RECORD.exists():
            raise UserError("name the template's repository: make upgrade FROM=https://github.com/<owner>/<template>")
        url = _recorded("url")
    template = fetch(url, version)
    return plan_upgrade(template, find_template_base(template, base))


if __name__ == "__main__":
    console.run_main(main)
