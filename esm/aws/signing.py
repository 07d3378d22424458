"""Signature Version 4 for POSTs of JSON to one endpoint, at the price of four hashes a request.

The signing key is kept per credentials and day, the date line per second; the headers that are signed are always the
same. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote, urlsplit

__all__ = ["Credentials", "Signer"]

_BLOCK = 64


class Credentials(NamedTuple):
    """Three texts that sign a request. `token` is `None` for the long-term keys of a user."""

    access_key: str
    secret_key: str
    token: str | None = None


class Signer:
    """Writes the head of signed requests to one endpoint, for one service and region."""

    def __init__(self, url: str, *, service: str, region: str, content_type: str, user_agent: str = "") -> None:
        self.host, self._path = _host_and_path(url)
        self._signed_path = quote(self._path, safe="/~")
        self._service, self._region = service, region
        self._content_type = content_type
        self._agent = f"User-Agent: {user_agent}\r\n" if user_agent else ""
        self._credentials: Credentials | None = None
        self._seconds = -1
        self._day = ""
        self._target, self._body, self._signed_head = "", b"", b""  # the newest

    def head(self, credentials: Credentials, target: str, body: bytes, seconds: int) -> bytes:
        """Request line and headers of a POST, up to and with the empty line. `seconds`: epoch, for the date.

        What is sent again within a second (the next receive of a busy queue) is signed once.
        """
        if seconds != self._seconds or credentials is not self._credentials:
            self._prepare(credentials, seconds)
        elif body == self._body and target == self._target:
            return self._signed_head
        canonical = f"{self._canonical}{target}{self._signed_names}{hashlib.sha256(body).hexdigest()}"
        to_sign = self._to_sign + hashlib.sha256(canonical.encode()).hexdigest()
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(to_sign.encode())
        outer.update(inner.digest())
        head = f"{self._head}{target}{self._authorization}{outer.hexdigest()}\r\nContent-Length: {len(body)}\r\n\r\n"
        self._target, self._body, self._signed_head = target, body, head.encode()
        return self._signed_head

    def _prepare(self, credentials: Credentials, seconds: int) -> None:
        """All that stays the same within one second and under the same credentials."""
        date = datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%SZ")
        day = date[:8]
        if day != self._day or credentials != self._credentials:
            self._inner, self._outer = _keyed(self._signing_key(credentials.secret_key, day))
        self._credentials, self._seconds, self._day = credentials, seconds, day
        token = credentials.token
        token_line = f"x-amz-security-token:{token}\n" if token else ""
        names = f"content-type;host;x-amz-date;{'x-amz-security-token;' if token else ''}x-amz-target"
        scope = f"{day}/{self._region}/{self._service}/aws4_request"
        self._canonical = (
            f"POST\n{self._signed_path}\n\ncontent-type:{self._content_type}\nhost:{self.host}\n"
            f"x-amz-date:{date}\n{token_line}x-amz-target:"
        )
        self._signed_names = f"\n\n{names}\n"
        self._to_sign = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n"
        self._head = (
            f"POST {self._path} HTTP/1.1\r\nHost: {self.host}\r\nContent-Type: {self._content_type}\r\n"
            f"{self._agent}X-Amz-Date: {date}\r\n{f'X-Amz-Security-Token: {token}{chr(13)}{chr(10)}' if token else ''}"
            f"X-Amz-Target: "
        )
        self._authorization = (
            f"\r\nAuthorization: AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, "
            f"SignedHeaders={names}, Signature="
        )

    def _signing_key(self, secret_key: str, day: str) -> bytes:
        """The key of one day, region and service."""
        key = f"AWS4{secret_key}".encode()
        for part in (day, self._region, self._service, "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        return key


def _keyed(key: bytes) -> tuple[hashlib._Hash, hashlib._Hash]:
    """The two halves of an HMAC under a 32-byte key, ready to be copied: half the price of `hmac` (measured)."""
    padded = key.ljust(_BLOCK, b"\0")
    return hashlib.sha256(bytes(b ^ 0x36 for b in padded)), hashlib.sha256(bytes(b ^ 0x5C for b in padded))


def _host_and_path(url: str) -> tuple[str, str]:
    """What `Host` says (a scheme's own port is left out), and the path as it is sent."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    default = {"http": ":80", "https": ":443"}[parts.scheme]
    return host.removesuffix(default), parts.path or "/"
