"""A host for production on this machine: reached by a real sshd, with real HAProxy and PostgreSQL in real containers.

What stands in: `docker` is podman and podman-compose, and the images of HAProxy and PostgreSQL, which nothing here can
fetch, are made of this machine's own packages.
"""

import os
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

_IMAGES = {name: f"localhost/merge-to-deploy-test-{name}:1" for name in ("haproxy", "postgres")}
# As the containers have them; what is in /usr/local is theirs.
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
    """The host.

    Attributes:
        environment: What a deployment has to know of it.
        folder: Where the deployment has its files.
        port: At which production answers.
        slots: At which the slots answer, by name.
        login: Of its commands.
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
        """What the deployment has written down there, or the owner of the host."""
        lines = (self.folder / ".env").read_text(encoding="utf-8").splitlines()
        return dict(line.split("=", 1) for line in lines)[name]

    def run(self, command: str) -> str:
        """Run a command there."""
        everything = os.environ | {"SSH_ORIGINAL_COMMAND": f"cd {contract.NAME} && {command}"}
        done = subprocess.run([self.login], env=everything, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
        return done.stdout


@contextmanager
def production_host(engine: Engine, registry: str) -> Iterator[ProductionHost]:
    """A host that anybody with its key may log in to. It takes the programs that `missing.RELEASE` lists.

    Args:
        engine: What runs the containers.
        registry: Of images, on this machine.
    """
    if engine.command != "podman":
        skip(f"the containers of a production host are podman's, and {engine.command} was found to work")
    # Not in pytest's folder: names of sockets have to be short.
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
    """Images with nothing in them but the way to what this machine has."""
    archive = folder / "root.tar"
    with tarfile.open(archive, "w") as tar:
        for name, mode in (("tmp", 0o1777), *((name, 0o755) for name in ("etc", "run/haproxy", "proc", "sys", "dev"))):
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
    changes = {
        "haproxy": ("USER 99", 'ENTRYPOINT ["haproxy","-W","-db","-f","/usr/local/etc/haproxy/haproxy.cfg"]'),
        "postgres": ("STOPSIGNAL SIGINT", "VOLUME /var/lib/postgresql/data", 'ENTRYPOINT ["/start-postgres"]'),
    }
    for name, lines in changes.items():
        options = [word for line in lines for word in ("--change", line)]
        if engine.run("image", "inspect", _IMAGES[name]).returncode:
            engine.must("import", *options, str(archive), _IMAGES[name])


def _prepare(engine: Engine, folder: Path, registry: str) -> Path:
    """What a login there leads to: `docker`, and the one folder."""
    (folder / "bin").mkdir()
    docker = folder / "bin/docker"
    docker.write_text(_DOCKER, encoding="utf-8")
    docker.chmod(0o755)
    registries = folder / "registries.conf"
    registries.write_text(f'[[registry]]\nlocation = "{registry}"\ninsecure = true\n', encoding="utf-8")
    variables = engine.environment | {
        "HOME": str(folder),
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}:/usr/sbin",  # of iptables, also where nobody is root
        "CONTAINERS_REGISTRIES_CONF": str(registries),
    }
    exported = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
    login = folder / "login"
    login.write_text(f'#!/bin/sh\n{exported}cd "$HOME" && exec sh -c "$SSH_ORIGINAL_COMMAND"\n', encoding="utf-8")
    login.chmod(0o755)
    return login


def _settle(folder: Path) -> tuple[int, dict[str, int]]:
    """What the owner of a host may have written there: which ports, and what else the containers need here."""
    folder.mkdir(mode=0o700)
    port, slots = free_port(), {name: free_port() for name in ("blue", "green")}
    settings = {"COMPOSE_PROJECT_NAME": f"{contract.NAME}-{port}", "PORT": str(port)}
    settings |= {f"{name.upper()}_PORT": str(number) for name, number in {**slots, "postgres": free_port()}.items()}
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
        Path("/run/sshd").mkdir(exist_ok=True)  # it wants an empty folder there
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
