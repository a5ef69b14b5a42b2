"""Decide what a merge to main releases: `python -m lifecycle.release.plan`.

Nothing is released if model and service are the same as the champion's. The workflow reads two outputs: `build` tells
whether to build a new version, and `version` is the number of the version that an earlier run has registered for the
commit. The workflow repeats the remaining steps for that version; those that are complete change nothing.
"""

from dataclasses import dataclass

from lifecycle.registry.store import open_registry
from lifecycle.registry.versions import Registry, Version
from lifecycle.release.image import contents_hash
from lifecycle.shared import console, github
from lifecycle.shared.commands import git, git_or_none


@dataclass(frozen=True)
class ReleasePlan:
    """The decision what to release.

    Attributes:
        why: Reason for the decision, for the log.
        build: Whether to build a new version.
        version: Version to deploy, which an earlier run has registered for this commit.
    """

    why: str
    build: bool = False
    version: Version | None = None


def plan() -> ReleasePlan:
    """Compare the checked-out commit, and the model that `make` has trained, with the registry."""
    with open_registry() as registry:
        return _plan(registry) if registry else ReleasePlan("there is no registry yet.", build=True)


def _plan(registry: Registry) -> ReleasePlan:
    registered, champion = registry.of_commit(_head()), registry.champion()
    if registered:
        return _resume(registered, champion)
    if not champion:
        return ReleasePlan("there is no champion yet.", build=True)
    if _is_newer(champion):
        return ReleasePlan(f"the champion, version {champion.number}, was made from a later commit.")
    contents = contents_hash()
    if champion.tags.get("contents") == contents:
        return ReleasePlan(f"model and service are the same as in version {champion.number}, the champion.")
    # After a rollback, a merge that only changes documentation must not deploy the faulty version again.
    for version in registry.after(champion.number):
        if version.was_champion and version.tags.get("contents") == contents:
            return ReleasePlan(
                f"model and service are the same as in version {version.number}, which was rolled back. "
                f"{_how_to_restore(version.number)}"
            )
    return ReleasePlan("model or service differ from the champion's.", build=True)


def _resume(registered: Version, champion: Version | None) -> ReleasePlan:
    """Decide what to do with the version that an earlier run has registered for this commit."""
    number = registered.number
    if champion and number == champion.number:
        return ReleasePlan("it was made from this commit and is the champion.", version=registered)
    if not registered.was_champion and (not champion or number > champion.number):
        return ReleasePlan("it was made from this commit and has not been the champion yet.", version=registered)
    # Re-running the workflow of an old commit must not undo later releases or a rollback.
    return ReleasePlan(
        f"version {number} was made from this commit, but another version has become the champion since. "
        f"{_how_to_restore(number)}"
    )


def _how_to_restore(number: int) -> str:
    return f"To restore version {number}, run `make rollback VERSION={number} WHY='…'`."


def _head() -> str:
    return git("rev-parse", "HEAD").strip()


def _is_newer(champion: Version) -> bool:
    """Return whether the champion was made from a later commit than this one."""
    return bool(champion.commit) and git_or_none("merge-base", "--is-ancestor", "HEAD", champion.commit) is not None


def main() -> None:
    """Print the plan, and write it to the outputs of the workflow."""
    release = plan()
    if release.build:
        decision = "Building a new version"
    else:
        decision = f"Deploying version {release.version.number}" if release.version else "Nothing to release"
    print(f"{decision}: {release.why}")
    github.output(
        build="true" if release.build else "",
        version=str(release.version.number) if release.version else "",
    )


if __name__ == "__main__":
    console.run_main(main)
