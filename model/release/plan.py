"""What a merge to main has to release: `python -m model.release.plan`. Nothing, where it would be the champion again.

A workflow is told by the outputs `release` and `version`: the version that the commit has already, where an earlier run
got so far.
"""

from dataclasses import dataclass

from model import console, github
from model.commands import git
from model.registry.store import opened
from model.registry.versions import Version
from model.release.image import contents


@dataclass(frozen=True)
class Plan:
    """What to release.

    Attributes:
        why: In a sentence.
        release: Whether there is anything.
        version: What an earlier run has registered of this commit.
    """

    why: str
    release: bool
    version: Version | None = None


def plan() -> Plan:
    """Compare the commit that is checked out, and the model that `make` has trained, with the registry."""
    commit = git("rev-parse", "HEAD").strip()
    with opened() as registry:
        champion = registry.champion() if registry else None
        registered = registry.of_commit(commit) if registry else None
    if registered and champion and registered.number == champion.number:
        return Plan(f"Version {champion.number} is of this commit, and the champion.", release=False)
    if registered:
        return Plan(f"Version {registered.number} is of this commit, and not the champion yet.", True, registered)
    if champion and champion.tags.get("contents") == contents():
        return Plan(f"Neither model nor service differ from those of version {champion.number}.", release=False)
    return Plan(
        "Model or service differ from the champion's." if champion else "There is no champion yet.", release=True
    )


def main() -> None:
    """Say it, and tell the workflow."""
    found = plan()
    print(f"{found.why} {'To be released.' if found.release else 'Nothing to release.'}")
    version = found.version
    github.output(
        release="true" if found.release else "",
        version=str(version.number) if version else "",
        image=version.tags["image"] if version else "",
    )


if __name__ == "__main__":
    console.run(main)
