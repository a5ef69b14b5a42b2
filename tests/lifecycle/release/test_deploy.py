"""Deployments and rollbacks on a real host: which versions receive requests, and which do not."""

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
import yaml

from lifecycle.release.host import connected
from lifecycle.release.publish import push_image
from tests.github.server import NAME, GitHub
from tests.lifecycle import in_process
from tests.lifecycle.containers import Engine, find_engine
from tests.lifecycle.host import ProductionHost, production_host
from tests.lifecycle.images import registry_of_images
from tests.lifecycle.missing import need
from tests.lifecycle.receivers import chat, mail_server
from tests.lifecycle.registry.commands import clone_of, register, table
from tests.lifecycle.repository import GATES, Repository, change_params, edit
from tests.lifecycle.serving.conftest import EXAMPLE, eventually
from tests.lifecycle.traffic import traffic

# A difference between the code of two versions: a file, a text in it and its replacement.
Edit = tuple[str, str, str]
NARROW = ("model/contract.py", "maximum=9999", "maximum=2000")
WRONG = ("lifecycle/serving/scorer.py", "list(scores.tolist())", "list((scores * 0.9).tolist())")
LATE = (
    "lifecycle/serving/scorer.py",
    "        _, scores = await",
    "        await asyncio.sleep(6)\n        _, scores = await",
)
# The command of docs/operations.md; a person has a terminal, which podman-compose insists on.
TRY = (
    "docker compose exec -T alertmanager amtool --alertmanager.url http://localhost:9093 "
    "alert add Test --annotation summary='A test.'"
)
WRITE_CONTRACT = (
    "from pathlib import Path; from lifecycle.shared import files, schema\n"
    "files.write_json(Path('artifacts/model/contract.json'), schema.json_schema())"
)


@dataclass
class Story:
    """A repository with its model registry, its image registry and its production host."""

    repository: Repository
    engine: Engine
    images: str
    image: str
    host: ProductionHost
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def version(self, *edits: Edit) -> int:
        """Register a version whose code has some edits, and return its number."""
        number, clone = next(self.numbers), self.repository
        clone.must("git", "checkout", "--quiet", "origin/main", "--", "model", "lifecycle")
        for path, old, new in edits:
            edit(clone, path, old, new)
        clone.must("git", "commit", "--quiet", "--all", "--allow-empty", "--message", f"Version {number}")
        clone.must("python", "-c", WRITE_CONTRACT)
        clone.must("python", "-m", "lifecycle.pipeline.lineage")
        # A full build is slow: put the edited files on top of the first image.
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
        # In a process of its own, which imports the edited code: a version registers the contract of its own commit.
        output = clone.must("python", "-m", "lifecycle.release.register", "--image", published)
        assert output.startswith(f"version {number} of")
        # Production has to pull the image.
        self.engine.must("rmi", "--force", name, f"{self.images}/story:{number}")
        return number

    def run(self, command: str, *arguments: str) -> tuple[str, str]:
        """Run a command of lifecycle.release with the host's settings, and return its output and its error."""
        environment = {**self.host.environment, "GITHUB_ACTOR": "somebody"}
        return in_process.run(self.repository, f"lifecycle.release.{command}", *arguments, **environment)

    def must(self, command: str, *arguments: str) -> str:
        output, error = self.run(command, *arguments)
        assert error == ""
        return output

    def running(self) -> str:
        """Return the version that answers in production."""
        version: str = httpx.get(f"{self.host.url}/model", timeout=5).json()["version"]
        return version

    def up(self) -> set[str]:
        """Return the names of the running services."""
        project = f"label=com.docker.compose.project={self.host.setting('COMPOSE_PROJECT_NAME')}"
        listed = self.host.run(f"docker ps --filter {project} --format '{{{{.Names}}}}'")
        return {name.split("_")[1] for name in listed.split()}

    def log(self, query: str) -> list[list[str]]:
        """Return the rows that a query returns from the prediction log."""
        psql = "docker compose exec -T postgres psql -h /tmp -U service -At predictions -c"
        output = self.host.run(f"{psql} {shlex.quote(query)}")
        return [line.split("|") for line in output.splitlines()]

    def champions(self) -> list[str]:
        """Return the numbers of the versions that were promoted, in order."""
        return [line.split()[0] for line in table(self.repository, "history")[1:]]


@pytest.fixture(scope="module")
def story(released: Repository, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Deploy version 1, then version 2. Every test leaves version 2 in production."""
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


def test_production_after_a_deployment(story: Story) -> None:
    assert story.running() == "2"
    # The slot of the previous version is stopped.
    assert len(story.up() & {"blue", "green"}) == 1
    assert {"haproxy", "postgres"} < story.up()
    ask = partial(httpx.post, json=EXAMPLE, timeout=5)
    answer = ask(f"{story.host.url}/predict", headers={"X-Request-ID": "wet"})
    assert answer.json()["model_version"] == "2"
    # The port of a slot, which is only open to the host itself, accepts dry runs. Production logs each prediction.
    slot = f"http://127.0.0.1:{story.host.slots[(story.up() & {'blue', 'green'}).pop()]}"
    dry_run = {"X-Dry-Run": "true", "X-Request-ID": "dry"}
    assert ask(f"{slot}/predict", headers=dry_run).status_code == 200
    assert httpx.get(f"{slot}/metrics").status_code == 200
    assert httpx.get(f"{story.host.url}/metrics").status_code == 404
    eventually(lambda: story.log("select model_version from predictions where request_id = 'wet'") == [["2"]])
    assert story.log("select count(*) from predictions where request_id = 'dry'") == [["0"]]
    assert ask(f"{story.host.url}/predict", headers=dry_run).status_code == 200
    eventually(lambda: story.log("select count(*) from predictions where request_id = 'dry'") == [["1"]])
    # The directory has the password of the database.
    assert stat.S_IMODE(story.host.folder.stat().st_mode) == 0o700


# `make test` runs the parts: test_alerting.py and monitoring/test_alerts.py.
@pytest.mark.long
def test_alerts_reach_a_person_and_become_an_issue(story: Story, github: GitHub, tmp_path: Path) -> None:
    need("prometheus", "prometheus-alertmanager", "openssl", "gh")
    assert not {"prometheus", "alertmanager"} & story.up()
    deployed = {**story.host.environment, "GITHUB_REPOSITORY": NAME, "GITHUB_ACTOR": "somebody"}

    def deploy() -> str:
        return in_process.must(story.repository, "lifecycle.release.deploy", "2", **deployed)

    monitor = {**deployed, "GITHUB_API_URL": github.api, "GITHUB_TOKEN": "not-a-real-token"}
    watch = partial(in_process.must, story.repository, "lifecycle.monitoring.__main__", "watch", **monitor)
    settings = story.host.folder / "alerts.env"
    settings.write_text("WEBHOOK_URL=a chat\n", encoding="utf-8")
    warning = "::warning title=No alerts::alerts.env on the host: WEBHOOK_URL is not of the form https://host/path."
    assert warning in deploy()
    with chat() as (url, messages), mail_server(tmp_path, "a-login", "pass=word") as (smtp, mails), quick(story):
        by_mail = f"MAIL_TO=team@example.com\nMAIL_FROM=alerts@example.com\nSMTP_HOST={smtp}\n"
        login = "SMTP_USERNAME=a-login\nSMTP_PASSWORD=pass=word\n"
        settings.write_text(f"# The team\nWEBHOOK_URL={url}\n\n{by_mail}{login}", encoding="utf-8")
        trust(story, tmp_path / "mail.pem")
        assert "warning" not in deploy()
        assert {"prometheus", "alertmanager"} < story.up()
        with without_service(story):
            story.host.run(TRY)
            titles = [f"flight-delay: {name} is firing" for name in ("Test", "ModelServiceDown")]
            eventually(lambda: messages.keys() & mails.keys() >= {*titles}, seconds=40)
            assert "Alerts have fired: opened" in watch()
            story.host.run("docker compose stop prometheus")
            (issue,) = [issue for issue in github.issues if issue["title"] == "Production: Alerts have fired"]
            body = issue["body"]
            assert "Alerts have fired: updated with news" in watch()
    runbook = f"https://github.com/{NAME}/blob/main/deploy/runbook.md#modelservicedown"
    said, delivered = messages[titles[1]], mails[titles[1]]
    assert said["title_link"] == runbook
    text = rf"No version of the model is running. Since \d{{4}}-\d\d-\d\d \d\d:\d\d UTC.\nWhat to do: {runbook}"
    assert re.fullmatch(text, said["text"])
    assert delivered["To"] == "team@example.com"
    plain = delivered.get_body(("plain",))
    assert plain
    assert plain.get_content().split() == said["text"].split()
    first = r"\*\*ModelServiceDown\*\* has been firing since .* UTC: No version of the model is running. \(act\)\n"
    assert re.match(first, body)
    assert "#### ModelServiceDown\n\nNo slot exposes metrics: " in body
    assert "**The state of the alerts** is unknown: Prometheus on the host does not answer" in issue["body"]

    settings.unlink()
    deploy()
    assert not {"prometheus", "alertmanager"} & story.up()
    # Without a receiver of alerts there is no Prometheus to ask, and the issue stays as it is.
    assert "Alerts have fired" not in watch()
    assert issue["state"] == "open"


@contextmanager
def quick(story: Story) -> Iterator[None]:
    """Let the rules fire after seconds instead of minutes; it takes Prometheus five to find Alertmanager."""
    files = [story.repository.folder / "deploy/prometheus" / name for name in ("prometheus.yml", "rules.yml")]
    texts = [file.read_text(encoding="utf-8") for file in files]
    for file, text in zip(files, texts, strict=True):
        often = re.sub(r"(interval: )\d+[smh]\b", r"\g<1>1s", text)
        file.write_text(re.sub(r"(for: )\d+[smh]\b", r"\g<1>5s", often), encoding="utf-8")
    yield
    for file, text in zip(files, texts, strict=True):
        file.write_text(text, encoding="utf-8")


@contextmanager
def without_service(story: Story) -> Iterator[None]:
    """Stop the slot that receives the requests."""
    slot = (story.up() & {"blue", "green"}).pop()
    story.host.run(f"docker compose stop {slot}")
    try:
        yield
    finally:
        story.host.run(f"docker compose start {slot}")


def trust(story: Story, certificate: Path) -> None:
    """Let Alertmanager trust a certificate."""
    override = story.host.folder / "compose.override.yaml"
    services = yaml.safe_load(override.read_text(encoding="utf-8"))
    alertmanager = services["services"]["alertmanager"]
    alertmanager["environment"] = {"SSL_CERT_FILE": "/certificate.pem"}
    alertmanager["volumes"] += [f"{certificate}:/certificate.pem:ro"]
    override.write_text(yaml.safe_dump(services), encoding="utf-8")


def test_rollback_and_deployment_without_a_failed_request(story: Story) -> None:
    with traffic(story.host.url) as seen:
        eventually(lambda: seen.requests > 100)
        output = story.must("rollback", "1", "--why", "too many alarms")
        assert story.running() == "1"
        story.must("deploy", "2")
        last = seen.requests
        eventually(lambda: seen.requests > last + 50)
    assert seen.failed == []
    # Both clients see each switch once.
    assert seen.versions == [["2", "1", "2"], ["2", "1", "2"]]
    assert re.search(r"accepts the newest [1-9]\d* rows", output)
    assert story.champions() == ["1", "2", "1", "2"]
    assert re.search(r" somebody +too many alarms$", table(story.repository, "history")[3])
    assert story.log("select distinct model_version from predictions order by 1") == [["1"], ["2"]]
    logged = int(story.log("select count(*) from predictions where request_id <> 'wet' and request_id <> 'dry'")[0][0])
    assert logged == seen.requests


# `make test` runs only one case.
@pytest.mark.parametrize(
    ("edits", "reason"),
    [
        (WRONG, "its predictions differ from the registered ones by up to 0.0"),
        pytest.param(LATE, "did not answer within 5 s", marks=pytest.mark.long),
    ],
)
def test_a_version_that_fails_its_smoke_test_is_not_deployed(story: Story, edits: Edit, reason: str) -> None:
    number = story.version(edits)
    champions = story.champions()
    with traffic(story.host.url) as seen:
        _, error = story.run("deploy", str(number))
    assert error.startswith(f"version {number} was not deployed: ")
    assert reason in error
    assert "Service flight-delay initialized" in error
    assert (seen.failed, seen.versions) == ([], [["2"], ["2"]])
    assert len(story.up() & {"blue", "green"}) == 1
    assert story.champions() == champions


@pytest.mark.long
def test_a_contract_that_rejects_the_requests_of_production(story: Story) -> None:
    ask = partial(httpx.post, f"{story.host.url}/predict", timeout=5)
    assert ask(json=EXAMPLE | {"flight_number": 3000}, headers={"X-Request-ID": "new"}).status_code == 200
    eventually(lambda: story.log("select 1 from predictions where request_id = 'new'") == [["1"]])
    champions, narrow = story.champions(), story.version(NARROW)
    for command in (("rollback", "1", "--why", "an incident"), ("deploy", str(narrow))):
        _, error = story.run(*command)
        assert "it rejects 1 of the newest " in error
        assert "Columns in which its contract differs: flight_number." in error
        assert "flight_number must be a whole number from 1 up to 2000" in error
        assert story.running() == "2"
        assert story.champions() == champions
    # Somebody decides that these clients do not count, and the history says so.
    change_params(story.repository, gates={**GATES, "rejected_share": 0.5})
    story.must("deploy", str(narrow))
    assert story.running() == str(narrow)
    said = r"released; it rejects 1 of the newest \d+ rows that production received$"
    assert re.search(said, table(story.repository, "history")[-1])
    change_params(story.repository, gates=GATES)
    story.must("deploy", "2")


@pytest.mark.long
def test_errors_that_leave_production_unchanged(story: Story) -> None:
    _, error = story.run("rollback", "99", "--why", "an incident")
    assert error == "there is no version 99 of flight-delay. `make registry` lists the versions."
    story.repository.must("git", "commit", "--quiet", "--allow-empty", "--message", "An image that does not exist")
    number = next(story.numbers)
    missing_image = f"{story.images}/story@sha256:{'d' * 64}"
    assert register(story.repository, "--image", missing_image).startswith(f"version {number} ")
    _, error = story.run("rollback", str(number), "--why", "an incident")
    assert "docker pull" in error
    assert missing_image in error
    # Without DEPLOY_HOST.
    _, error = in_process.run(story.repository, "lifecycle.release.rollback", "1", "--why", "an incident")
    assert error == "production runs on a host: set DEPLOY_HOST to its address, as for `ssh`."
    # While another connection holds the deployment lock.
    with connected_to(story.host):
        _, error = story.run("deploy", "1")
        # Monitoring only reads, and does not wait for the lock.
        check = story.repository.run("python", "-m", "lifecycle.monitoring", "check", **story.host.environment)
        assert re.match(r"version 2, .*: [1-9][\d,]* predictions", check.stdout), check.stdout
    address = story.host.environment["DEPLOY_HOST"]
    assert error == f"another deployment to {address} is in progress. Try again when it is done."
    assert story.running() == "2"


@pytest.mark.long
def test_restart_and_reload_of_haproxy(story: Story) -> None:
    story.host.run("docker compose restart haproxy")
    assert eventually(lambda: answering(story)) == "2"
    # A deployment reloads HAProxy if its configuration has changed.
    rules = story.repository.folder / "deploy/haproxy/haproxy.cfg"
    text = rules.read_text(encoding="utf-8")
    rules.write_text(text.replace("/metrics", "/model-card"), encoding="utf-8")
    with traffic(story.host.url) as seen:
        story.must("deploy", "2")
        assert httpx.get(f"{story.host.url}/metrics").status_code == 200
        rules.write_text(text, encoding="utf-8")
        story.must("deploy", "2")
        eventually(lambda: httpx.get(f"{story.host.url}/metrics").status_code == 404)
    assert (seen.failed, seen.versions) == ([], [["2"], ["2"]])


def answering(story: Story) -> str:
    try:
        return story.running()
    except httpx.TransportError:
        return ""


@pytest.mark.long
def test_no_host(released: Repository, tmp_path: Path) -> None:
    """A deployment prints the command that runs the image; a rollback needs an image that still exists."""
    engine, clone = find_engine(), clone_of(released, tmp_path)
    missing_image, present_image = f"127.0.0.1:9/story@sha256:{'d' * 64}", engine.base
    for image in (missing_image, present_image):
        clone.must("git", "commit", "--quiet", "--allow-empty", "--message", image)
        register(clone, "--image", image)
    environment = engine.environment | {"GITHUB_ACTOR": "somebody"}
    for number in ("1", "2"):
        output = in_process.must(clone, "lifecycle.release.deploy", number, **environment)
    options = "--read-only --tmpfs /tmp --volume predictions:/state --publish 3000:3000 --env MODEL_VERSION=2"
    assert output.splitlines() == [
        "version 2 is the champion. No host is configured (DEPLOY_HOST); run it with:",
        f"docker run {options} {present_image}",
    ]
    _, error = in_process.run(clone, "lifecycle.release.rollback", "1", "--why", "odd", **environment)
    assert error.startswith("the image of version 1 cannot be pulled:\n")
    assert table(clone, "history")[-1].split()[0] == "2"


@contextmanager
def connected_to(host: ProductionHost) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in host.environment.items():
            patch.setenv(name, value)
        with connected(host.environment["DEPLOY_HOST"]):
            yield
