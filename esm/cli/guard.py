"""Real sources are read only on purpose."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from socket import AI_NUMERICHOST, getaddrinfo
from urllib.parse import urlsplit

from esm.cli.exits import Exit, Failure
from esm.mapping.settings import EventSourceMapping

__all__ = ["check", "check_enabled", "check_sources", "is_aws", "shown"]

_METADATA = IPv6Address("fd00:ec2::254")
"""https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html"""
_AWS_HOSTS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".api.amazonwebservices.com.cn")


def check(mappings: Sequence[EventSourceMapping], endpoint_url: str | None, *, live: bool) -> None:
    """Nothing, when these may be read. Raises `Failure`: what would have been, or what the URL lacks."""
    sources = [mapping.event_source_arn for mapping in mappings if mapping.source_kind != "file"]
    if sources or endpoint_url is not None:
        check_sources(sources, endpoint_url, live=live or not sources)


def check_sources(sources: Iterable[str], endpoint_url: str | None, *, live: bool) -> None:
    """The same for sources by their names."""
    if endpoint_url is not None:
        _check_url(endpoint_url)
        _check_address(endpoint_url)
    if live or (endpoint_url is not None and not is_aws(endpoint_url)):
        return
    named = ", ".join(dict.fromkeys(sources))
    line = f"would read {named} at AWS: add --live if that is meant, or --endpoint-url for a local AWS"
    raise Failure(Exit.GUARD, line)


def check_enabled(mappings: Sequence[EventSourceMapping]) -> None:
    """Nothing, when there is something to run. Raises `Failure`."""
    if not any(mapping.enabled for mapping in mappings):
        names = ", ".join(dict.fromkeys(mapping.function.qualified_name for mapping in mappings))
        raise Failure(Exit.INVALID, f"nothing to run: every mapping has enabled=False ({names})")


def shown(endpoint_url: str) -> str:
    """The URL without what may be secret: user, password, query."""
    parts = urlsplit(endpoint_url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _check_url(endpoint_url: str) -> None:
    if endpoint_url != "".join(endpoint_url.split()) or not endpoint_url.isprintable():
        line = f"--endpoint-url={endpoint_url!r}: there is a space or a line's end in it; AWS_ENDPOINT_URL may be why"
        raise Failure(Exit.INVALID, line)
    try:
        parts = urlsplit(endpoint_url)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        whole = False
    if not whole:
        where = endpoint_url.rpartition("@")[2]
        hint = "" if "//" in where else f"; perhaps http://{where}"
        raise Failure(
            Exit.INVALID, f"--endpoint-url={where!r}: write scheme and host, as in http://127.0.0.1:4566{hint}"
        )


def _check_address(endpoint_url: str) -> None:
    """No request of ours goes where machines keep their credentials: 169.254.169.254 and its like."""
    address = _address(_host(endpoint_url))
    if address is not None and (address.is_link_local or address == _METADATA):
        line = f"--endpoint-url={shown(endpoint_url)}: a link-local address holds a machine's metadata, and no AWS"
        raise Failure(Exit.GUARD, line)


def _address(host: str) -> IPv4Address | IPv6Address | None:
    """What the system takes it for, also when it is written as one number or in IPv6's form; `None`: it is a name."""
    try:
        (_, _, _, _, where), *_ = getaddrinfo(host, None, flags=AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return None
    address = ip_address(str(where[0]).partition("%")[0])  # without the interface it is reached by
    return address if isinstance(address, IPv4Address) else address.ipv4_mapped or address


def _host(endpoint_url: str) -> str:
    """The host as it is looked for: letters that stand for others are those, and its last dot says nothing."""
    host = urlsplit(endpoint_url).hostname or ""
    with suppress(UnicodeError):
        host = host.encode("idna").decode()
    return host.rstrip(".")


def is_aws(endpoint_url: str) -> bool:
    """Whether an endpoint is AWS's own."""
    return _host(endpoint_url).endswith(_AWS_HOSTS)
