"""IP addresses in text, and blocks of them, as event patterns read both."""

from __future__ import annotations

import re
from ipaddress import IPv6Address

__all__ = ["Address", "address", "network"]

Address = tuple[int, int]
"""The width in bits (32 or 128) and the number."""

_V4 = re.compile(r"[0-9]{1,10}\.[0-9]{1,10}\.[0-9]{1,10}\.[0-9]{1,10}")
_V6 = re.compile(r"[0-9a-fA-F:]*:[0-9a-fA-F:]*")
_LONGEST = 43  # four octets of ten digits; an IPv6 address has at most 39 characters


def address(text: str) -> Address | None:
    """The address that a text writes; `None` when it writes none."""
    if len(text) > _LONGEST:
        return None
    if _V4.fullmatch(text):
        octets = [int(part) for part in text.split(".")]
        return (32, int.from_bytes(octets)) if max(octets) <= 255 else None  # noqa: PLR2004  # an octet's greatest value
    return _v6(text) if _V6.fullmatch(text) else None


def _v6(text: str) -> Address | None:
    try:
        parsed = IPv6Address(text)
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped  # the same machine, so the same address; EventBridge's platform sees it so too
    return (128, int(parsed)) if mapped is None else (32, int(mapped))


def network(text: str) -> tuple[int, int, int]:
    """Width, lowest and highest number of a block in CIDR notation. Raises `ValueError` when it is none."""
    head, slash, bits = text.partition("/")
    base = address(head)
    if not slash or base is None:
        msg = "the part before the slash is no address" if slash else "a slash is missing"
        raise ValueError(msg)
    width, number = base
    if not bits.isdecimal() or len(bits) > 3 or int(bits) > width:  # noqa: PLR2004  # 128 has three digits
        msg = f"the mask has to be 0 to {width}"
        raise ValueError(msg)
    free = (1 << (width - int(bits))) - 1
    return width, number & ~free, number | free
