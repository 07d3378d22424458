"""Our signatures against botocore's, over random requests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from hypothesis import given
from hypothesis import strategies as st

from esm.aws.signing import Credentials, Signer

words = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=40)
secrets = st.text("ABCXYZabcxyz0189+/=_-", min_size=1, max_size=80)
credentials = st.builds(Credentials, words, secrets, st.none() | secrets)
hosts = st.sampled_from(
    ["kinesis.eu-west-1.amazonaws.com", "127.0.0.1", "[::1]", "localhost", "xn--mnchen-3ya.example"]
)
ports = st.none() | st.integers(1, 65535)
paths = st.sampled_from(["", "/", "/kinesis", "/a/b~c/", "/a%20b", "/$x"])
moments = st.integers(0, 4_000_000_000)


def headers_of(head: bytes) -> dict[str, str]:
    lines = head.decode().split("\r\n")
    assert lines[-2:] == ["", ""]
    return dict(line.split(": ", 1) for line in lines[1:-2])


class Service(NamedTuple):
    scheme: str
    host: str
    port: int | None
    path: str
    name: str
    region: str
    content_type: str

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}{f':{self.port}' if self.port else ''}{self.path}"


services = st.builds(
    Service,
    st.sampled_from(["http", "https"]),
    hosts,
    ports,
    paths,
    words,
    words,
    st.sampled_from(["application/x-amz-json-1.0", "application/x-amz-json-1.1"]),
)
calls = st.lists(st.tuples(credentials, words, st.binary(max_size=2000), moments), min_size=1, max_size=5)


def botocore_signature(service: Service, keys: Credentials, headers: dict[str, str], body: bytes) -> str:
    signed = {name: value for name, value in headers.items() if name not in {"Authorization", "Content-Length"}}
    request = AWSRequest("POST", service.url, signed, body)
    request.context["timestamp"] = headers["X-Amz-Date"]
    auth = SigV4Auth(keys, service.name, service.region)
    text = auth.string_to_sign(request, auth.canonical_request(request))
    names = auth.signed_headers(auth.headers_to_sign(request))
    signature = auth.signature(text, request)
    return f"AWS4-HMAC-SHA256 Credential={auth.scope(request)}, SignedHeaders={names}, Signature={signature}"


@given(service=services, calls=calls)
def test_the_same_signature_as_botocore(service: Service, calls: list[tuple[Credentials, str, bytes, int]]) -> None:
    signer = Signer(
        service.url,
        service=service.name,
        region=service.region,
        content_type=service.content_type,
        user_agent="agent/1 x",
    )
    for keys, target, body, moment in [*calls, *calls]:
        headers = headers_of(signer.head(keys, target, body, moment))
        assert headers["X-Amz-Date"] == datetime.fromtimestamp(moment, UTC).strftime("%Y%m%dT%H%M%SZ")
        assert headers["X-Amz-Target"] == target
        assert headers.get("X-Amz-Security-Token") == keys.token
        assert headers["Content-Length"] == str(len(body))
        assert headers["Authorization"] == botocore_signature(service, keys, headers, body)


@pytest.mark.parametrize(
    ("url", "host", "line"),
    [
        ("https://kinesis.eu-west-1.amazonaws.com", "kinesis.eu-west-1.amazonaws.com", "POST / HTTP/1.1"),
        ("https://example.com:443/", "example.com", "POST / HTTP/1.1"),
        ("http://example.com:443/", "example.com:443", "POST / HTTP/1.1"),
        ("http://user:pass@localhost:4566/a/b", "localhost:4566", "POST /a/b HTTP/1.1"),
    ],
)
def test_host_and_request_line(url: str, host: str, line: str) -> None:
    signer = Signer(url, service="kinesis", region="eu-west-1", content_type="application/x-amz-json-1.1")
    head = signer.head(Credentials("AKIDEXAMPLE", "secret"), "T.Op", b"{}", 1_700_000_000)
    assert head.decode().split("\r\n")[0] == line
    assert headers_of(head)["Host"] == host
    assert urlsplit(url).path in line


def test_what_was_kept_for_old_credentials_is_not_used_for_new_ones() -> None:
    def signer() -> Signer:
        return Signer("http://h", service="kinesis", region="r", content_type="c")

    one, two = Credentials("A", "one", "t"), Credentials("A", "two", "t")
    kept = signer()
    kept.head(one, "T", b"", 5)
    assert kept.head(two, "T", b"", 5) == signer().head(two, "T", b"", 5)
    assert kept.head(one, "T", b"", 86_400) == signer().head(one, "T", b"", 86_400)
    assert kept.head(one, "T", b"", 86_399) == signer().head(one, "T", b"", 86_399)


@pytest.mark.parametrize("change", ["nothing", "target", "body", "seconds", "credentials"])
def test_what_is_sent_again_is_signed_as_by_a_new_signer(change: str) -> None:
    def signer() -> Signer:
        return Signer("https://sqs.example", service="sqs", region="eu-west-1", content_type="json")

    mine, theirs = Credentials("A", "secret"), Credentials("A", "another")
    first = (mine, "T.Receive", b"{}", 1_700_000_000)
    again = {
        "nothing": first,
        "target": (mine, "T.Delete", b"{}", 1_700_000_000),
        "body": (mine, "T.Receive", b"[]", 1_700_000_000),
        "seconds": (mine, "T.Receive", b"{}", 1_700_000_001),
        "credentials": (theirs, "T.Receive", b"{}", 1_700_000_000),
    }[change]
    one = signer()
    before = one.head(*first)
    after = one.head(*again)
    assert after == signer().head(*again)
    assert (after is before) == (change == "nothing")
    assert one.head(*first) == before
