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

# Built from Debian packages if its tools are installed, so that no registry is needed; kept between runs.
_MADE_BASE = "localhost/merge-to-deploy-test-base:1"
_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
# Settings with which this machine reaches its package index; containers need them, too.
_PASSED_ON = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@dataclass(frozen=True)
class Engine:
    """A container engine that has run a container.

    Attributes:
        command: `docker` or `podman`.
        environment: Environment variables that it needs on this machine.
        base: Base image for builds.
    """

    command: str
    environment: dict[str, str]
    base: str

    def run(self, *arguments: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        return _run(self.environment, self.command, *arguments, seconds=seconds)

    def must(self, *arguments: str) -> str:
        completed = self.run(*arguments)
        output = completed.stdout + completed.stderr
        assert completed.returncode == 0, f"{self.command} {' '.join(arguments)}:\n{output}"
        return completed.stdout.strip()

    def size(self, image: str) -> int:
        """Return the size of an image in bytes."""
        return int(self.must("image", "inspect", "--format", "{{.Size}}", image))

    def inspect(self, name: str) -> dict[str, Any]:
        """Return the description of an image or a container."""
        described: list[dict[str, Any]] = json.loads(self.must("inspect", name))
        return described[0]


def find_engine() -> Engine:
    """Find an engine, or skip the test with `missing.skip`."""
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
            completed = _run(environment, command, "info")
            if completed.returncode == 0:
                base = _base(command, environment)
                completed = _run(environment, command, "run", "--rm", base, "true", seconds=600)
            if completed.returncode == 0:
                return Engine(command, environment, base), ""
        reasons.append(f"{command}: {(completed.stderr.strip().splitlines() or ['no reason given'])[-1]}")
    return None, f"no container engine works here ({'; '.join(reasons)})"


def _run(
    environment: Mapping[str, str], *command: str, seconds: float = 60, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, **environment}
    try:
        return subprocess.run(
            command, cwd=folder, env=variables, capture_output=True, text=True, check=False, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"not finished within {seconds} s")


def _base(command: str, environment: Mapping[str, str]) -> str:
    """Return the base image: the Dockerfile's own if it can be pulled, else one made from Debian packages."""
    lines = (ROOT / "deploy/Dockerfile.j2").read_text(encoding="utf-8").splitlines()
    (dockerfile_base,) = [line.removeprefix("ARG BASE=") for line in lines if line.startswith("ARG BASE=")]
    for image in (dockerfile_base, _MADE_BASE):
        if _run(environment, command, "image", "inspect", image).returncode == 0:
            return image
    if os.geteuid() != 0 or not shutil.which("mmdebstrap"):
        return dockerfile_base  # its first use pulls it, or fails with the reason
    with tempfile.TemporaryDirectory() as folder:
        _make_base(Path(folder), command, environment)
    return _MADE_BASE


def _make_base(folder: Path, command: str, environment: Mapping[str, str]) -> None:
    sources = [p for p in map(Path, ("/etc/apt/sources.list", "/etc/apt/sources.list.d/debian.sources")) if p.exists()]
    omitted = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "locale", "man")]
    suite = platform.freedesktop_os_release()["VERSION_CODENAME"]
    # The machine's own CA certificates, because its package index may need one of them. The last variable is only for
    # BentoML's stock image in benchmarks/image.py, which installs packages into Debian's Python.
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
        completed = _run(environment, *step, seconds=300, folder=folder)
        assert completed.returncode == 0, f"{' '.join(step)}:\n{completed.stdout}{completed.stderr}"


@dataclass
class Container:
    """A running container."""

    engine: Engine
    name: str
    url: str
    started: float

    def post(self, path: str = "/predict", **arguments: Any) -> httpx.Response:
        return httpx.post(self.url + path, **{"timeout": 30} | arguments)

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        return self.engine.run("exec", self.name, *command)

    def python(self, code: str) -> str:
        """Return the output of a line of Python in the container."""
        completed = self.execute("python3", "-c", code)
        assert completed.returncode == 0, completed.stderr
        return completed.stdout.strip()

    def output(self) -> str:
        completed = self.engine.run("logs", self.name)
        return completed.stdout + completed.stderr

    def running(self) -> bool:
        return bool(self.engine.inspect(self.name)["State"]["Running"])

    def wait_until_ready(self, seconds: float = 30) -> float:
        """Wait until it accepts requests, and return the seconds since it was started."""
        while True:
            try:
                if httpx.get(f"{self.url}/readyz", timeout=1).status_code == 200:
                    return time.monotonic() - self.started
            except httpx.TransportError:
                pass
            assert time.monotonic() < self.started + seconds, self.output()
            time.sleep(0.02)

    def stop(self) -> int:
        """Stop it as an orchestrator does, and return its exit status."""
        self.engine.must("stop", "--time", "20", self.name)
        return int(self.engine.inspect(self.name)["State"]["ExitCode"])


@contextmanager
def container(engine: Engine, image: str, port: int, *options: str) -> Iterator[Container]:
    """Run an image in a hardened container on a port of this machine; remove the container afterwards."""
    started = time.monotonic()
    # With the host's network, as in containers.conf, ports are not mapped, so both sides use the same port.
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
