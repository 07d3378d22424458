"""The table of errors, and what may stand in their texts."""

from __future__ import annotations

import asyncio

import botocore.exceptions as sdk
import pytest
from botocore.exceptions import ClientError

from esm.aws.errors import excerpt, from_sdk, service_error
from esm.errors import (
    IteratorExpiredError,
    PositionTrimmedError,
    SourceDeniedError,
    SourceError,
    SourceNotFoundError,
    SourceThrottledError,
)

KINDS = [
    ("ProvisionedThroughputExceededException", 400, SourceThrottledError),
    ("LimitExceededException", 400, SourceThrottledError),
    ("KMSThrottlingException", 400, SourceThrottledError),
    ("SomethingNew", 429, SourceThrottledError),
    ("AccessDeniedException", 400, SourceDeniedError),
    ("UnrecognizedClientException", 400, SourceDeniedError),
    ("ExpiredTokenException", 400, SourceDeniedError),
    ("InvalidSignatureException", 400, SourceDeniedError),
    ("KMSDisabledException", 400, SourceDeniedError),
    ("", 403, SourceDeniedError),
    ("ResourceNotFoundException", 400, SourceNotFoundError),
    ("ExpiredIteratorException", 400, IteratorExpiredError),
    ("TrimmedDataAccessException", 400, PositionTrimmedError),
    ("InvalidArgumentException", 400, SourceError),
    ("InternalFailure", 500, SourceError),
    ("", 503, SourceError),
]


@pytest.mark.parametrize(("code", "status", "kind"), KINDS)
def test_the_kind_of_a_code(code: str, status: int, kind: type[SourceError]) -> None:
    error = service_error(code, "words", status)
    assert type(error) is kind
    assert (error.code, error.message) == (code or f"Http{status}", "words")


@pytest.mark.parametrize(("code", "status", "kind"), [row for row in KINDS if row[0]])
def test_a_client_error_is_the_same_error(code: str, status: int, kind: type[SourceError]) -> None:
    response = {"Error": {"Code": code, "Message": "words"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error = from_sdk(ClientError(response, "GetRecords"))
    assert type(error) is kind
    assert (error.code, error.message) == (code, "words")


@pytest.mark.parametrize(
    "code",
    [
        "com.amazonaws.kinesis.v20131202#ExpiredIteratorException",
        "ExpiredIteratorException:http://internal.amazon.com/coral/com.amazonaws.kinesis/",
        "aws.kinesis#ExpiredIteratorException:http://x#y",
    ],
)
def test_namespaces_and_addresses_are_no_part_of_a_code(code: str) -> None:
    assert service_error(code, "").code == "ExpiredIteratorException"


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (sdk.ConnectTimeoutError(endpoint_url="http://h"), SourceError, "ConnectTimeout"),
        (sdk.ReadTimeoutError(endpoint_url="http://h"), SourceError, "ReadTimeout"),
        (sdk.EndpointConnectionError(endpoint_url="http://h"), SourceError, "ConnectionFailed"),
        (sdk.SSLError(endpoint_url="http://h", error="e"), SourceError, "TlsError"),
        (sdk.ProxyConnectionError(proxy_url="http://user:hunter2@h"), SourceError, "ConnectionFailed"),
        (sdk.ConnectionClosedError(endpoint_url="http://h"), SourceError, "ConnectionClosed"),
        (sdk.HTTPClientError(error="e"), SourceError, "ConnectionClosed"),
        (asyncio.IncompleteReadError(b"", 1), SourceError, "ConnectionClosed"),
        (TimeoutError(), SourceError, "ReadTimeout"),
        (OSError(), SourceError, "ConnectionFailed"),
        (sdk.NoCredentialsError(), SourceDeniedError, "NoCredentialsError"),
        (sdk.PartialCredentialsError(provider="env", cred_var="x"), SourceDeniedError, "PartialCredentialsError"),
        (sdk.CredentialRetrievalError(provider="p", error_msg="m"), SourceDeniedError, "CredentialRetrievalError"),
        (sdk.UnauthorizedSSOTokenError(), SourceDeniedError, "SSOError"),
        (sdk.NoRegionError(), SourceError, "NoRegionError"),
        (ZeroDivisionError("hunter2"), SourceError, "ZeroDivisionError"),
    ],
)
def test_the_sdks_own_exceptions(error: Exception, kind: type[SourceError], code: str) -> None:
    told = from_sdk(error)
    assert type(told) is kind
    assert told.code == code
    assert "hunter2" not in str(told)


def test_an_error_of_ours_stays_itself() -> None:
    error = SourceNotFoundError("ResourceNotFoundException", "gone")
    assert from_sdk(error) is error


def test_parameters_do_not_get_into_the_text() -> None:
    report = "Invalid type for parameter MessageBody, value: hunter2, type: <class 'int'>"
    told = from_sdk(sdk.ParamValidationError(report=report))
    assert told.code == "ParamValidationError"
    assert "hunter2" not in str(told)


def test_a_refused_signature_does_not_quote_the_request() -> None:
    message = (
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access "
        "Key. The Canonical String for this request should have been\n'POST\n/\n\nx-amz-security-token:hunter2'"
    )
    told = service_error("InvalidSignatureException", message)
    assert told.message == "The request signature we calculated does not match the signature you provided"
    assert "hunter2" not in str(told)


def test_keys_tokens_and_long_texts_are_cut() -> None:
    token = "IQoJb3JpZ2luX2VjE" * 20
    told = service_error("AccessDeniedException", f"User AKIAIOSFODNN7EXAMPLE with {token} may not read\nline two")
    assert told.message == "User ... with ... may not read"
    assert len(service_error("X", "long words " * 100).message) == 400


def test_only_markup_is_quoted() -> None:
    assert excerpt(b'{"Records":[{"Data":"aHVudGVyMg=="}]') == ""
    assert excerpt(b" <html>" + b"x" * 500) == "<html>" + "x" * 193
    assert excerpt(b"<\xff\xfe") == "<\ufffd\ufffd"
