"""`python -m lifecycle.release.plan`: decide what a merge to main releases; nothing if it would be the champion again.

A workflow is told by the outputs `build`, whether there is a version to make, and `version`: that which the commit has,
where an earlier run got so far. The rest of the release is done for it once more, which changes nothing where it was
done.
"""

from dataclasses import dataclass

from lifecycle.registry.store import open_registry
from lifecycle.registry.versions import Registry, Version
from lifecycle.release.image import contents
from lifecycle.shared import console, github
from lifecycle.shared.commands import CommandError, git


@dataclass(frozen=True)
class ReleasePlan:
    """What to release.

    Attributes:
        why: In a sentence.
        build: Whether there is a version to make.
        version: What an earlier run has registered of this commit, and is to be in production.
    """

    why: str
    build: bool = False
    version: Version | None = None


def plan() -> ReleasePlan:
    """Compare the commit that is checked out, and the model that `make` has trained, with the registry."""
    with open_registry() as registry:
        return _plan(registry) if registry else ReleasePlan("There is no registry yet.", build=True)


def _plan(registry: Registry) -> ReleasePlan:
    ours, champion = registry.of_commit(_head()), registry.champion()
    if ours:
        return _go_on(ours, champion)
    if not champion:
        return ReleasePlan("There is no champion yet.", build=True)
    if _is_older(champion):
        return ReleasePlan(f"Version {champion.number}, the champion, is of a later commit.")
    made_of = contents()
    if champion.tags.get("contents") == made_of:
        return ReleasePlan(f"Neither model nor service differ from those of version {champion.number}.")
    # Who merges other words does not want back what production has just been rolled back from.
    for version in registry.after(champion.number):
        if version.was_champion and version.tags.get("contents") == made_of:
            return ReleasePlan(
                f"It would be version {version.number} again, from which production was rolled back.{_BACK}"
            )
    return ReleasePlan("Model or service differ from the champion's.", build=True)


def _go_on(ours: Version, champion: Version | None) -> ReleasePlan:
    """What there is to do for a version of this very commit, which an earlier run has registered."""
    number = ours.number
    if champion and number == champion.number:
        return ReleasePlan(f"Version {number} is of this commit, and the champion.", version=ours)
    if not ours.was_champion and (not champion or number > champion.number):
        return ReleasePlan(f"Version {number} is of this commit, and has not been the champion yet.", version=ours)
    # Its time has passed: who wants it all the same says so by name.
    return ReleasePlan(f"Version {number} is of this commit, and another one the champion since.{_BACK}")


_BACK = " To bring it back: make rollback VERSION=N."


def _head() -> str:
    return git("rev-parse", "HEAD").strip()


def _is_older(champion: Version) -> bool:
    """Whether the champion was made from a commit that came after this one."""
    try:
        return bool(champion.commit) and git("merge-base", "--is-ancestor", "HEAD", champion.commit) == ""
    except CommandError:
        return False


def main() -> None:
    """Say it, and tell the workflow."""
    found = plan()
    print(f"{found.why} {'To be released.' if found.build or found.version else 'Nothing to release.'}")
    github.output(
        build="true" if found.build else "",
        version=str(found.version.number) if found.version else "",
    )


if __name__ == "__main__":
    console.run_main(main)
