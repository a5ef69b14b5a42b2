"""What runs on the host: deploy/compose.yaml, with two slots of which one is in production."""

import os
import re
import secrets
from pathlib import Path

from lifecycle.registry.versions import Version
from lifecycle.release.host import Host
from lifecycle.shared.console import UserError
from model import contract

SLOTS = ("blue", "green")
_FILES = Path("deploy")
_COMPOSE, _HAPROXY = "compose.yaml", "haproxy/haproxy.cfg"
# What HAProxy goes by: in its process, reached by the socket, and for its next start in the file.
_SOCKET, _SLOT_FILE, _SLOT_MAP = "run/admin.sock", "haproxy/slots.map", "/usr/local/etc/haproxy/slots.map"
_SETTINGS, _OWN_SETTINGS = ".env", "service.env"
_PORTS = {
    "blue": ("BLUE_PORT", 3001),
    "green": ("GREEN_PORT", 3002),
    "production": ("PORT", 80),
    "postgres": ("POSTGRES_PORT", 5433),
}
_SHOWN = 20  # lines of what a container has said


class Production:
    """The slots and the proxy on a host."""

    def __init__(self, host: Host) -> None:
        """Look at what is there; `prepare` makes what is not."""
        self._host = host
        lines = host.read(_SETTINGS).splitlines()
        self._settings = dict(line.split("=", 1) for line in lines if re.match(r"\w+=", line))

    def prepare(self, version: Version) -> None:
        """Have all there that a version needs, and running, but the version itself."""
        first = {"COMPOSE_PROJECT_NAME": contract.NAME, "POSTGRES_PASSWORD": secrets.token_hex(24)}
        for slot in SLOTS:
            first |= _runs(slot, version)
        # What is in there already stays, also what somebody has written there by hand.
        self._write_settings(first | self._settings)
        # HAProxy is another user in its container, and makes a socket in `run`; no other gets as far as there.
        self._host.run("sh", "-c", f"mkdir -p run haproxy && chmod 777 run && touch {_OWN_SETTINGS}")
        self._host.run("sh", "-c", f"test -e {_SLOT_FILE} || echo 'production {SLOTS[0]}' > {_SLOT_FILE}")
        self._host.write(_COMPOSE, (_FILES / _COMPOSE).read_text(encoding="utf-8"))
        other_rules = self._host.write(_HAPROXY, (_FILES / _HAPROXY).read_text(encoding="utf-8"))
        was_up = self.is_up("haproxy")
        self._compose("up", "--detach", "postgres", "haproxy")
        if other_rules and was_up:
            self._compose("kill", "--signal", "USR2", "haproxy")

    def in_production(self) -> str:
        """The slot that gets the requests."""
        found = re.search(r"production (\w+)", self._host.converse(_SOCKET, f"show map {_SLOT_MAP}"))
        if not found or found[1] not in SLOTS:
            raise UserError(f"HAProxy does not say which slot is in production; {_SLOT_FILE} on the host should.")
        return found[1]

    def switch(self, slot: str) -> None:
        """Send requests to a slot: those that come from now on. What is being answered stays where it is."""
        self._host.write(_SLOT_FILE, f"production {slot}\n")
        said = self._host.converse(_SOCKET, f"set map {_SLOT_MAP} production {slot}").strip()
        if said:
            raise UserError(f"HAProxy did not switch to {slot}: {said}")

    def has(self, slot: str, version: Version) -> bool:
        """Whether a version runs in a slot."""
        return self.is_up(slot) and self._settings.items() >= _runs(slot, version).items()

    def start(self, slot: str, version: Version) -> None:
        """Start a version in a slot, unless it runs there."""
        self._fetch(version.tags["image"])
        self._write_settings(self._settings | _runs(slot, version))
        self._compose("up", "--detach", "--no-deps", slot)

    def stop(self, slot: str) -> None:
        """End what runs in a slot: when what it was asked is answered, and its records are written."""
        self._compose("stop", slot)

    def is_up(self, service: str) -> bool:
        """Whether the container of a service runs."""
        labels = {"project": self._settings["COMPOSE_PROJECT_NAME"], "service": service}
        filters = [f"--filter=label=com.docker.compose.{name}={value}" for name, value in labels.items()]
        return bool(self._host.run("docker", "ps", "--quiet", *filters).strip())

    def port(self, name: str) -> int:
        """The port of this machine that leads to a slot, to production or to the database."""
        key, default = _PORTS[name]
        return self._host.port(int(self._settings.get(key, default)))

    def log_url(self) -> str:
        """The prediction log, from this machine.

        Raises:
            UserError: Where nothing was deployed there yet.
        """
        if "POSTGRES_PASSWORD" not in self._settings:
            raise UserError("nothing was deployed to the host yet, and so there is no prediction log.")
        login = f"service:{self._settings['POSTGRES_PASSWORD']}"
        own = self._settings.get("PREDICTION_LOG_URL")
        return own or f"postgresql://{login}@127.0.0.1:{self.port('postgres')}/predictions"

    def headers(self) -> dict[str, str]:
        """What a request needs, where the service wants an API key."""
        keys = re.search(r"^API_KEYS=([^,\n]+)", self._host.read(_OWN_SETTINGS), re.MULTILINE)
        return {"X-API-Key": keys[1].strip()} if keys else {}

    def said(self, slot: str) -> str:
        """The last lines of what was said in a slot."""
        return self._host.run("sh", "-c", f'docker compose logs "$0" 2>&1 | tail -n {_SHOWN}', slot)

    def newest_requests(self, slot: str, rows: int) -> list[str]:
        """The newest rows of the prediction log, as the version in a slot finds it, each in JSON."""
        command = ("python3", "-m", "lifecycle.serving.newest", str(rows))
        return self._compose("exec", "-T", slot, *command).splitlines()

    def _fetch(self, image: str) -> None:
        """Have an image on the host."""
        token, registry = os.environ.get("GITHUB_TOKEN", ""), image.partition("/")[0]
        login = ""
        if token and registry == "ghcr.io":
            # For this one time: the token of a workflow ends with it.
            login = (
                "DOCKER_CONFIG=$(mktemp -d) && export DOCKER_CONFIG && trap 'rm -r \"$DOCKER_CONFIG\"' EXIT && "
                'docker login --username token --password-stdin "$0" && '
            )
        there = 'docker image inspect "$1" > /dev/null 2>&1'
        self._host.run("sh", "-c", f'{there} || {{ {login}docker pull --quiet "$1"; }}', registry, image, given=token)

    def _compose(self, *arguments: str) -> str:
        return self._host.run("docker", "compose", *arguments)

    def _write_settings(self, settings: dict[str, str]) -> None:
        self._host.write(_SETTINGS, "".join(f"{name}={value}\n" for name, value in settings.items()))
        self._settings = settings


def _runs(slot: str, version: Version) -> dict[str, str]:
    """What compose.yaml has to know of a version in a slot."""
    return {f"{slot.upper()}_IMAGE": version.tags["image"], f"{slot.upper()}_VERSION": str(version.number)}
