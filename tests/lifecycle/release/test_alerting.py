"""Settings of alerts, and the configuration of Alertmanager."""

import subprocess
from pathlib import Path

import pytest

from lifecycle.release.alerting import alertmanager_config, parse_alert_settings
from lifecycle.shared.console import UserError
from tests.lifecycle.missing import need

WEBHOOK = "WEBHOOK_URL=https://hooks.slack.com/services/T0/B0/secret\n"
MAIL = "MAIL_TO=a@example.com, b@example.com\nMAIL_FROM=alerts@example.com\nSMTP_HOST=smtp.example.com:587\n"
LOGIN = "SMTP_USERNAME=alerts\nSMTP_PASSWORD=$pass=w{{ ord }} \"'#\n"


def test_no_settings_are_no_receivers() -> None:
    assert parse_alert_settings("") is None
    assert parse_alert_settings("# WEBHOOK_URL=https://example.com/hook\n\n  \n") is None


@pytest.mark.parametrize("text", [WEBHOOK, MAIL, WEBHOOK + MAIL + LOGIN])
def test_alertmanager_accepts_its_configuration(text: str, tmp_path: Path) -> None:
    need("prometheus-alertmanager")
    settings = parse_alert_settings(text)
    assert settings
    file = tmp_path / "alertmanager.yml"
    file.write_text(alertmanager_config(settings), encoding="utf-8")
    completed = subprocess.run(["amtool", "check-config", file], capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stdout + completed.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("WEBHOOK_URL\n", "line 1 is not NAME=VALUE."),
        ("WEBHOOK=https://example.com/x\n", "there is no setting WEBHOOK; there are WEBHOOK_URL, MAIL_TO, MAIL_FROM, "),
        ("WEBHOOK_URL=hooks.slack.com/secret\n", "WEBHOOK_URL is not of the form https://host/path."),
        (f"{WEBHOOK}{WEBHOOK}", "line 2 sets WEBHOOK_URL again."),
        (MAIL.replace("a@", "a "), "MAIL_TO is not of the form name@host, or several of these with commas between."),
        (MAIL.replace(":587", ""), "SMTP_HOST is not of the form host:port."),
        ("MAIL_TO=a@example.com\n", "mail needs all of MAIL_TO, MAIL_FROM and SMTP_HOST."),
        (f"{MAIL}SMTP_USERNAME=alerts\n", "only one of SMTP_USERNAME and SMTP_PASSWORD is set."),
        (f"{WEBHOOK}{LOGIN}", "a login without a mail server"),
        ("WEBHOOK_URL=\n", "set WEBHOOK_URL or MAIL_TO."),
    ],
)
def test_wrong_settings_are_named(text: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        parse_alert_settings(text)
    assert str(raised.value).startswith(f"alerts.env on the host: {message}")
    assert "secret" not in str(raised.value)
