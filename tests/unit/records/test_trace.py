"""Where messages come from: only what is well-formed gets through."""

from __future__ import annotations

import pytest

from esm.records.sqs import MessageAttribute, SqsMessage
from esm.records.trace import traceparents

TRACE, SPAN = "5759e988bd862e3fe1be46a994272793", "53995c3f42cd8ad8"
XRAY = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
W3C = f"00-{TRACE}-{SPAN}-01"


def message(header: str | None = None, sent: str | None = None) -> SqsMessage:
    return SqsMessage(
        message_id="1",
        receipt_handle="r",
        attributes={} if header is None else {"AWSTraceHeader": header},
        message_attributes={} if sent is None else {"traceparent": MessageAttribute(string_value=sent)},
    )


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (XRAY, W3C),
        (f"Self=1-1-2; {XRAY.replace(';', ' ; ')}", W3C),
        (XRAY.replace("Sampled=1", "Sampled=0"), f"00-{TRACE}-{SPAN}-00"),
        (XRAY.replace(";Sampled=1", ";Lineage=1:2|3:4"), f"00-{TRACE}-{SPAN}-00"),
    ],
)
def test_an_xray_header(header: str, expected: str) -> None:
    assert traceparents([message(header)]) == (expected,)


@pytest.mark.parametrize(
    "header",
    [
        "",
        ";;=",
        "Root=1-5759e988-bd862e3fe1be46a994272793",
        XRAY.replace("1-", "2-"),
        XRAY + "\n;Parent=canary",
        XRAY.replace("53995c3f42cd8ad8", "0" * 16),
    ],
)
def test_a_header_that_names_no_parent_is_none(header: str) -> None:
    assert traceparents([message(header)]) == ()


@pytest.mark.parametrize("text", [W3C, f" {W3C} ", f"cc-{TRACE}-{SPAN}-01-what-the-future-brings"])
def test_a_traceparent_of_the_sender(text: str) -> None:
    assert traceparents([message(sent=text)]) == (W3C,)


@pytest.mark.parametrize(
    "text",
    ["", "canary", f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01\ncanary", W3C.upper()],
)
def test_a_traceparent_that_is_none(text: str) -> None:
    assert traceparents([message(sent=text)]) == ()


def test_a_binary_attribute_of_that_name_is_none() -> None:
    binary = SqsMessage("1", "r", message_attributes={"traceparent": MessageAttribute("Binary", None, "eA==")})
    assert traceparents([binary]) == ()


def test_each_context_once_and_in_order() -> None:
    other = W3C.replace(SPAN, "1" * 16)
    assert traceparents([message(XRAY, W3C), message(), message(sent=other), message(XRAY)]) == (W3C, other)
