"""Tells somebody: by mail, through a mail server or the program sendmail, and by a webhook."""

from __future__ import annotations

import json
import smtplib
import subprocess
import urllib.request
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any, NamedTuple

from deploy.doctor.changes import Changes

SECONDS = 30.0  # for a mail server, for sendmail and for a webhook
SENDMAIL = "/usr/sbin/sendmail"
FROM = "calln"  # at the name of the machine


class Recipients(NamedTuple):
    """Who is to be told, as /etc/calln/alert.json has it. An empty text: nobody by that way."""

    mail: str
    smtp: tuple[str, int] | None
    webhook: str
    site: str
    machine: str
    roles: tuple[str, ...]


class NotTold(Exception):
    """Somebody could not be told; says why."""


def parse_recipients(text: str) -> Recipients:
    said = json.loads(text)
    smtp = (said["smtp"][0], said["smtp"][1]) if said["smtp"] else None
    return Recipients(**{**said, "smtp": smtp, "roles": tuple(said["roles"])})


def tell(to: Recipients, found: Changes) -> None:
    """By all ways, although one fails. Raises NotTold."""
    if wrong := list(problems(to, found)):
        raise NotTold("; ".join(wrong))


def problems(to: Recipients, found: Changes) -> Iterator[str]:
    if to.mail:
        try:
            send_mail(to, found)
        except (OSError, smtplib.SMTPException, subprocess.SubprocessError) as error:
            yield f"no mail to {to.mail}: {error}"
    if to.webhook:
        try:
            post(to, found)
        except (OSError, ValueError) as error:  # its address may hold a password
            yield f"the webhook of deploy.alert: {getattr(error, 'reason', error)}"


def send_mail(to: Recipients, found: Changes) -> None:
    message = EmailMessage()
    message["Subject"] = found.subject(to.machine)
    message["From"] = f"{FROM}@{to.machine}"
    message["To"] = to.mail
    message.set_content(found.message_text(), cte="quoted-printable")
    if to.smtp is None:
        command = [SENDMAIL, "-t", "-oi"]
        subprocess.run(command, input=message.as_bytes(), check=True, capture_output=True, timeout=SECONDS)  # noqa: S603
        return
    with smtplib.SMTP(*to.smtp, timeout=SECONDS) as server:
        if server.has_extn("starttls"):
            server.starttls()
        server.send_message(message)


def post(to: Recipients, found: Changes) -> None:
    """`text` is what Slack, Mattermost and others show; the rest is for programs."""
    body: dict[str, Any] = {
        "text": f"{found.subject(to.machine)}\n{found.message_text()}",
        "site": to.site,
        "machine": to.machine,
        "begun": [one._asdict() for one in found.begun],
        "over": list(found.over),
    }
    request = urllib.request.Request(  # noqa: S310  # the operator's own address
        to.webhook, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=SECONDS):  # noqa: S310
        pass
