"""Who is told of an alert: the settings in `alerts.env` on the host, and Alertmanager's configuration from them."""

import json
import re
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from lifecycle.shared.console import UserError
from lifecycle.shared.settings import Settings
from model import contract

ALERT_SETTINGS = "alerts.env"
_FORMS = {
    "webhook_url": "https://host/path",
    "mail_to": "name@host, or several of these with commas between",
    "mail_from": "name@host",
    "smtp_host": "host:port",
}
_LINE = re.compile(r"(\w+)=(.*)")
_STATUS = '{{ .CommonLabels.alertname }} {{ if eq .Status "firing" }}is firing{{ else }}has ended{{ end }}'
_TITLE = f"{contract.NAME}: {_STATUS}"
_SINCE = '{{ .StartsAt.UTC.Format "2006-01-02 15:04" }} UTC'
_TEXT = (
    "{{ range .Alerts.Firing }}{{ .Annotations.summary }} Since " + _SINCE + ".\n{{ end }}"
    "{{ range .Alerts.Resolved }}It began at " + _SINCE + ": {{ .Annotations.summary }}\n{{ end }}"
    "What to do: {{ .CommonAnnotations.runbook_url }}"
)


class AlertSettings(Settings):
    """Receivers of alerts. Each field is a line NAME=VALUE of `alerts.env`, with its name in capitals.

    Attributes:
        webhook_url: Incoming webhook of Slack, or of another chat that takes Slack's messages; empty for none.
        mail_to: Email addresses, separated by commas; empty for none.
        mail_from: Email address of the sender.
        smtp_host: Mail server as host:port. The connection is always encrypted: from the start at port 465, and by
            STARTTLS at any other port.
        smtp_username: Login of the mail server; empty for none.
        smtp_password: Password of the login.
    """

    webhook_url: str = Field("", pattern=r"^(https?://[^\s/]+(/\S*)?)?$")
    mail_to: str = Field("", pattern=r"^([^\s@,]+@[^\s@,]+(, *[^\s@,]+@[^\s@,]+)*)?$")
    mail_from: str = Field("", pattern=r"^([^\s@,]+@[^\s@,]+)?$")
    smtp_host: str = Field("", pattern=r"^([^\s:/@]+:\d+)?$")
    smtp_username: str = ""
    smtp_password: str = ""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        mail = (self.mail_to, self.mail_from, self.smtp_host)
        if any(mail) and not all(mail):
            raise ValueError("mail needs all of MAIL_TO, MAIL_FROM and SMTP_HOST")
        if bool(self.smtp_username) != bool(self.smtp_password):
            raise ValueError("only one of SMTP_USERNAME and SMTP_PASSWORD is set")
        if self.smtp_username and not self.smtp_host:
            raise ValueError("a login without a mail server: set SMTP_HOST, too")
        if not (self.webhook_url or self.mail_to):
            raise ValueError("set WEBHOOK_URL or MAIL_TO")
        return self


def parse_alert_settings(text: str) -> AlertSettings | None:
    """Read the settings from the text of `alerts.env`. Empty lines and lines that begin with `#` are skipped.

    Returns:
        The settings; None if there are no others than empty lines and comments.

    Raises:
        UserError: If a line is not NAME=VALUE, or a name or a value is wrong. The message does not repeat the value,
            which may be a secret.
    """
    lines = {number: line.strip() for number, line in enumerate(text.splitlines(), 1)}
    settings = {number: line for number, line in lines.items() if line and not line.startswith("#")}
    if not settings:
        return None
    values = dict[str, str]()
    for number, line in settings.items():
        parts = _LINE.fullmatch(line)
        if not parts:
            raise UserError(f"{ALERT_SETTINGS} on the host: line {number} is not NAME=VALUE.")
        if parts[1].lower() in values:
            raise UserError(f"{ALERT_SETTINGS} on the host: line {number} sets {parts[1]} again.")
        values[parts[1].lower()] = parts[2].strip()
    try:
        return AlertSettings(**values)
    except ValidationError as error:
        raise UserError(f"{ALERT_SETTINGS} on the host: {'; '.join(map(_in_words, error.errors()))}.") from error


def alertmanager_config(settings: AlertSettings) -> str:
    """Return the configuration file of Alertmanager, as JSON, which is YAML as well."""
    receiver: dict[str, Any] = {"name": "team"}
    if settings.webhook_url:
        # https://prometheus.io/docs/alerting/latest/configuration/#slack_config
        receiver["slack_configs"] = [
            {
                "api_url": settings.webhook_url,
                "send_resolved": True,
                "title": _TITLE,
                "title_link": "{{ .CommonAnnotations.runbook_url }}",
                "text": _TEXT,
            }
        ]
    if settings.mail_to:
        login = {"auth_username": settings.smtp_username, "auth_password": settings.smtp_password}
        receiver["email_configs"] = [
            {
                "to": settings.mail_to,
                "from": settings.mail_from,
                "smarthost": settings.smtp_host,
                **(login if settings.smtp_username else {}),
                "send_resolved": True,
                "headers": {"Subject": _TITLE},
                "html": "",
                "text": _TEXT,
            }
        ]
    # One message for each kind of alert, again after half a day if it still fires.
    route = {
        "receiver": "team",
        "group_by": ["alertname"],
        "group_wait": "10s",
        "group_interval": "5m",
        "repeat_interval": "12h",
    }
    return json.dumps({"route": route, "receivers": [receiver]}, indent=2) + "\n"


def _in_words(error: Any) -> str:
    name = "_".join(map(str, error["loc"])).upper()
    match error["type"]:
        case "extra_forbidden":
            return f"there is no setting {name}; there are {', '.join(AlertSettings.model_fields).upper()}"
        case "string_pattern_mismatch":
            return f"{name} is not of the form {_FORMS[name.lower()]}"
        case _:
            return str(error["msg"]).removeprefix("Value error, ")
