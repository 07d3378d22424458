"""What is redacted is gone, keeps its shape, and leaves the rest as it was."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from hashlib import md5
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esm.records.recording import RecordedChange, RecordedKinesis, RecordedMessage
from esm.records.redaction import REDACTED, Redaction


def through(data: Any, *paths: str) -> Any:
    text = data if isinstance(data, bytes) else json.dumps(data).encode()
    record = RecordedKinesis("s", "1", "k", 1.0, b64encode(text).decode())
    read = Redaction(paths).applied(record)
    assert isinstance(read, RecordedKinesis)
    return json.loads(b64decode(read.data))


CASES: list[tuple[str, Any, Any]] = [
    ("$.a", {"a": "x", "b": "y"}, {"a": REDACTED, "b": "y"}),
    ("$['a']", {"a": 12.5}, {"a": 0}),
    ('$["a b"]', {"a b": True}, {"a b": False}),
    ("$.a", {"a": {"b": ["x", 1, None, True]}}, {"a": {"b": [REDACTED, 0, None, False]}}),
    ("$.l[1]", {"l": ["x", "y", "z"]}, {"l": ["x", REDACTED, "z"]}),
    ("$.l[*].p", {"l": [{"p": "1", "q": "2"}, {"p": "3"}]}, {"l": [{"p": REDACTED, "q": "2"}, {"p": REDACTED}]}),
    ("$.*", {"a": "x", "b": 2}, {"a": REDACTED, "b": 0}),
    ("$..e", {"e": "x", "d": [{"e": "y", "f": "z"}]}, {"e": REDACTED, "d": [{"e": REDACTED, "f": "z"}]}),
    ("$..e", {"e": {"e": "x", "f": "y"}}, {"e": {"e": REDACTED, "f": REDACTED}}),
    ("$", ["x"], [REDACTED]),
    ("$.missing.path", {"a": "x"}, {"a": "x"}),
    ("$.N", {"N": "kept as text"}, {"N": REDACTED}),
]


@pytest.mark.parametrize(("path", "data", "left"), CASES)
def test_a_path(path: str, data: Any, left: Any) -> None:
    assert through(data, path) == left


def test_other_numbers_keep_their_digits() -> None:
    record = RecordedKinesis(
        "s", "1", "k", 1.0, b64encode(b'{"a":1.10,"b":123456789012345678901234567890,"c":"x"}').decode()
    )
    read = Redaction(["$.c"]).applied(record)
    assert isinstance(read, RecordedKinesis)
    assert b64decode(read.data) == b'{"a":1.10,"b":123456789012345678901234567890,"c":"[redacted]"}'


def test_a_name_at_any_depth_is_looked_for_in_json_text_within_text() -> None:
    text = json.dumps({"order": {"email": "x@example.org", "n": 1}})
    sns = {"Type": "Notification", "Message": text, "Other": "{no json"}
    read = through(sns, "$..email")
    assert json.loads(read["Message"]) == {"order": {"email": REDACTED, "n": 1}}
    assert read["Other"] == "{no json"
    twice = through({"Message": '{"a":{"email":"x"},"a":1}'}, "$..email")
    assert twice == {"Message": '{"a":1}'}
    assert through(sns, "$.email") == sns


# A scalar is plain text to Lambda, and no JSON.
@pytest.mark.parametrize("data", ["4111111111111111", '"x@example.org"', "not json", "{", "\N{GRINNING FACE}"])
def test_what_is_no_json_goes_as_a_whole(data: str) -> None:
    record = RecordedKinesis("s", "1", "k", 1.0, b64encode(data.encode()).decode())
    read = Redaction(["$.a"]).applied(record)
    assert isinstance(read, RecordedKinesis)
    assert b64decode(read.data).decode() == REDACTED


def test_what_is_no_base64_goes_as_a_whole() -> None:
    read = Redaction(["$.a"]).applied(RecordedKinesis("s", "1", "k", 1.0, "*"))
    assert isinstance(read, RecordedKinesis)
    assert b64decode(read.data).decode() == REDACTED


def test_an_item_keeps_its_type_tags() -> None:
    image = {
        "id": {"S": "7"},
        "age": {"N": "41"},
        "photo": {"B": "aGk="},
        "tags": {"NS": ["1", "2"]},
        "name": {"S": "x"},
    }
    record = RecordedChange(
        "s", "1", msgspec.Raw(b'{"id":{"S":"7"}}'), new_image=msgspec.Raw(json.dumps(image).encode())
    )
    paths = ["$.NewImage.age", "$.NewImage.photo", "$.NewImage.tags", "$..id"]
    read = Redaction(paths).applied(record)
    assert isinstance(read, RecordedChange)
    assert json.loads(bytes(read.keys)) == {"id": {"S": REDACTED}}
    assert read.old_image is msgspec.UNSET
    assert isinstance(read.new_image, msgspec.Raw)
    left = {
        "id": {"S": REDACTED},
        "age": {"N": "0"},
        "photo": {"B": ""},
        "tags": {"NS": ["0", "0"]},
        "name": {"S": "x"},
    }
    assert json.loads(bytes(read.new_image)) == left


def test_the_sum_of_a_body_is_that_of_what_is_left() -> None:
    read = Redaction(["$.card"]).applied(RecordedMessage("m", "h", '{"card":"4111"}', "before"))
    assert isinstance(read, RecordedMessage)
    assert json.loads(read.body) == {"card": REDACTED}
    assert read.md5_of_body == md5(read.body.encode(), usedforsecurity=False).hexdigest()


def test_without_paths_nothing_is_touched() -> None:
    record = RecordedKinesis("s", "1", "k", 1.0, "no base64")
    assert Redaction([]).applied(record) is record


@pytest.mark.parametrize("path", ["", "a", ".a", "$.", "$a", "$.a[", "$.a[?(@.b)]", "$[a]", "$..", "$...a", "$.a b"])
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(ValueError, match="is no JSON path"):
        Redaction([path])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.just("secret"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=10,
)


@given(JSON)
def test_nothing_is_left_of_what_is_named_at_any_depth(value: Any) -> None:
    assert "secret" not in json.dumps(through({"a": value}, "$..a"))
    assert through({"b": value}, "$.a") == {"b": value}


@pytest.mark.parametrize("depth", [150, 300, 900, 100_000])
def test_deep_data_leak_nothing(depth: int) -> None:
    data = b'{"a":' * depth + b'"secret"' + b"}" * depth
    record = RecordedKinesis("s", "1", "k", 1.0, b64encode(data).decode())
    read = Redaction(["$.a.a"]).applied(record)
    assert isinstance(read, RecordedKinesis)
    assert b"secret" not in b64decode(read.data)
