"""Messages as they come, and as they stand in an event."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esm.mapping.limits import INVOCATION_PAYLOAD_BYTES
from esm.records.recording import RecordedMessage
from esm.records.sqs import SMALL, MessageAttribute, SqsEventShape, SqsMessage

ARN = "arn:aws:sqs:eu-west-1:123456789012:orders"
WIRE = {
    "MessageId": "m-1",
    "ReceiptHandle": "h-1",
    "MD5OfBody": "5d41402abc4b2a76b9719d911017c592",
    "MD5OfMessageAttributes": "00484c68597af2e8f5d4f0a8d4a4a6b4",
    "Body": "hello",
    "Attributes": {"SenderId": "A", "SentTimestamp": "1", "ApproximateReceiveCount": "1", "MessageGroupId": "g"},
    "MessageAttributes": {
        "n": {"StringValue": "7", "DataType": "Number.int"},
        "b": {"BinaryValue": "AAE=", "DataType": "Binary"},
    },
    "SomethingNew": 1,
}


def message(**changes: Any) -> SqsMessage:
    return msgspec.json.decode(msgspec.json.encode(WIRE | changes), type=SqsMessage)


def shape(*, windowed: bool = False) -> SqsEventShape:
    return SqsEventShape(event_source_arn=ARN, region="eu-west-1", windowed=windowed)


def test_an_item_has_the_names_that_lambda_gives() -> None:
    assert shape().item(message()) == {
        "messageId": "m-1",
        "receiptHandle": "h-1",
        "body": "hello",
        "attributes": WIRE["Attributes"],
        "messageAttributes": {
            "n": {"stringValue": "7", "stringListValues": [], "binaryListValues": [], "dataType": "Number.int"},
            "b": {"binaryValue": "AAE=", "stringListValues": [], "binaryListValues": [], "dataType": "Binary"},
        },
        "md5OfMessageAttributes": WIRE["MD5OfMessageAttributes"],
        "md5OfBody": WIRE["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": ARN,
        "awsRegion": "eu-west-1",
    }


@pytest.mark.parametrize("absent", [None, ""])
def test_without_attributes_their_sum_is_absent_or_with_a_window_null(absent: str | None) -> None:
    plain = message(MessageAttributes={}, MD5OfMessageAttributes=absent)
    assert "md5OfMessageAttributes" not in shape().item(plain)
    assert shape(windowed=True).item(plain)["md5OfMessageAttributes"] is None


def test_an_event_is_new_each_time() -> None:
    one, kept = shape(), message()
    event = one.event([kept])
    event["Records"][0]["attributes"].clear()
    event["Records"][0]["messageAttributes"].clear()
    assert one.event([kept])["Records"][0] == one.item(message())


def test_with_a_window_sizes_are_those_of_the_event() -> None:
    messages = [message(), message(Body='é"\n', MessageAttributes={})]
    text = msgspec.json.encode(shape(windowed=True).event(messages))
    assert sum(shape(windowed=True).sizes(messages)) + len('{"Records":[]}') - 1 == len(text)


def test_without_a_window_small_messages_are_measured_about() -> None:
    of, plain = shape(), message(MessageAttributes={}, MD5OfMessageAttributes=None, MessageId="0" * 36)
    (about,) = of.sizes([plain])
    assert abs(about - of.size(plain)) < 100
    large = [message(MessageAttributes={}, Body=body) for body in ('"' * (SMALL + 1), "é" * 99)]
    exact = [message(), *large]
    assert of.sizes(exact) == [of.size(each) for each in exact]


def test_ten_messages_that_are_measured_about_never_fill_an_event() -> None:
    largest = message(MessageAttributes={}, Body="\x01" * SMALL, ReceiptHandle="h" * 1000)
    largest.attributes = dict.fromkeys(largest.attributes, "x" * 500)
    assert 10 * shape().size(largest) < INVOCATION_PAYLOAD_BYTES


def test_beside_a_large_message_small_ones_are_measured_exactly() -> None:
    of, large, small = (
        shape(),
        message(MessageAttributes={}, Body="x" * (1 << 20)),
        message(MessageAttributes={}, Body='"' * SMALL),
    )
    messages = [large] * 5 + [small] * 5
    assert of.sizes(messages) == [of.size(each) for each in messages]
    assert of.sizes(messages[5:]) != [of.size(each) for each in messages[5:]]


def test_a_group_is_of_the_system_attributes() -> None:
    assert message().group == "g"
    assert message(Attributes={}).group == ""


@pytest.mark.parametrize("name", ["MessageId", "ReceiptHandle"])
def test_what_cannot_be_settled_is_no_message(name: str) -> None:
    wire = {key: value for key, value in WIRE.items() if key != name}
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(wire), type=SqsMessage)


ATTRIBUTE = st.builds(MessageAttribute, st.text(), st.none() | st.text(), st.none() | st.text())


def messages_of(kind: type[SqsMessage]) -> st.SearchStrategy[SqsMessage]:
    return st.builds(
        kind,
        message_id=st.text(),
        receipt_handle=st.text(),
        body=st.text(),
        md5_of_body=st.text(),
        attributes=st.dictionaries(st.text(), st.text()),
        message_attributes=st.dictionaries(st.text(), ATTRIBUTE, max_size=2),
        md5_of_message_attributes=st.none() | st.just("") | st.text(),
    )


@given(message=messages_of(SqsMessage) | messages_of(RecordedMessage), windowed=st.booleans())
def test_a_size_is_that_of_the_item_whether_or_not_one_is_built(message: SqsMessage, windowed: bool) -> None:
    of = shape(windowed=windowed)
    assert of.size(message) == len(msgspec.json.encode(of.item(message))) + 1
