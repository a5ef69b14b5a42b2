"""A container engine that works (`python -m tests.lifecycle.containers` finds one), and hardened containers in it."""

import functools
import json
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from lifecycle.release.image import ENGINES
from lifecycle.release.prove import HARDENED
from tests.lifecycle import missing
from tests.lifecycle.repository import ROOT

# Made where Debian's tools are at hand, so that no registry is needed; kept from one run to the next.
_MADE_BASE = "localhost/merge-to-deploy-test-base:1"
_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
# How this machine reaches its package index has to be known inside, too.
_PASSED_ON = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@dataclass(frozen=True)
class Engine:
    """An engine that has been seen to work.

    Attributes:
        command: `docker` or `podman`.
        environment: What it needs to work here.
        base: The image to build on.
    """

    command: str
    environment: dict[str, str]
    base: str

    def run(self, *arguments: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        return _run(self.environment, self.command, *arguments, seconds=seconds)

    def must(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, f"{self.command} {' '.join(arguments)}:\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def size(self, image: str) -> int:
        """Bytes of an image."""
        return int(self.must("image", "inspect", "--format", "{{.Size}}", image))

    def inspect(self, what: str) -> dict[str, Any]:
        """All about an image or a container."""
        found: list[dict[str, Any]] = json.loads(self.must("inspect", what))
        return found[0]


def find_engine() -> Engine:
    """Find an engine, or skip the test, as `missing.skip` does."""
    engine, reason = _search()
    if engine is None and (lacking := missing.missing("containers")):
        reason = f"{reason}; {missing.in_words(lacking)}"
    return engine or missing.skip(reason)


@functools.cache
def _search() -> tuple[Engine | None, str]:
    reasons = []
    for command in ENGINES:
        if not shutil.which(command):
            reasons.append(f"{command} is not installed")
            continue
        conf = {"CONTAINERS_CONF": str(ROOT / "tests/lifecycle/containers.conf")}
        for environment in ({}, conf) if command == "podman" else ({},):
            done = _run(environment, command, "info")
            if done.returncode == 0:
                base = _base(command, environment)
                done = _run(environment, command, "run", "--rm", base, "true", seconds=600)
            if done.returncode == 0:
                return Engine(command, environment, base), ""
        reasons.append(f"{command}: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")
    return None, f"no container engine works here ({'; '.join(reasons)})"


def _run(
    environment: Mapping[str, str], *command: str, seconds: float = 60, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    everything = {**os.environ, **environment}
    try:
        return subprocess.run(
            command, cwd=folder, env=everything, capture_output=True, text=True, check=False, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"no end within {seconds} s")


def _base(command: str, environment: Mapping[str, str]) -> str:
    """The image to build on: the Dockerfile's own if it can be pulled, else one made from Debian's packages."""
    lines = (ROOT / "deploy/Dockerfile.j2").read_text(encoding="utf-8").splitlines()
    (named,) = [line.removeprefix("ARG BASE=") for line in lines if line.startswith("ARG BASE=")]
    for image in (named, _MADE_BASE):
        if _run(environment, command, "image", "inspect", image).returncode == 0:
            return image
    if os.geteuid() != 0 or not shutil.which("mmdebstrap"):
        return named  # the first use of it pulls it, or says why not
    with tempfile.TemporaryDirectory() as folder:
        _make_base(Path(folder), command, environment)
    return _MADE_BASE


def _make_base(folder: Path, command: str, environment: Mapping[str, str]) -> None:
    sources = [p for p in map(Path, ("/etc/apt/sources.list", "/etc/apt/sources.list.d/debian.sources")) if p.exists()]
    omitted = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "locale", "man")]
    suite = platform.freedesktop_os_release()["VERSION_CODENAME"]
    # The machine's own certificates: its package index may have one of them. The last is only for BentoML's own image,
    # in benchmarks/image.py: it installs beside Debian's packages.
    variables = {"SSL_CERT_FILE": _BUNDLE, "PIP_CERT": _BUNDLE, "PIP_BREAK_SYSTEM_PACKAGES": "1"}
    certificates = [f"--customize-hook=copy-in {_BUNDLE} {Path(_BUNDLE).parent}"] if Path(_BUNDLE).exists() else []
    variables |= {name: os.environ[name] for name in (*_PASSED_ON, *map(str.lower, _PASSED_ON)) if name in os.environ}
    for step in (
        (
            *("mmdebstrap", "--quiet", "--variant=minbase", "--include=ca-certificates,python3-pip"),
            *("--aptopt=Apt::Install-Recommends false", *omitted),
            *(*certificates, suite, "base.tar", *map(str, sources)),
        ),
        (
            *(command, "import"),
            *(word for name, value in variables.items() for word in ("--change", f"ENV {name}={value}")),
            *("base.tar", _MADE_BASE),
        ),
    ):
        done = _run(environment, *step, seconds=300, folder=folder)
        assert done.returncode == 0, f"{' '.join(step)}:\n{done.stdout}{done.stderr}"


@dataclass
class Container:
    """A container that runs."""

    engine: Engine
    name: str
    url: str
    started: float

    def post(self, path: str = "/predict", **arguments: Any) -> httpx.Response:
        return httpx.post(self.url + path, **{"timeout": 30} | arguments)

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        return self.engine.run("exec", self.name, *command)

    def python(self, code: str) -> str:
        """What a line of Python prints in there."""
        done = self.execute("python3", "-c", code)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def output(self) -> str:
        done = self.engine.run("logs", self.name)
        return done.stdout + done.stderr

    def running(self) -> bool:
        return bool(self.engine.inspect(self.name)["State"]["Running"])

    def wait_until_ready(self, seconds: float = 30) -> float:
        """Wait until it takes requests, and return how long that took since it was started."""
        while True:
            try:
                if httpx.get(f"{self.url}/readyz", timeout=1).status_code == 200:
                    return time.monotonic() - self.started
            except httpx.TransportError:
                pass
            assert time.monotonic() < self.started + seconds, self.output()
            time.sleep(0.02)

    def stop(self) -> int:
        """End it as an orchestrator does, and return its exit status."""
        self.engine.must("stop", "--time", "20", self.name)
        return int(self.engine.inspect(self.name)["State"]["ExitCode"])


@contextmanager
def container(engine: Engine, image: str, port: int, *options: str) -> Iterator[Container]:
    """Run an image hardened, on a port of this machine; it is removed afterwards."""
    started = time.monotonic()
    # Where the network is the host's, as in containers.conf, ports are not mapped: hence the same on both sides.
    name = engine.must(
        *("run", "--detach", *HARDENED, "--publish", f"127.0.0.1:{port}:{port}", "--env", f"BENTOML_PORT={port}"),
        *(*options, image),
    )
    try:
        yield Container(engine, name, f"http://127.0.0.1:{port}", started)
    finally:
        engine.run("rm", "--force", "--volumes", name)


if __name__ == "__main__":
    find_engine()
