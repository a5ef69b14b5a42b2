"""Versions in and out of production, on a real host: what gets the requests, and what does not."""

import itertools
import re
import shlex
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
import pytest

from lifecycle.release.host import connected
from lifecycle.release.publish import push_image
from tests.lifecycle import in_process
from tests.lifecycle.containers import Engine, find_engine
from tests.lifecycle.host import ProductionHost, production_host
from tests.lifecycle.images import registry_of_images
from tests.lifecycle.missing import need
from tests.lifecycle.registry.commands import clone_of, register, table
from tests.lifecycle.repository import Repository, edit
from tests.lifecycle.serving.conftest import EXAMPLE, eventually
from tests.lifecycle.traffic import traffic

# What a version may have that another one has not: a file of the package, a text in it, and what takes its place.
Edit = tuple[str, str, str]
NARROW = ("model/contract.py", "maximum=9999", "maximum=2000")
WRONG = ("lifecycle/serving/scorer.py", "found.tolist()\n        return", "(found * 0.9).tolist()\n        return")
LATE = (
    "lifecycle/serving/scorer.py",
    "        _, found = await",
    "        await asyncio.sleep(6)\n        _, found = await",
)
WRITE_CONTRACT = (
    "from pathlib import Path; from lifecycle.shared import files, schema\n"
    "files.write_json(Path('artifacts/model/contract.json'), schema.json_schema())"
)


@dataclass
class Story:
    """A repository, its registries, and the host of its production."""

    repository: Repository
    engine: Engine
    images: str
    image: str
    host: ProductionHost
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def version(self, *edits: Edit) -> int:
        """Register a version, in whose code something is another."""
        number, clone = next(self.numbers), self.repository
        clone.must("git", "checkout", "--quiet", "origin/main", "--", "model", "lifecycle")
        for path, old, new in edits:
            edit(clone, path, old, new)
        clone.must("git", "commit", "--quiet", "--all", "--allow-empty", "--message", f"Version {number}")
        clone.must("python", "-c", WRITE_CONTRACT)
        clone.must("python", "-m", "lifecycle.pipeline.lineage")
        # The image of the first one, with what is another.
        name, file = f"localhost/story:{number}", clone.folder.parent / "Dockerfile"
        file.write_text(
            f"FROM {self.image}\nCOPY model model\nCOPY lifecycle lifecycle\nCOPY artifacts/model artifacts/model\n"
            f"COPY artifacts/lineage.json artifacts/\nUSER 0\n"
            f"RUN python3 -m compileall -qf --invalidation-mode unchecked-hash model lifecycle\nUSER 10001:10001\n",
            encoding="utf-8",
        )
        options = ("--quiet", "--format", "docker", "--tag", name, "--file", str(file))
        self.engine.must("build", *options, str(clone.folder))
        published = f"{self.images}/story@{push_image(name, f'{self.images}/story', self.engine.command)}"
        # By its own code: what it registers is its own contract.
        said = clone.must("python", "-m", "lifecycle.release.register", "--image", published)
        assert said.startswith(f"version {number} of")
        # What production runs, it fetches.
        self.engine.must("rmi", "--force", name, f"{self.images}/story:{number}")
        return number

    def run(self, what: str, *arguments: str) -> tuple[str, str]:
        """Run one of the commands that know of the host: what it prints, and its error."""
        environment = {**self.host.environment, "GITHUB_ACTOR": "somebody"}
        return in_process.run(self.repository, f"lifecycle.release.{what}", *arguments, **environment)

    def must(self, what: str, *arguments: str) -> str:
        said, error = self.run(what, *arguments)
        assert error == ""
        return said

    def running(self) -> str:
        """The version that answers in production."""
        found: str = httpx.get(f"{self.host.url}/model", timeout=5).json()["version"]
        return found

    def up(self) -> set[str]:
        """The services that run."""
        project = f"label=com.docker.compose.project={self.host.setting('COMPOSE_PROJECT_NAME')}"
        listed = self.host.run(f"docker ps --filter {project} --format '{{{{.Names}}}}'")
        return {name.split("_")[1] for name in listed.split()}

    def log(self, query: str) -> list[list[str]]:
        """What a query finds in the prediction log."""
        psql = "docker compose exec -T postgres psql -h /tmp -U service -At predictions -c"
        said = self.host.run(f"{psql} {shlex.quote(query)}")
        return [line.split("|") for line in said.splitlines()]

    def champions(self) -> list[str]:
        """The versions that were champion, in turn."""
        return [line.split()[0] for line in table(self.repository, "history")[1:]]


@pytest.fixture(scope="module")
def story(released: Repository, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """With two versions, of which the second is in production; tests leave it so."""
    need("release")
    folder, engine = tmp_path_factory.mktemp("story"), find_engine()
    with pytest.MonkeyPatch.context() as patch, registry_of_images(folder) as images:
        for name, value in engine.environment.items():
            patch.setenv(name, value)
        repository = clone_of(released, folder)
        command = ("python", "-m", "lifecycle.release.image", "--engine", engine.command, "--base", engine.base)
        image = repository.must(*command).splitlines()[-1].split()[1]
        with production_host(engine, images) as host:
            story = Story(repository, engine, images, image, host)
            story.version(NARROW)
            story.version()
            for number in (1, 2):
                story.must("deploy", str(number))
            yield story
        engine.run("rmi", "--force", image)


def test_what_is_in_production(story: Story) -> None:
    assert story.running() == "2"
    # The slot of the version before has ended.
    assert len(story.up() & {"blue", "green"}) == 1
    assert {"haproxy", "postgres"} < story.up()
    ask = partial(httpx.post, json=EXAMPLE, timeout=5)
    answer = ask(f"{story.host.url}/predict", headers={"X-Request-ID": "wet"})
    assert answer.json()["model_version"] == "2"
    # By its own port, which is for this machine alone, a slot may be tried; in production each prediction is logged.
    slot = f"http://127.0.0.1:{story.host.slots[(story.up() & {'blue', 'green'}).pop()]}"
    dry = {"X-Dry-Run": "true", "X-Request-ID": "dry"}
    assert ask(f"{slot}/predict", headers=dry).status_code == 200
    assert httpx.get(f"{slot}/metrics").status_code == 200
    assert httpx.get(f"{story.host.url}/metrics").status_code == 404
    eventually(lambda: story.log("select model_version from predictions where request_id = 'wet'") == [["2"]])
    assert story.log("select count(*) from predictions where request_id = 'dry'") == [["0"]]
    assert ask(f"{story.host.url}/predict", headers=dry).status_code == 200
    eventually(lambda: story.log("select count(*) from predictions where request_id = 'dry'") == [["1"]])
    # The password stays between the containers.
    assert stat.S_IMODE(story.host.folder.stat().st_mode) == 0o700


def test_back_and_forth_without_a_failed_request(story: Story) -> None:
    with traffic(story.host.url) as seen:
        eventually(lambda: seen.requests > 100)
        said = story.must("rollback", "1", "--why", "too many alarms")
        assert story.running() == "1"
        story.must("deploy", "2")
        last = seen.requests
        eventually(lambda: seen.requests > last + 50)
    assert seen.failed == []
    assert seen.versions == ["2", "1", "2"]
    assert re.search(r"accepts the newest [1-9]\d* rows", said)
    assert story.champions() == ["1", "2", "1", "2"]
    assert re.search(r" somebody +too many alarms$", table(story.repository, "history")[3])
    assert story.log("select distinct model_version from predictions order by 1") == [["1"], ["2"]]
    logged = int(story.log("select count(*) from predictions where request_id <> 'wet' and request_id <> 'dry'")[0][0])
    assert logged == seen.requests


# One that is not fit is enough for each day.
@pytest.mark.parametrize(
    ("edits", "reason"),
    [
        (WRONG, "its probabilities are off by up to 0.0"),
        pytest.param(LATE, "does not answer within 5 s", marks=pytest.mark.long),
    ],
)
def test_what_is_not_fit_does_not_go_into_production(story: Story, edits: Edit, reason: str) -> None:
    number = story.version(edits)
    champions = story.champions()
    with traffic(story.host.url) as seen:
        _, error = story.run("deploy", str(number))
    assert error.startswith(f"version {number} does not go into production")
    assert reason in error
    assert "Service flight-delay initialized" in error
    assert (seen.failed, seen.versions) == ([], ["2"])
    assert len(story.up() & {"blue", "green"}) == 1
    assert story.champions() == champions


def test_back_to_a_contract_that_does_not_take_the_requests(story: Story) -> None:
    ask = partial(httpx.post, f"{story.host.url}/predict", timeout=5)
    assert ask(json=EXAMPLE | {"flight_number": 3000}, headers={"X-Request-ID": "new"}).status_code == 200
    eventually(lambda: story.log("select 1 from predictions where request_id = 'new'") == [["1"]])
    champions = story.champions()
    _, error = story.run("rollback", "1", "--why", "an incident")
    assert "it refuses 1 of the newest " in error
    assert "Its contract differs in: flight_number." in error
    assert "flight_number must be a whole number from 1 up to 2000" in error
    assert story.running() == "2"
    assert story.champions() == champions


def test_refused_before_anything_is_touched(story: Story) -> None:
    _, error = story.run("rollback", "99", "--why", "an incident")
    assert error == "there is no version 99 of flight-delay. `make registry` lists the versions."
    story.repository.must("git", "commit", "--quiet", "--allow-empty", "--message", "An image that has gone")
    number = next(story.numbers)
    gone = f"{story.images}/story@sha256:{'d' * 64}"
    assert register(story.repository, "--image", gone).startswith(f"version {number} ")
    _, error = story.run("rollback", str(number), "--why", "an incident")
    assert "docker pull" in error
    assert gone in error
    # From where nobody knows of the host.
    _, error = in_process.run(story.repository, "lifecycle.release.rollback", "1", "--why", "an incident")
    assert error == "production runs on a host: set DEPLOY_HOST to its address, as for `ssh`."
    # Somebody else is at it: as long as that connection lasts.
    with connected_to(story.host):
        _, error = story.run("deploy", "1")
        # Who only looks need not wait.
        check = story.repository.run("python", "-m", "lifecycle.monitoring", "check", **story.host.environment)
        assert re.match(r"version 2, .*: [1-9][\d,]* predictions", check.stdout), check.stdout
    assert "is deployed to by somebody else just now" in error
    assert story.running() == "2"


def test_a_host_that_starts_again_goes_on_with_the_same(story: Story) -> None:
    story.host.run("docker compose restart haproxy")
    assert eventually(lambda: answering(story)) == "2"
    # And what is changed in the rules for HAProxy is taken over while it runs.
    rules = story.repository.folder / "deploy/haproxy/haproxy.cfg"
    text = rules.read_text(encoding="utf-8")
    rules.write_text(text.replace("/metrics", "/model-card"), encoding="utf-8")
    with traffic(story.host.url) as seen:
        story.must("deploy", "2")
        assert httpx.get(f"{story.host.url}/metrics").status_code == 200
        rules.write_text(text, encoding="utf-8")
        story.must("deploy", "2")
        eventually(lambda: httpx.get(f"{story.host.url}/metrics").status_code == 404)
    assert (seen.failed, seen.versions) == ([], ["2"])


def answering(story: Story) -> str:
    try:
        return story.running()
    except httpx.TransportError:
        return ""


def test_no_host(released: Repository, tmp_path: Path) -> None:
    """It ends with the line that runs the image; and goes back to what can still be had."""
    engine, clone = find_engine(), clone_of(released, tmp_path)
    gone, there = f"127.0.0.1:9/story@sha256:{'d' * 64}", engine.base
    for image in (gone, there):
        clone.must("git", "commit", "--quiet", "--allow-empty", "--message", image)
        register(clone, "--image", image)
    environment = engine.environment | {"GITHUB_ACTOR": "somebody"}
    for number in ("1", "2"):
        said = in_process.must(clone, "lifecycle.release.deploy", number, **environment)
    options = "--read-only --tmpfs /tmp --volume predictions:/state --publish 3000:3000 --env MODEL_VERSION=2"
    assert said.splitlines() == [
        "version 2 is the champion; no host is configured (DEPLOY_HOST). Run it by:",
        f"docker run {options} {there}",
    ]
    _, error = in_process.run(clone, "lifecycle.release.rollback", "1", "--why", "odd", **environment)
    assert error.startswith("the image of version 1 is not there any more:\n")
    assert table(clone, "history")[-1].split()[0] == "2"


@contextmanager
def connected_to(host: ProductionHost) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in host.environment.items():
            patch.setenv(name, value)
        with connected(host.environment["DEPLOY_HOST"]):
            yield
