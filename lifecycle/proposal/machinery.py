"""`python -m lifecycle.proposal.machinery`: decide whether a proposal changes the machinery.

propose.yml runs the machinery's tests only in that case. They take ten minutes and use a frozen project of their own,
so they say nothing about a proposal that only changes a model.
"""

import argparse
from collections.abc import Iterable

from lifecycle.proposal.base import find_base
from lifecycle.shared import console, github
from lifecycle.shared.commands import git

# Files of a model, its results, and texts. Everything else is the machinery, including new files.
_NOT_MACHINERY = (
    *("model/", "tests/model/", "params.yaml", "dvc.yaml", "bentofile.yaml"),
    *("data.dvc", "dvc.lock", "lifecycle/proposal/dvc.lock", "reports/", ".dvc/remote/", ".dvc/config"),
    *("docs/", "benchmarks/", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"),
)


def machinery_files(paths: Iterable[str]) -> list[str]:
    """Return the files of the machinery among some files of the repository."""
    return [path for path in paths if not path.startswith(_NOT_MACHINERY)]


def changed_paths(base: str) -> list[str]:
    """List the files that differ from where the proposal left its base; a renamed file counts by both names."""
    return git("diff", "--name-only", "--no-renames", "-z", f"{base}...HEAD").split("\0")[:-1]


def main() -> None:
    """Set the output `touched` of the workflow, and print the changed files."""
    parser = argparse.ArgumentParser(prog="python -m lifecycle.proposal.machinery", description=__doc__)
    parser.add_argument("--base", default="", help="commit that the proposal is made against; default: main")
    base = find_base(parser.parse_args().base)
    touched = machinery_files(changed_paths(base))
    github.output(touched="true" if touched else "false")
    print(f"Changed files of the machinery: {len(touched)}.", *map(repr, touched[:20]), sep="\n  ")


if __name__ == "__main__":
    console.run_main(main)
