"""The data plane: calls of a JSON service, decoded straight into what the library holds.

Two planes do the same. `FastPlane` signs, sends and decodes by itself; `SdkPlane` (esm.aws.fallback) goes through the
whole SDK, for what only the SDK can do. Same bytes out, same values and errors in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, Protocol, TypeAlias, TypeVar

import msgspec

from esm.aws.connection import Answer, Headers, StaleError, header
from esm.aws.credentials import CredentialSource
from esm.aws.errors import CLOCK_SKEW_CODES, excerpt, service_error, unparsable
from esm.aws.http import HttpEndpoint
from esm.aws.parts import UNPARSABLE, InParts
from esm.aws.signing import Credentials, Signer
from esm.clock import Millis
from esm.errors import SourceDeniedError, SourceError
from esm.reply import Reply, reply_of

__all__ = ["DataPlane", "Decoder", "FastPlane", "read_answer", "time_of"]

T = TypeVar("T")

Decoder: TypeAlias = "msgspec.json.Decoder[T] | InParts[Any]"
"""What makes something of an answer: of all of it at once, or of one that is large, part by part."""

MIN_SHIFT_MS = 30_000
"""A clock that is wrong by less is not why a signature was refused: AWS allows 5 minutes. (chosen)"""


class DataPlane(Protocol):
    """Calls one service in one region."""

    @property
    def reason(self) -> str:
        """Why this is the SDK's plane; "" for the fast one."""
        ...

    @property
    def answered_at(self) -> Millis | None:
        """The service's time in the newest answer, rounded down to a second; `None`: it does not say."""
        ...

    def call(self, operation: str, parameters: dict[str, Any], decoder: Decoder[T]) -> Awaitable[tuple[T, int]]:
        """The decoded answer, and its bytes on the wire.

        `operation`: AWS's name of it; `parameters`: values of its JSON, times in epoch seconds. Raises `SourceError`,
        one of its kinds, and nothing else.
        """
        ...

    async def close(self) -> None:
        """Ends its connections."""
        ...


class FastPlane:
    """Own signing, own connections, no copy of the answer."""

    reason = ""

    def __init__(
        self,
        endpoint: HttpEndpoint,
        signer: Signer,
        credentials: CredentialSource,
        *,
        target_prefix: str,
        now: Callable[[], Millis],
        timeout: float = 10.0,
    ) -> None:
        self._endpoint, self._signer, self._credentials = endpoint, signer, credentials
        self._target_prefix = target_prefix + "."
        self._now, self._timeout = now, timeout
        self._shift: Millis = 0  # what the service's clock is ahead of ours
        self._encoder = msgspec.json.Encoder()
        self._newest: Headers = []

    @property
    def answered_at(self) -> Millis | None:
        """The service's time in the newest answer, rounded down to a second; `None`: it does not say."""
        return time_of(self._newest)

    def call(self, operation: str, parameters: dict[str, Any], decoder: Decoder[T]) -> Reply[tuple[T, int]]:
        """The decoded answer, and its bytes on the wire. A wrong clock is corrected once, by the service's.

        Begun at once, without a task, where credentials are known and a connection is open, as nearly always.
        """
        target = self._target_prefix + operation
        body, read = self._encoder.encode(parameters), partial(self._read, decoder)
        credentials = self._credentials.known()
        if credentials is not None and self._endpoint.ready:
            reply = self._endpoint.ask(self._signed(credentials, target, body), self._timeout, read)
            if reply is not None:
                reply.rescue = partial(self._rescue, target, body, read, self._shift)
                return reply
        return reply_of(self._call(target, body, read))

    async def close(self) -> None:
        """Ends its connections."""
        await self._endpoint.close()

    def _rescue(
        self, target: str, body: bytes, read: Callable[[Answer], T], shift: Millis, error: Exception
    ) -> Coroutine[Any, Any, T] | None:
        """What is done about the error of a call that was begun at once."""
        if isinstance(error, StaleError):
            return self._call(target, body, read, anew=True)
        return self._send(target, body, read) if self._was_corrected(error, shift) else None

    async def _call(self, target: str, body: bytes, read: Callable[[Answer], T], *, anew: bool = False) -> T:
        shift = self._shift
        try:
            return await self._send(target, body, read, anew=anew)
        except SourceDeniedError as error:
            if not self._was_corrected(error, shift):
                raise
        return await self._send(target, body, read)

    def _was_corrected(self, error: Exception, shift: Millis) -> bool:
        """Whether it came of our clock, which is right now. Credentials that are refused are looked for anew."""
        if not isinstance(error, SourceDeniedError):
            return False
        corrected = error.code in CLOCK_SKEW_CODES and self._shift != shift
        if not corrected:
            self._credentials.refuse()
        return corrected

    async def _send(self, target: str, body: bytes, read: Callable[[Answer], T], *, anew: bool = False) -> T:
        credentials = await self._credentials.current()
        return await self._endpoint.send(self._signed(credentials, target, body), self._timeout, read, anew=anew)

    def _signed(self, credentials: Credentials, target: str, body: bytes) -> bytes:
        return self._signer.head(credentials, target, body, (self._now() + self._shift) // 1000) + body

    def _read(self, decoder: Decoder[T], answer: Answer) -> tuple[T, int]:
        self._newest = answer.headers
        try:
            return read_answer(answer, decoder)
        except SourceDeniedError as error:
            if error.code in CLOCK_SKEW_CODES:
                self._correct(time_of(answer.headers))
            raise

    def _correct(self, theirs: Millis | None) -> None:
        """Our clock is wrong: the service's moves it, unless that is no reason to refuse a signature."""
        if theirs is not None:
            shift = theirs - self._now()
            if abs(shift - self._shift) > MIN_SHIFT_MS:
                self._shift = shift


def read_answer(answer: Answer, decoder: Decoder[T]) -> tuple[T, int]:
    """What a service answered, and its bytes. Raises `SourceError` for a refusal and for what does not parse."""
    body = answer.body
    if answer.status != 200:  # noqa: PLR2004  (HTTP's own)
        raise _refusal(answer)
    size = len(body)
    try:
        value = decoder.read(answer) if isinstance(decoder, InParts) else decoder.decode(body)
    except UNPARSABLE as error:
        raise unparsable(bytes(body[:512]), size, error) from None
    return value, size


def time_of(headers: Headers) -> Millis | None:
    """When the service gave an answer, by its own clock and in whole seconds; `None`: it does not say.

    https://www.rfc-editor.org/rfc/rfc9110#name-date
    """
    try:
        date = parsedate_to_datetime(header(headers, b"date"))
    except (ValueError, OverflowError):
        return None
    # One of its forms names no zone, and is of Greenwich all the same.
    return round((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()) * 1000


class _Refusal(msgspec.Struct):
    """An error's JSON. The name of the message differs from service to service."""

    type: str | None = msgspec.field(name="__type", default=None)
    code: str | None = None
    message: str | None = None
    Message: str | None = None


_REFUSAL = msgspec.json.Decoder(_Refusal)


def _refusal(answer: Answer) -> SourceError:
    body = bytes(answer.body)
    try:
        told = _REFUSAL.decode(body)
    except UNPARSABLE:
        told = _Refusal(message=excerpt(body))
    # https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html#operation-error-serialization
    code = answer.header(b"x-amzn-errortype") or told.type or told.code or ""
    return service_error(code, told.message or told.Message or f"HTTP status {answer.status}", answer.status)
