"""The machine that production runs on, reached by SSH. It needs nothing but docker with its compose."""

import os
import shlex
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lifecycle.release.client import free_port
from lifecycle.shared.console import UserError
from model import contract

_PATIENCE = 300  # seconds for a command: an image may have to be fetched
_SHOWN = 12  # lines of what a command has said
_BUSY = 75
# Held as long as this connection lasts: nobody is kept out by a deployment that was killed.
_FOLDER = f"umask 077 && mkdir -p {contract.NAME} && cd {contract.NAME}"
_STAY = "sh -c 'echo there && exec cat'"
_STAY_ALONE = f"flock --nonblock --conflict-exit-code {_BUSY} .lock {_STAY}"


def configured() -> str:
    """The host's address, as `ssh` takes it; empty where there is none."""
    return os.environ.get("DEPLOY_HOST", "")


class Host:
    """A folder on the host, with the commands and the ports of the host, as long as a connection lasts."""

    def __init__(self, address: str, ssh: list[str], folder: Path) -> None:
        """Use `connected`."""
        self._address, self._ssh, self._folder = address, ssh, folder
        self._ports: dict[int, int] = {}

    def run(self, *command: str, given: str = "") -> str:
        """Run a command in the folder, and return what it printed.

        Raises:
            UserError: With what it says, where it fails.
        """
        done = self._run(shlex.join(command), given)
        if done.returncode:
            said = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-_SHOWN:])
            raise UserError(f"on {self._address}, `{' '.join(command)}` failed:\n{said}")
        return done.stdout

    def read(self, path: str) -> str:
        """A file; empty where there is none."""
        done = self._run(f"cat {shlex.quote(path)}", "")
        return done.stdout if done.returncode == 0 else ""

    def write(self, path: str, text: str) -> bool:
        """Write a file, aside and then by a new name, where it has another content; whether it had."""
        if self.read(path) == text:
            return False
        self.run("sh", "-c", 'mkdir -p "$(dirname "$0")" && cat > "$0.new" && mv "$0.new" "$0"', path, given=text)
        return True

    def port(self, number: int) -> int:
        """The port of this machine that leads to one of the host's own."""
        if number not in self._ports:
            here = free_port()
            self._forward(f"127.0.0.1:{here}:127.0.0.1:{number}")
            self._ports[number] = here
        return self._ports[number]

    def converse(self, path: str, said: str, seconds: float = 10) -> str:
        """What is answered at a Unix socket in the folder.

        Raises:
            UserError: Where nobody answers.
        """
        local = self._folder / Path(path).name
        if not local.exists():
            folder = self.run("pwd").strip()
            self._forward(f"{local}:{folder}/{path}")
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(seconds)
                connection.connect(str(local))
                connection.sendall(f"{said}\n".encode())
                answer = b"".join(iter(lambda: connection.recv(2**16), b""))
                if answer:
                    return answer.decode()
            time.sleep(0.1)
        raise UserError(f"on {self._address}, nobody answers at {path}.")

    def _forward(self, what: str) -> None:
        done = subprocess.run(
            [*self._ssh, "-O", "forward", "-L", what, "--", self._address], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise UserError(f"{self._address} lets SSH forward nothing: {done.stderr.strip()}")

    def _run(self, command: str, given: str) -> subprocess.CompletedProcess[str]:
        there = f"umask 022 && cd {contract.NAME} && {command}"
        try:
            return subprocess.run(
                [*self._ssh, "--", self._address, there],
                input=given,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=_PATIENCE,
            )
        except subprocess.TimeoutExpired as error:
            raise UserError(f"on {self._address}, `{command}` did not end within {_PATIENCE} s.") from error


@contextmanager
def connected(address: str, *, alone: bool = True) -> Iterator[Host]:
    """Connect to a host.

    With the key and the host's own key of the environment (DEPLOY_KEY, DEPLOY_HOST_KEY), else as `ssh` does by itself.

    Args:
        address: As `ssh` takes it: `user@host`, or `ssh://user@host:port`.
        alone: Whether nobody else can change what runs there meanwhile.

    Raises:
        UserError: Where there is no way, or somebody else is at it.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ssh = ["ssh", "-S", str(folder / "master"), *_options(folder)]
        with subprocess.Popen(
            [*ssh, "-M", "--", address, f"{_FOLDER} && exec {_STAY_ALONE if alone else _STAY}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as master:
            try:
                if not master.stdout or master.stdout.readline() != "there\n":
                    said = master.communicate()[1].strip()
                    if master.returncode == _BUSY:
                        raise UserError(f"{address} is deployed to by somebody else just now. Try again afterwards.")
                    raise UserError(f"there is no way to {address}: {said}")
                yield Host(address, ssh, folder)
            finally:
                master.kill()


def _options(folder: Path) -> list[str]:
    options = {"BatchMode": "yes", "ConnectTimeout": "10", "ServerAliveInterval": "5", "LogLevel": "ERROR"}
    key, host_key = (os.environ.get(name, "").strip() for name in ("DEPLOY_KEY", "DEPLOY_HOST_KEY"))
    if bool(key) != bool(host_key):
        raise UserError(
            "DEPLOY_KEY, the private key to log in with, and DEPLOY_HOST_KEY, what `ssh-keyscan HOST` says, "
            "are given together or not at all."
        )
    if key:
        for name, text in (("key", key), ("known_hosts", host_key)):
            file = folder / name
            file.touch(mode=0o600)
            file.write_text(f"{text}\n", encoding="utf-8")
        options |= {
            "IdentityFile": str(folder / "key"),
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": str(folder / "known_hosts"),
            "StrictHostKeyChecking": "yes",
        }
    return [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
