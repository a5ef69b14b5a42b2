"""The real release.yml, after make-believe merges: with a real image, and real registries of images and models."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.containers import Engine, find_engine
from tests.github.server import NAME, GitHub
from tests.images import registry_of_images
from tests.registry.commands import table
from tests.repository import Repository, change_params, with_estimator
from tests.workflows.act import Rehearsal, rehearse


@pytest.fixture
def images(tmp_path: Path) -> Iterator[str]:
    with registry_of_images(tmp_path) as name:
        yield name


@pytest.fixture
def main(proposing: Repository) -> Repository:
    """The repository at GitHub: its main is checked out nowhere, so that it can be pushed to."""
    proposing.must("git", "checkout", "--quiet", "--detach", "main")
    proposing.must("git", "remote", "add", "origin", str(proposing.folder))
    return proposing


def merge(repository: Repository, message: str) -> None:
    """What is changed in the work tree comes to main."""
    repository.commit(message)
    repository.must("git", "branch", "--force", "main", "HEAD")


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """What builds the images; those that come of it are removed."""
    found = find_engine()
    monkeypatch.setenv("IMAGE_BASE", found.base)
    for name, value in found.environment.items():
        monkeypatch.setenv(name, value)
    listed = ("images", "--all", "--quiet", "--no-trunc")
    before = set(found.must(*listed).split())
    yield found
    found.run("rmi", "--force", *(set(found.must(*listed).split()) - before))


@pytest.fixture
def release(main: Repository, github: GitHub, images: str, tmp_path: Path, engine: Engine) -> Callable[[], Rehearsal]:
    """Run the workflow for the newest commit of main."""
    del engine

    def run() -> Rehearsal:
        before, after = (main.must("git", "rev-parse", name).strip() for name in ("main~1", "main"))
        github.answers[f"commits/{after}/pulls"] = [
            {"number": 7, "merge_commit_sha": after, "user": {"login": "somebody"}, "labels": []}
        ]
        event = {
            "event": "push",
            "ref": "refs/heads/main",
            "before": before,
            "after": after,
            "repository": {"full_name": NAME, "default_branch": "main"},
        }
        where = f"{images}/{NAME}"
        return rehearse("release.yml:release", event, main.folder, github, tmp_path / "run", IMAGE_REPOSITORY=where)

    return run


def versions(repository: Repository) -> list[list[str]]:
    """The words of each line of the table."""
    return [line.split() for line in table(repository)[1:]]


def test_merges(main: Repository, github: GitHub, images: str, release: Callable[[], Rehearsal]) -> None:
    first = main.must("git", "rev-parse", "main").strip()
    done = release()
    assert done.passed, done.output
    assert "dvc.lock and the reports are as they were merged" in done.output
    ((number, champion, *_, image),) = versions(main)
    assert (number, champion) == ("1", "champion")
    assert first[:12] in table(main)[1]
    assert "#7" in table(main)[1]
    # The image is where production fetches it from, by the digest that is registered.
    kinds = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"
    manifest = httpx.get(f"http://{images}/v2/{NAME}/manifests/{first[:12]}", headers={"Accept": kinds})
    assert manifest.headers["Docker-Content-Digest"].startswith(image)
    assert (
        f"docker run --read-only --tmpfs /tmp --volume predictions:/state --publish 3000:3000 {images}" in done.output
    )
    (announced,) = github.releases
    assert (announced["tag_name"], announced["target_commitish"]) == ("v1", first)
    assert announced["body"].startswith("# flight-delay\n")

    # The same once more, and a merge of words: no version, and nothing is built.
    for words in ("", "Other words"):
        if words:
            (main.folder / "README.md").write_text(words, encoding="utf-8")
            merge(main, words)
        done = release()
        assert done.passed, done.output
        assert "Nothing to release." in done.output
        assert "make image" not in done.output
    assert len(versions(main)) == len(github.releases) == 1

    # A better one, made in an editor on the web: what CI has made of it is recorded on main.
    change_params(main, **with_estimator(main, max_iter=60, learning_rate=0.05))
    merge(main, "More rounds")
    merged = main.must("git", "rev-parse", "main").strip()
    done = release()
    assert done.passed, done.output
    assert versions(main)[0][:2] == ["2", "champion"]
    assert main.must("git", "log", "-1", "--format=%s", "main").strip() == "Record what CI has made of this [skip ci]"
    assert main.must("git", "rev-parse", "main~1").strip() == merged
    assert "dvc.lock" in main.must("git", "diff", "--name-only", "main~1", "main")
    history = table(main, "history")
    assert [line.split()[0] for line in history[1:]] == ["1", "2"]

    # A worse one, which somebody has merged all the same: the champion stays.
    main.must("git", "checkout", "--quiet", "--detach", "main")
    change_params(main, **with_estimator(main, min_samples_leaf=3000))
    merge(main, "No splits")
    done = release()
    assert not done.passed
    assert "Not to be merged" in done.output
    assert versions(main)[0][:2] == ["2", "champion"]
    assert len(github.releases) == 2
