"""What a failed call means: one table from AWS's error codes and the network's faults to the kinds of `SourceError`.

No text from here holds a payload or a credential: a service's message is its first line, without what looks like an
access key or a token, and an answer that is no service's at all (a proxy's page) is quoted for 200 bytes at most.
"""

from __future__ import annotations

import re

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from esm.errors import (
    IteratorExpiredError,
    PositionTrimmedError,
    SourceDeniedError,
    SourceError,
    SourceNotFoundError,
    SourceThrottledError,
)

__all__ = ["CLOCK_SKEW_CODES", "excerpt", "from_sdk", "kind_of", "refusal", "service_error", "unparsable"]

CLOCK_SKEW_CODES = frozenset({"InvalidSignatureException", "RequestExpired", "RequestTimeTooSkewed"})
"""Codes that a wrong clock leads to, among other things."""

EXCERPT_BYTES = 200
MESSAGE_CHARACTERS = 400

_KINDS: dict[type[SourceError], tuple[str, ...]] = {
    # https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html#API_GetRecords_Errors
    SourceThrottledError: (
        "BandwidthLimitExceeded",
        "KMSThrottlingException",
        "LimitExceededException",
        "OverLimit",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    ),
    # https://docs.aws.amazon.com/kinesis/latest/APIReference/CommonErrors.html; the last three lines: botocore's names
    SourceDeniedError: (
        "AccessDenied",
        "AccessDeniedException",
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "InvalidToken",
        "KMSAccessDeniedException",
        "KMSDisabledException",
        "KMSInvalidStateException",
        "KMSNotFoundException",
        "KMSOptInRequired",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "NotAuthorized",
        "OptInRequired",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "UnauthorizedOperation",
        "UnrecognizedClientException",
        "CredentialRetrievalError",
        "LoginError",
        "MetadataRetrievalError",
        "NoAuthTokenError",
        "NoCredentialsError",
        "PartialCredentialsError",
        "SSOError",
        "TokenRetrievalError",
        "UnknownCredentialError",
    ),
    SourceNotFoundError: (
        "AWS.SimpleQueueService.NonExistentQueue",
        "NoSuchBucket",
        "NotFound",
        "NotFoundException",
        "QueueDoesNotExist",
        "ResourceNotFoundException",
    ),
    IteratorExpiredError: ("ExpiredIteratorException",),
    PositionTrimmedError: ("TrimmedDataAccessException",),
}
_KIND_OF_CODE = {code: kind for kind, codes in _KINDS.items() for code in codes}
_KIND_OF_STATUS: dict[int, type[SourceError]] = {
    401: SourceDeniedError,
    403: SourceDeniedError,
    407: SourceDeniedError,
    429: SourceThrottledError,
}

# Names of exceptions of the SDK and of what lies under it, first match along their line of ancestors, and what our own
# plane calls the same fault.
_TRANSPORT = {
    "ConnectTimeoutError": ("ConnectTimeout", "no connection within the time allowed"),
    "ReadTimeoutError": ("ReadTimeout", "no whole answer within the time allowed"),
    "TimeoutError": ("ReadTimeout", "no whole answer within the time allowed"),
    "SSLError": ("TlsError", "the TLS handshake failed"),
    "ProxyConnectionError": ("ConnectionFailed", "the proxy cannot be reached"),
    "ConnectionError": ("ConnectionFailed", "the endpoint cannot be reached"),
    "HTTPClientError": ("ConnectionClosed", "the connection ended before the whole answer came"),
    "IncompleteReadError": ("ConnectionClosed", "the connection ended before the whole answer came"),
    "ClientPayloadError": ("ConnectionClosed", "the connection ended before the whole answer came"),
    "OSError": ("ConnectionFailed", "the endpoint cannot be reached"),
}
_SECRET = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b|[A-Za-z0-9+/=_-]{100,}")
_QUOTES_THE_REQUEST = frozenset({"InvalidSignatureException", "SignatureDoesNotMatch"})


def kind_of(code: str, status: int = 400) -> type[SourceError]:
    """The kind of a service's error code; of a code that is in no table, by the HTTP status it came with."""
    return _KIND_OF_CODE.get(code) or _KIND_OF_STATUS.get(status, SourceError)


def service_error(code: str, message: str, status: int = 400) -> SourceError:
    """A service's refusal. `code` may stand as on the wire, with a namespace before or an address behind it."""
    code = code.partition(":")[0].rpartition("#")[2] or f"Http{status}"
    return kind_of(code, status)(code, _harmless(code, message))


class _Refusal(msgspec.Struct):
    """An error's JSON. The name of the message differs from service to service."""

    type: str | None = msgspec.field(name="__type", default=None)
    code: str | None = None
    message: str | None = None
    Message: str | None = None


_REFUSAL = msgspec.json.Decoder(_Refusal)


def refusal(status: int, code: str, body: bytes) -> SourceError:
    """The error of an answer. `code`: as a header says it, "" where none does.

    https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html#operation-error-serialization
    """
    try:
        told = _REFUSAL.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        told = _Refusal(message=excerpt(body))
    message = told.message or told.Message or f"HTTP status {status}"
    return service_error(code or told.type or told.code or "", message, status)


def from_sdk(error: BaseException) -> SourceError:
    """An exception of the SDK, or of the network under it."""
    if isinstance(error, SourceError):
        return error
    if isinstance(error, ClientError):
        told = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
        return service_error(str(told.get("Code", "")), str(told.get("Message", "")), status)
    names = [ancestor.__name__ for ancestor in type(error).__mro__]
    for name in names:
        if name in _TRANSPORT:
            return SourceError(*_TRANSPORT[name])
        if name in _KIND_OF_CODE:
            return _KIND_OF_CODE[name](name, _harmless(name, str(error)))
    # The SDK's other complaints may quote what they were given. Its own fixed words do not.
    words = getattr(error, "fmt", "") if isinstance(error, BotoCoreError) else ""
    return SourceError(names[0], re.sub(r"\{[^}]*\}", "...", words) or "the SDK refused the call")


def excerpt(body: bytes) -> str:
    """The start of an answer that is a page of markup rather than a service's; "" for anything else."""
    start = body[:EXCERPT_BYTES].lstrip()
    return start.decode("utf-8", "replace") if start.startswith(b"<") else ""


def _harmless(code: str, message: str) -> str:
    """A service's message, fit for a log."""
    first = message.strip().partition("\n")[0]
    if code in _QUOTES_THE_REQUEST:
        # What follows is the request as it was signed, its session token included.
        first = first.partition(". ")[0]
    return _SECRET.sub("...", first)[:MESSAGE_CHARACTERS]


def unparsable(start: bytes, size: int, error: Exception) -> SourceError:
    """An answer of `size` bytes, or a part of one, that is not what it should be; `start`: the first of them."""
    return SourceError("UnparsableAnswer", f"{size} bytes: {excerpt(start) or error}")
