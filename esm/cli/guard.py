"""Real sources are read only on purpose."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from esm.cli.exits import Exit, Failure
from esm.mapping.settings import EventSourceMapping

__all__ = ["check"]

_AWS_HOSTS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".api.amazonwebservices.com.cn")


def check(mappings: Sequence[EventSourceMapping], endpoint_url: str | None, *, live: bool) -> None:
    """Nothing, when these may be read. Raises `Failure` that says what would have been."""
    if live or (endpoint_url is not None and not _is_aws(endpoint_url)):
        return
    sources = ", ".join(dict.fromkeys(mapping.event_source_arn for mapping in mappings))
    line = f"would read {sources} at AWS: add --live if that is meant, or --endpoint-url for a local AWS"
    raise Failure(Exit.GUARD, line)


def _is_aws(endpoint_url: str) -> bool:
    host = urlsplit(endpoint_url).hostname or ""
    return host.endswith(_AWS_HOSTS)
