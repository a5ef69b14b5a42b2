"""A production host on this machine: a real sshd, and real servers (HAProxy, PostgreSQL, …) in real containers.

Two things are substitutes: `docker` is podman with podman-compose, and the images of the servers are made from this
machine's own packages, because the tests cannot pull images.
"""

import json
import os
import secrets
import shlex
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import yaml

from model import contract
from tests.lifecycle.containers import Engine
from tests.lifecycle.missing import find, skip
from tests.lifecycle.serving.conftest import free_port

# Version 3, which the real image has, always expands variables in external labels.
_PROMETHEUS = (
    "prometheus",
    "--config.file=/etc/prometheus/prometheus.yml",
    "--storage.tsdb.path=/prometheus",
    "--enable-feature=expand-external-labels",
)
_ENTRYPOINTS = {
    "haproxy": ("USER 99", 'ENTRYPOINT ["haproxy","-W","-db","-f","/usr/local/etc/haproxy/haproxy.cfg"]'),
    "postgres": ("STOPSIGNAL SIGINT", "VOLUME /var/lib/postgresql/data", 'ENTRYPOINT ["/start-postgres"]'),
    "prometheus": ("USER 65534", f"ENTRYPOINT {json.dumps(_PROMETHEUS)}"),
    "alertmanager": ("USER 65534", 'ENTRYPOINT ["prometheus-alertmanager"]'),
}
_IMAGES = {name: f"localhost/merge-to-deploy-test-{name}:1" for name in _ENTRYPOINTS}
# Directories of this machine that the containers mount. /usr/local is the containers' own.
_SHARED = ("/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib64", "/usr/share")
_START_POSTGRES = """#!/bin/sh
set -e
data=/var/lib/postgresql/data programs=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)
as="setpriv --reuid=postgres --regid=postgres --clear-groups"
chown postgres $data
chmod 700 $data
if [ ! -s $data/PG_VERSION ]; then
  printf %s "$POSTGRES_PASSWORD" > /tmp/password
  chmod 644 /tmp/password
  $as "$programs/initdb" -D $data -U "$POSTGRES_USER" --pwfile=/tmp/password --locale=C -E UTF8 -N
  echo 'host all all all scram-sha-256' >> $data/pg_hba.conf
  echo "create database $POSTGRES_DB" | $as "$programs/postgres" --single -D $data postgres
fi
exec $as "$programs/postgres" -D $data -c 'listen_addresses=*' -k /tmp
"""
_DOCKER = """#!/bin/sh
if [ "$1" = compose ]; then shift; exec podman-compose --in-pod=false "$@"; fi
exec podman "$@"
"""


@dataclass(frozen=True)
class ProductionHost:
    """A host that a release deploys to.

    Attributes:
        environment: Environment variables that a deployment to it needs.
        folder: Directory with the files of the deployment.
        port: Port of production.
        slots: Port of each slot, by name.
        login: Script that runs the commands of a login.
    """

    environment: dict[str, str]
    folder: Path
    port: int
    slots: dict[str, int]
    login: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def setting(self, name: str) -> str:
        """Return a setting that the deployment or the owner of the host has written there."""
        lines = (self.folder / ".env").read_text(encoding="utf-8").splitlines()
        return dict(line.split("=", 1) for line in lines)[name]

    def run(self, command: str) -> str:
        """Run a command there."""
        variables = os.environ | {"SSH_ORIGINAL_COMMAND": f"cd {contract.NAME} && {command}"}
        completed = subprocess.run([self.login], env=variables, capture_output=True, text=True, check=False)
        assert completed.returncode == 0, f"{command}:\n{completed.stdout}{completed.stderr}"
        return completed.stdout


@contextmanager
def production_host(engine: Engine, registry: str) -> Iterator[ProductionHost]:
    """Start a host that anybody with its key may log in to. It needs the programs that `missing.RELEASE` lists.

    Args:
        engine: Engine that runs the containers.
        registry: Address of a registry of images on this machine.
    """
    if engine.command != "podman":
        skip(f"a production host needs podman, and {engine.command} is the engine that works here")
    # Not in pytest's directory, because paths of sockets must be short.
    folder = Path(tempfile.mkdtemp(prefix="host-"))
    try:
        _make_images(engine, folder)
        login = _prepare(engine, folder, registry)
        port, slots = _settle(folder / contract.NAME)
        with _listening(folder, login) as environment:
            host = ProductionHost(environment, folder / contract.NAME, port, slots, login)
            try:
                yield host
            finally:
                with suppress(AssertionError):
                    host.run("docker compose down --volumes --timeout 2")
    finally:
        shutil.rmtree(folder)


def _make_images(engine: Engine, folder: Path) -> None:
    """Make images that contain nothing but mount points and links for this machine's directories."""
    archive = folder / "root.tar"
    with tarfile.open(archive, "w") as tar:
        folders = dict.fromkeys(("tmp", "prometheus", "alertmanager"), 0o1777)
        for name, mode in (folders | dict.fromkeys(("etc", "run/haproxy", "proc", "sys", "dev"), 0o755)).items():
            member = tarfile.TarInfo(name)
            member.type, member.mode = tarfile.DIRTYPE, mode
            tar.addfile(member)
        for name in ("bin", "sbin", "lib", "lib64"):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, f"usr/{name}"
            tar.addfile(member)
        for name in ("passwd", "group"):
            tar.add(f"/etc/{name}", f"etc/{name}")
        member = tarfile.TarInfo("start-postgres")
        member.size, member.mode = len(_START_POSTGRES), 0o755
        tar.addfile(member, BytesIO(_START_POSTGRES.encode()))
    for name, lines in _ENTRYPOINTS.items():
        options = [word for line in lines for word in ("--change", line)]
        if engine.run("image", "inspect", _IMAGES[name]).returncode:
            engine.must("import", *options, str(archive), _IMAGES[name])


def _prepare(engine: Engine, folder: Path, registry: str) -> Path:
    """Write the script that a login runs: its commands have `docker` and start in the host's directory."""
    (folder / "bin").mkdir()
    docker = folder / "bin/docker"
    docker.write_text(_DOCKER, encoding="utf-8")
    docker.chmod(0o755)
    registries = folder / "registries.conf"
    registries.write_text(f'[[registry]]\nlocation = "{registry}"\ninsecure = true\n', encoding="utf-8")
    variables = engine.environment | {
        "HOME": str(folder),
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}:/usr/sbin",  # for iptables, also for users other than root
        "CONTAINERS_REGISTRIES_CONF": str(registries),
    }
    exported = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
    login = folder / "login"
    login.write_text(f'#!/bin/sh\n{exported}cd "$HOME" && exec sh -c "$SSH_ORIGINAL_COMMAND"\n', encoding="utf-8")
    login.chmod(0o755)
    return login


def _settle(folder: Path) -> tuple[int, dict[str, int]]:
    """Write the settings of the host's owner: ports, and what the containers need on this machine."""
    folder.mkdir(mode=0o700)
    port, slots = free_port(), {name: free_port() for name in ("blue", "green")}
    others = {name: free_port() for name in ("postgres", "prometheus", "alertmanager")}
    # A run that was killed leaves its volumes, with another password, so that no name is used twice.
    project = f"{contract.NAME}-{secrets.token_hex(4)}"
    settings = {"COMPOSE_PROJECT_NAME": project, "PORT": str(port)}
    settings |= {f"{name.upper()}_PORT": str(number) for name, number in {**slots, **others}.items()}
    (folder / ".env").write_text("".join(f"{k}={v}\n" for k, v in settings.items()), encoding="utf-8")
    shared = [f"{path}:{path}:ro" for path in _SHARED if Path(path).exists()]
    override = {"services": {name: {"image": image, "volumes": shared} for name, image in _IMAGES.items()}}
    (folder / "compose.override.yaml").write_text(yaml.safe_dump(override), encoding="utf-8")
    return port, slots


@contextmanager
def _listening(folder: Path, login: Path) -> Iterator[dict[str, str]]:
    port = free_port()
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (folder / "authorized").write_text((folder / "user.pub").read_text(encoding="utf-8"), encoding="utf-8")
    settings = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "authorized",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "ForceCommand": login,
    }
    (folder / "sshd_config").write_text("".join(f"{k} {v}\n" for k, v in settings.items()), encoding="utf-8")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd requires this empty directory
    with (folder / "sshd.log").open("wb") as log:
        command = [str(find("sshd")), "-D", "-e", "-f", str(folder / "sshd_config")]
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        for _ in range(100):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.05)
        public = " ".join((folder / "host.pub").read_text(encoding="utf-8").split()[:2])
        yield {
            "DEPLOY_HOST": f"ssh://127.0.0.1:{port}",
            "DEPLOY_KEY": (folder / "user").read_text(encoding="utf-8"),
            "DEPLOY_HOST_KEY": f"[127.0.0.1]:{port} {public}",
        }
    finally:
        server.terminate()
        server.wait(10)
