"""Where a message comes from, in the words of distributed tracing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from esm.records.sqs import SqsMessage

__all__ = ["traceparents"]

_W3C = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?", re.ASCII)
_XRAY_ROOT = re.compile(r"1-([0-9a-f]{8})-([0-9a-f]{24})", re.ASCII)
_XRAY_PARENT = re.compile(r"[0-9a-f]{16}", re.ASCII)


def traceparents(messages: Iterable[SqsMessage]) -> tuple[str, ...]:
    """The context of each message that has one, as W3C's `traceparent`; in order, each once.

    Read from the system attribute `AWSTraceHeader` and from a message attribute `traceparent`. What is not well-formed
    is none: nothing else of a message gets through here.
    https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
    https://www.w3.org/TR/trace-context/#traceparent-header
    """
    return tuple(dict.fromkeys(text for message in messages for text in _of(message)))


def _of(message: SqsMessage) -> Iterator[str]:
    header = _from_xray(message.attributes.get("AWSTraceHeader", ""))
    if header is not None:
        yield header
    attribute = message.message_attributes.get("traceparent")
    sent = _from_w3c(attribute.string_value or "") if attribute is not None else None
    if sent is not None:
        yield sent


def _from_xray(header: str) -> str | None:
    parts = dict(part.strip().partition("=")[::2] for part in header.split(";"))
    root, parent = _XRAY_ROOT.fullmatch(parts.get("Root", "")), _XRAY_PARENT.fullmatch(parts.get("Parent", ""))
    if root is None or parent is None:
        return None
    return _written(root[1] + root[2], parent[0], "01" if parts.get("Sampled") == "1" else "00")


def _from_w3c(text: str) -> str | None:
    found = _W3C.fullmatch(text.strip())
    return None if found is None else _written(found[1], found[2], found[3])


def _written(trace: str, span: str, flags: str) -> str | None:
    """An id of zeros is invalid."""
    return f"00-{trace}-{span}-{flags}" if trace.strip("0") and span.strip("0") else None
