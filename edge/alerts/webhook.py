"""Alerts as signed HTTP POST requests."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from email.message import Message
from typing import IO

from edge.alerts.credentials import optional_credential, tls_context
from edge.alerts.delivery import DeliveryError
from edge.alerts.settings import WebhookSettings
from edge.alerts.sink import Record
from edge.errors import ConfigError

SIGNATURE_HEADER = "X-Earwitness-Signature"


class WebhookTransport:
    """Posts a record as JSON; any answer from 200 to 299 means that it was taken.

    The header `X-Earwitness-Signature: sha256=HEX` is the HMAC-SHA256 (RFC 2104) of the body under
    the shared secret; `Idempotency-Key` is the alert's id and state, the same on every attempt.
    Redirects are refused: following one would turn the POST into a GET and lose the alert.

    Args:
        settings: the address and how to reach it.
        environment: for $CREDENTIALS_DIRECTORY.

    Raises:
        ConfigError: the address, a credential or the certificates cannot be used.
    """

    def __init__(self, settings: WebhookSettings, environment: Mapping[str, str]) -> None:
        check_url(settings.url)
        self._settings = settings
        self._secret = optional_credential(settings.secret_file, environment)
        self._token = optional_credential(settings.token_file, environment)
        self._opener = urllib.request.build_opener(
            NoRedirect, urllib.request.HTTPSHandler(context=tls_context(settings.ca_file))
        )

    def send(self, record: Record) -> None:
        """Post one record.

        Raises:
            DeliveryError: the server could not be reached or did not answer 2xx.
        """
        body = json.dumps(record, separators=(",", ":")).encode()
        request = urllib.request.Request(
            self._settings.url, body, self._headers(record, body), method="POST"
        )
        try:
            with self._opener.open(request, timeout=self._settings.timeout_s):
                return
        except urllib.error.HTTPError as error:
            with error:
                raise refusal(error) from error
        except (OSError, http.client.HTTPException) as error:
            raise DeliveryError(reason_of(error)) from error

    def _headers(self, record: Record, body: bytes) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "User-Agent": "earwitness"}
        if "id" in record:
            headers["Idempotency-Key"] = f"{record['id']}-{record['state']}"
        if self._secret:
            headers[SIGNATURE_HEADER] = signature(self._secret, body)
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        return headers


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Leaves a redirect as the error that it is for a POST."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Message,
        newurl: str,
    ) -> None:
        """Never follow."""


def signature(secret: str, body: bytes) -> str:
    """The value of the signature header."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def check_url(url: str) -> None:
    """Refuse an address that cannot work or that carries a password.

    Raises:
        ConfigError: says which.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        port_ok = parts.port is None or parts.port > 0
    except ValueError:
        port_ok = False
    if not port_ok or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"The webhook address {url!r} is not an http:// or https:// URL.")
    if any(not 32 < ord(character) < 127 for character in url):
        raise ConfigError(f"The webhook address {url!r} holds a space or a character beyond ASCII.")
    if parts.username is not None or parts.password is not None:
        raise ConfigError("The webhook address holds a password; put it into token_file instead.")


def refusal(error: urllib.error.HTTPError) -> DeliveryError:
    """What an answer other than 2xx means."""
    if 300 <= error.code < 400:
        return DeliveryError(f"the server redirects (HTTP {error.code}); configure the new address")
    after = error.headers.get("Retry-After", "") if error.headers else ""
    return DeliveryError(
        f"the server answered HTTP {error.code}", float(after) if after.isdecimal() else None
    )


def reason_of(error: Exception) -> str:
    """A network error in a few words."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return "the server does not answer in time"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return str(cause) or type(cause).__name__
