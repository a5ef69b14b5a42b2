"""The host of production, reached over SSH. It needs docker with Compose and nothing else."""

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

_TIMEOUT = 300  # seconds for a command, which may have to pull an image
_SHOWN = 12  # lines of output in an error message
_BUSY = 75  # exit status of `flock` if another connection holds the lock
_FOLDER = f"umask 077 && mkdir -p {contract.NAME} && cd {contract.NAME}"
_STAY = "sh -c 'echo there && exec cat'"
# The lock lasts as long as the connection, so that a killed deployment releases it.
_STAY_ALONE = f"flock --nonblock --conflict-exit-code {_BUSY} .lock {_STAY}"


def configured() -> str:
    """Return the address of the host, in a form that `ssh` accepts; empty if none is configured."""
    return os.environ.get("DEPLOY_HOST", "")


class Host:
    """The deployment directory on a host, with the host's commands and ports, while a connection lasts."""

    def __init__(self, address: str, ssh: list[str], folder: Path) -> None:
        """Use `connected` instead of this."""
        self._address, self._ssh, self._folder = address, ssh, folder
        self._ports: dict[int, int] = {}

    def run(self, *command: str, given: str = "") -> str:
        """Run a command in the directory, with `given` as its standard input, and return its standard output.

        Raises:
            UserError: If it fails or times out. The message has the end of its output.
        """
        completed = self._run(shlex.join(command), given)
        if completed.returncode:
            output = "\n".join((completed.stderr.strip() or completed.stdout.strip()).splitlines()[-_SHOWN:])
            raise UserError(f"on {self._address}, `{' '.join(command)}` failed:\n{output}")
        return completed.stdout

    def read(self, path: str) -> str:
        """Return the content of a file; empty if it does not exist.

        Raises:
            UserError: If it cannot be read.
        """
        return self.run("sh", "-c", '[ ! -e "$0" ] || cat "$0"', path)

    def write(self, path: str, text: str) -> bool:
        """Replace a file atomically if its content differs, and return whether it did."""
        if self.read(path) == text:
            return False
        self.run("sh", "-c", 'mkdir -p "$(dirname "$0")" && cat > "$0.new" && mv "$0.new" "$0"', path, given=text)
        return True

    def port(self, number: int) -> int:
        """Return a port of this machine that is forwarded to a port of the host."""
        if number not in self._ports:
            local_port = free_port()
            self._forward(f"127.0.0.1:{local_port}:127.0.0.1:{number}")
            self._ports[number] = local_port
        return self._ports[number]

    def query_socket(self, path: str, command: str, seconds: float = 10) -> str:
        """Send a command to a Unix socket in the directory, and return the answer.

        Raises:
            UserError: If there is no answer within `seconds`.
        """
        local = self._folder / Path(path).name
        if not local.exists():
            folder = self.run("pwd").strip()
            self._forward(f"{local}:{folder}/{path}")
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(seconds)
                connection.connect(str(local))
                connection.sendall(f"{command}\n".encode())
                answer = b"".join(iter(lambda: connection.recv(2**16), b""))
                if answer:
                    return answer.decode()
            time.sleep(0.1)
        raise UserError(f"on {self._address}, nothing answered at the socket {path} within {seconds:g} s.")

    def _forward(self, forwarding: str) -> None:
        completed = subprocess.run(
            [*self._ssh, "-O", "forward", "-L", forwarding, "--", self._address],
            capture_output=True,
            text=True,
            check=False,
        )
        if completed.returncode:
            raise UserError(f"SSH port forwarding to {self._address} failed: {completed.stderr.strip()}")

    def _run(self, command: str, given: str) -> subprocess.CompletedProcess[str]:
        in_directory = f"umask 022 && cd {contract.NAME} && {command}"
        try:
            return subprocess.run(
                [*self._ssh, "--", self._address, in_directory],
                input=given,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=_TIMEOUT,
            )
        except subprocess.TimeoutExpired as error:
            raise UserError(f"on {self._address}, `{command}` timed out after {_TIMEOUT} s.") from error


@contextmanager
def connected(address: str, *, alone: bool = True) -> Iterator[Host]:
    """Connect to a host.

    The environment variables DEPLOY_KEY and DEPLOY_HOST_KEY hold the private key and the host key. Without them, `ssh`
    uses the keys that it is configured with.

    Args:
        address: Address in a form that `ssh` accepts: `user@host` or `ssh://user@host:port`.
        alone: Whether to hold the deployment lock, which keeps others from changing what runs there.

    Raises:
        UserError: If the connection fails, or another deployment holds the lock.
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
                    reason = master.communicate()[1].strip()
                    if master.returncode == _BUSY:
                        raise UserError(f"another deployment to {address} is in progress. Try again when it is done.")
                    raise UserError(f"cannot connect to {address}: {reason}")
                yield Host(address, ssh, folder)
            finally:
                master.kill()


def _options(folder: Path) -> list[str]:
    options = {"BatchMode": "yes", "ConnectTimeout": "10", "ServerAliveInterval": "5", "LogLevel": "ERROR"}
    key, host_key = (os.environ.get(name, "").strip() for name in ("DEPLOY_KEY", "DEPLOY_HOST_KEY"))
    if bool(key) != bool(host_key):
        raise UserError(
            "only one of DEPLOY_KEY (the private key) and DEPLOY_HOST_KEY (the output of `ssh-keyscan HOST`) is set. "
            "Set both, or neither to use the keys of `ssh`."
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
