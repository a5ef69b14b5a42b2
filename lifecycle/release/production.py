"""Production on the host: the services of deploy/compose.yaml, with two slots of which one is active."""

import os
import re
import secrets
from pathlib import Path

from lifecycle.registry.versions import Version
from lifecycle.release.alerting import ALERT_SETTINGS, AlertSettings, alertmanager_config, parse_alert_settings
from lifecycle.release.host import Host
from lifecycle.shared.console import UserError
from model import contract

SLOTS = ("blue", "green")
_FILES = Path("deploy")
_COMPOSE, _HAPROXY = "compose.yaml", "haproxy/haproxy.cfg"
_ALERTMANAGER, _PROMETHEUS = "alertmanager/alertmanager.yml", ("prometheus/prometheus.yml", "prometheus/rules.yml")
# HAProxy has the active slot in memory, where the socket changes it, and reads it from the file when it starts.
_SOCKET, _SLOT_FILE, _SLOT_MAP = "run/admin.sock", "haproxy/slots.map", "/usr/local/etc/haproxy/slots.map"
_SETTINGS, _OWN_SETTINGS = ".env", "service.env"
_PORTS = {
    "blue": ("BLUE_PORT", 3001),
    "green": ("GREEN_PORT", 3002),
    "production": ("PORT", 80),
    "postgres": ("POSTGRES_PORT", 5433),
    "prometheus": ("PROMETHEUS_PORT", 9090),
}
_SHOWN = 20  # lines of a container's log in an error message
# The interface to an image, which may be of an earlier version: `python3 -m MODULE ROWS` prints the inputs of the
# newest predictions. The image has one of these modules. A version that moves it has to add the new name in front.
NEWEST_MODULES = ("lifecycle.prediction_log.newest", "lifecycle.serving.newest", "model.serving.newest")
PRINT_NEWEST = (
    f"for module in {' '.join(NEWEST_MODULES)}; do "
    '[ ! -e "$(echo $module | tr . /).py" ] || exec python3 -m $module "$0"; '
    "done; echo 'the image has no module that prints the newest predictions' >&2; exit 1"
)


class Production:
    """The slots and the proxy on a host."""

    def __init__(self, host: Host) -> None:
        """Read the settings on the host; `prepare` creates those that are missing."""
        self._host = host
        lines = host.read(_SETTINGS).splitlines()
        self._settings = dict(line.split("=", 1) for line in lines if re.match(r"\w+=", line))

    def prepare(self, version: Version) -> None:
        """Create what a version needs, and start the database and the proxy.

        Args:
            version: Version that is about to be deployed.
        """
        defaults = {"COMPOSE_PROJECT_NAME": contract.NAME, "POSTGRES_PASSWORD": secrets.token_hex(24)}
        for slot in SLOTS:
            defaults |= _slot_settings(slot, version)
        # Existing settings take precedence, including those that somebody has edited on the host.
        self._write_settings(defaults | self._settings)
        # HAProxy runs as another user in its container and creates a socket in `run`. Mode 777 opens it to nobody else,
        # because the directory above is private.
        self._host.run("sh", "-c", f"mkdir -p run haproxy && chmod 777 run && touch {_OWN_SETTINGS}")
        self._host.run("sh", "-c", f"test -e {_SLOT_FILE} || echo 'production {SLOTS[0]}' > {_SLOT_FILE}")
        self._copy(_COMPOSE)
        rules_changed = self._copy(_HAPROXY)
        was_up = self.is_up("haproxy")
        self._compose("up", "--detach", "postgres", "haproxy")
        if rules_changed and was_up:
            self._compose("kill", "--signal", "USR2", "haproxy")

    def active_slot(self) -> str:
        """Return the slot that receives the requests.

        Raises:
            UserError: If HAProxy names no slot.
        """
        entry = re.search(r"production (\w+)", self._host.query_socket(_SOCKET, f"show map {_SLOT_MAP}"))
        if not entry or entry[1] not in SLOTS:
            raise UserError(
                f"HAProxy does not name the active slot. Write `production {SLOTS[0]}` or `production {SLOTS[1]}` to "
                f"{_SLOT_FILE} on the host and restart HAProxy."
            )
        return entry[1]

    def switch(self, slot: str) -> None:
        """Send new requests to a slot. Requests in progress complete in the other one.

        Raises:
            UserError: If HAProxy refuses.
        """
        self._host.write(_SLOT_FILE, f"production {slot}\n")
        error = self._host.query_socket(_SOCKET, f"set map {_SLOT_MAP} production {slot}").strip()
        if error:
            raise UserError(f"HAProxy did not switch to {slot}: {error}")

    def has(self, slot: str, version: Version) -> bool:
        """Return whether a version runs in a slot."""
        return self.is_up(slot) and self._settings.items() >= _slot_settings(slot, version).items()

    def start(self, slot: str, version: Version) -> None:
        """Start a version in a slot, unless it runs there already."""
        self._pull(version.tags["image"])
        self._write_settings(self._settings | _slot_settings(slot, version))
        self._compose("up", "--detach", "--no-deps", slot)

    def stop(self, slot: str) -> None:
        """Stop a slot gracefully: it completes its requests and writes its prediction records first."""
        self._compose("stop", slot)

    def is_up(self, service: str) -> bool:
        """Return whether the container of a service is running."""
        labels = {"project": self._settings["COMPOSE_PROJECT_NAME"], "service": service}
        filters = [f"--filter=label=com.docker.compose.{name}={value}" for name, value in labels.items()]
        return bool(self._host.run("docker", "ps", "--quiet", *filters).strip())

    def port(self, name: str) -> int:
        """Return a port of this machine that is forwarded to a service of the host.

        Args:
            name: A slot, `production`, `postgres` or `prometheus`.
        """
        key, default = _PORTS[name]
        return self._host.port(int(self._settings.get(key, default)))

    def has_alerts(self) -> bool:
        """Return whether the owner of the host has named a receiver of alerts.

        Raises:
            UserError: If the settings of alerts are invalid.
        """
        return self._alert_settings() is not None

    def update_alerts(self) -> None:
        """Start Prometheus and Alertmanager if there is a receiver of alerts, with the newest rules; else stop them.

        Raises:
            UserError: If the settings of alerts are invalid, or a container does not start.
        """
        services = ("prometheus", "alertmanager")
        settings = self._alert_settings()
        running = [service for service in services if self.is_up(service)]
        others = {profile for profile in self._settings.get("COMPOSE_PROFILES", "").split(",") if profile} - {"alerts"}
        if settings is None:
            if running:
                self._compose("stop", *running)
                self._write_settings(self._settings | {"COMPOSE_PROFILES": ",".join(sorted(others))})
            return
        changes = {"COMPOSE_PROFILES": ",".join(sorted({*others, "alerts"}))}
        if repository := os.environ.get("GITHUB_REPOSITORY"):
            changes["REPOSITORY"] = f"{os.environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{repository}"
        self._write_settings(self._settings | changes)
        copied = [self._copy(path) for path in _PROMETHEUS]
        changed = {
            "prometheus": any(copied),
            "alertmanager": self._host.write(_ALERTMANAGER, alertmanager_config(settings)),
        }
        self._compose("up", "--detach", *services)
        for service in running:
            if changed[service]:
                self._compose("kill", "--signal", "HUP", service)

    def log_url(self) -> str:
        """Return the URL by which this machine reaches the prediction log.

        Raises:
            UserError: If nothing has been deployed to the host yet.
        """
        if "POSTGRES_PASSWORD" not in self._settings:
            raise UserError("there is no prediction log because nothing has been deployed to the host yet.")
        login = f"service:{self._settings['POSTGRES_PASSWORD']}"
        configured_url = self._settings.get("PREDICTION_LOG_URL")
        return configured_url or f"postgresql://{login}@127.0.0.1:{self.port('postgres')}/predictions"

    def headers(self) -> dict[str, str]:
        """Return the headers that requests need: an API key if the service requires one."""
        keys = re.search(r"^API_KEYS=([^,\n]+)", self._host.read(_OWN_SETTINGS), re.MULTILINE)
        return {"X-API-Key": keys[1].strip()} if keys else {}

    def recent_log(self, slot: str) -> str:
        """Return the last lines of a slot's container log."""
        return self._host.run("sh", "-c", f'docker compose logs "$0" 2>&1 | tail -n {_SHOWN}', slot)

    def newest_requests(self, slot: str, rows: int) -> list[str]:
        """Return the newest rows of the prediction log as JSON, read by the version in a slot."""
        return self._compose("exec", "-T", slot, "sh", "-c", PRINT_NEWEST, str(rows)).splitlines()

    def _pull(self, image: str) -> None:
        """Pull an image on the host unless it is there."""
        token, registry = os.environ.get("GITHUB_TOKEN", ""), image.partition("/")[0]
        login = ""
        if token and registry == "ghcr.io":
            # In a temporary configuration, because a workflow's token is only valid until the workflow ends.
            login = (
                "DOCKER_CONFIG=$(mktemp -d) && export DOCKER_CONFIG && trap 'rm -r \"$DOCKER_CONFIG\"' EXIT && "
                'docker login --username token --password-stdin "$0" && '
            )
        inspect = 'docker image inspect "$1" > /dev/null 2>&1'
        self._host.run("sh", "-c", f'{inspect} || {{ {login}docker pull --quiet "$1"; }}', registry, image, given=token)

    def _alert_settings(self) -> AlertSettings | None:
        return parse_alert_settings(self._host.read(ALERT_SETTINGS))

    def _copy(self, path: str) -> bool:
        """Bring a file of `deploy` up to date on the host, and return whether it has changed."""
        return self._host.write(path, (_FILES / path).read_text(encoding="utf-8"))

    def _compose(self, *arguments: str) -> str:
        return self._host.run("docker", "compose", *arguments)

    def _write_settings(self, settings: dict[str, str]) -> None:
        self._host.write(_SETTINGS, "".join(f"{name}={value}\n" for name, value in settings.items()))
        self._settings = settings


def _slot_settings(slot: str, version: Version) -> dict[str, str]:
    """Return the settings with which compose.yaml runs a version in a slot."""
    return {f"{slot.upper()}_IMAGE": version.tags["image"], f"{slot.upper()}_VERSION": str(version.number)}
