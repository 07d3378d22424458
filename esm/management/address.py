"""Where probes are answered, and to whom: the address, the names it may be called by, the token.

A browser that was lied to about a name (DNS rebinding) still says the name it was given: it is not on the list. An
address of another machine is one that others reach, too, so it needs a token.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from esm.errors import ProbeError

__all__ = ["Address", "Door"]

TOKEN_CHARACTERS_MIN = 16
"""A token that is shorter is guessed (chosen)."""

_TOKEN = re.compile(rf"[\x21-\x7e]{{{TOKEN_CHARACTERS_MIN},4096}}")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252})")
_AUTHORITY = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[^\[\]:/?#@\s]+))(?::(?P<port>[0-9]{1,5}))?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Address:
    """An IP address and a port; port 0: any that is free."""

    ip: IPv4Address | IPv6Address
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """`127.0.0.1:8080`, `[::1]:8080` or `localhost:8080`. Raises `ProbeError`."""
        found = _AUTHORITY.fullmatch(text)
        host = "" if found is None else found["six"] or found["name"]
        port = -1 if found is None or found["port"] is None else int(found["port"])
        ip = _ip("127.0.0.1" if host == "localhost" else host)
        bracketed = found is not None and found["six"] is not None
        if ip is None or not 0 <= port < 1 << 16 or isinstance(ip, IPv6Address) != bracketed:
            raise ProbeError(f"{text!r} is no address; write an IP address and a port, as 127.0.0.1:8080 or [::1]:8080")
        return cls(ip, port)

    def __str__(self) -> str:
        """As it is written in a URL."""
        return f"[{self.ip}]:{self.port}" if isinstance(self.ip, IPv6Address) else f"{self.ip}:{self.port}"


class Door:
    """Who is let in at an address. `token`: what they must bear; `hosts`: further names they may call it by.

    Raises `ProbeError`: an address that is not loopback without a token, a token that is short or no plain text.
    """

    def __init__(self, address: Address, *, token: str | None = None, hosts: Iterable[str] = ()) -> None:
        if token is None and not address.ip.is_loopback:
            raise ProbeError(f"{address} is reached by others: it needs a token (or listen on 127.0.0.1)")
        if token is not None and _TOKEN.fullmatch(token) is None:
            least = f"at least {TOKEN_CHARACTERS_MIN} printable ASCII characters without spaces"
            raise ProbeError(f"the token has {len(token)} characters; it must have {least}")
        self._ip = address.ip
        self._token = None if token is None else token.encode()
        self._hosts = frozenset(_host(name) for name in hosts)

    def knows(self, host: str) -> bool:
        """Whether a `Host` header names this address. Ports do not matter: they may be forwarded.

        Loopback is `localhost` and loopback addresses; any other is itself; where all addresses are listened on, every
        number is one of them, and `localhost`: other names can be made to lie.
        """
        found = _AUTHORITY.fullmatch(host)
        if found is None:
            return False
        name = (found["six"] or found["name"]).lower()
        if name in self._hosts:
            return True
        ip = _ip("127.0.0.1" if name == "localhost" else name)
        if ip is None:
            return False
        return self._ip.is_unspecified or ip == self._ip or (ip.is_loopback and self._ip.is_loopback)

    def admits(self, authorization: str) -> bool:
        """Whether an `Authorization` header bears the token; compared in a time that tells nothing of it."""
        if self._token is None:
            return True
        scheme, _, given = authorization.partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode("utf-8", "replace"), self._token)


def _ip(text: str) -> IPv4Address | IPv6Address | None:
    """An IPv4 address in IPv6's form is the IPv4 address: whether its form is loopback depends on Python's release."""
    try:
        ip = ip_address(text)
    except ValueError:
        return None
    return ip if isinstance(ip, IPv4Address) else ip.ipv4_mapped or ip


def _host(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise ProbeError(f"{name!r} is no host name; write it without scheme and port, as worker.example.com")
    return name.lower()
