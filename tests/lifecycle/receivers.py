"""Receivers of alerts on this machine: an incoming webhook of a chat, and a mail server with encryption and a login."""

import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.lifecycle.serving.conftest import free_port

# Name of this machine in a container of podman.
THIS_MACHINE = "host.containers.internal"


@contextmanager
def chat() -> Iterator[tuple[str, dict[str, dict[str, str]]]]:
    """Yield the URL of a webhook, as a container reaches it, and what it has received, by title."""
    received: dict[str, dict[str, str]] = {}

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            # https://api.slack.com/messaging/webhooks: an unknown hook is not found.
            known = self.path == "/services/T0/B0/x"
            if known:
                received.update({message["title"]: message for message in json.loads(body)["attachments"]})
            self.send_response(200 if known else 404)
            self.end_headers()
            self.wfile.write(b"ok" if known else b"no_service")

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("0.0.0.0", 0), Webhook) as server:  # noqa: S104 - for a container of this machine
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://{THIS_MACHINE}:{server.server_address[1]}/services/T0/B0/x", received
        finally:
            server.shutdown()
            thread.join()


class _Mailbox:
    def __init__(self) -> None:
        self.received: dict[str, EmailMessage] = {}

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - by aiosmtpd
        del server, session
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, EmailMessage, policy=policy.default)
        self.received[message["Subject"]] = message
        return "250 OK"


@contextmanager
def mail_server(folder: Path, username: str, password: str) -> Iterator[tuple[str, dict[str, EmailMessage]]]:
    """Start a mail server that insists on STARTTLS and a login.

    Args:
        folder: Directory for its key, and for its certificate `mail.pem`, which a client has to trust.
        username: Login.
        password: Password of the login.

    Yields:
        The host and the port, as a container reaches them, and the messages that it has received, by subject.
    """
    key, certificate, mailbox = folder / "mail.key", folder / "mail.pem", _Mailbox()
    names = ("-subj", f"/CN={THIS_MACHINE}", "-addext", f"subjectAltName=DNS:{THIS_MACHINE}")
    files = ("-keyout", str(key), "-out", str(certificate))
    command = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *names, *files)
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    def check(server: SMTP, session: Session, envelope: Envelope, mechanism: str, login: Any) -> AuthResult:
        del server, session, envelope, mechanism
        expected = LoginPassword(username.encode(), password.encode())
        return AuthResult(success=login == expected, handled=False)

    controller = Controller(
        mailbox,
        hostname="0.0.0.0",  # noqa: S104 - for a container of this machine
        port=free_port(),
        tls_context=context,
        require_starttls=True,
        auth_required=True,
        authenticator=check,
        auth_exclude_mechanism=["LOGIN"],  # its prompts are those of few real servers
    )
    controller.start()
    try:
        yield f"{THIS_MACHINE}:{controller.port}", mailbox.received
    finally:
        controller.stop()
