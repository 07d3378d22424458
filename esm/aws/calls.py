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

from esm.aws import calling
from esm.aws.connection import Answer, Headers, StaleError, header
from esm.aws.credentials import CredentialSource
from esm.aws.errors import CLOCK_SKEW_CODES, refusal, unparsable
from esm.aws.http import HttpEndpoint
from esm.aws.parts import UNPARSABLE, InParts
from esm.aws.signing import Credentials, Signer
from esm.clock import Millis
from esm.errors import SourceDeniedError

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

    def close(self) -> Coroutine[Any, Any, None]:
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
        self.endpoint, self.credentials, self.timeout = endpoint, credentials, timeout
        self.shift: Millis = 0  # what the service's clock is ahead of ours
        self._pool, self._signer, self._now = endpoint.pool, signer, now
        self._time = endpoint.time
        self._target_prefix = target_prefix + "."
        self._encode = msgspec.json.Encoder().encode
        self._newest: Headers = []

    @property
    def answered_at(self) -> Millis | None:
        """The service's time in the newest answer, rounded down to a second; `None`: it does not say."""
        return time_of(self._newest)

    def call(self, operation: str, parameters: dict[str, Any], decoder: Decoder[T]) -> Awaitable[tuple[T, int]]:
        """The decoded answer, and its bytes on the wire. A wrong clock is corrected once, by the service's.

        A `Reply`, begun at once, where credentials are known and a connection is open, as nearly always; else a
        coroutine, which whoever waits anyhow awaits in a task of its own.
        """
        target, body, read = self._target_prefix + operation, self._encode(parameters), partial(self._read, decoder)
        deadline = self._time() + self.timeout
        credentials = self.credentials.known()
        if credentials is not None and self._pool.ready:
            reply = self._pool.ask(self.signed(credentials, target, body), deadline, read)
            if reply is not None:
                reply.rescue = partial(self._rescue, target, body, read, self.shift, deadline)
                return reply
        return calling.call(self, target, body, read, self.timeout)

    def close(self) -> Coroutine[Any, Any, None]:
        """Ends its connections."""
        return self.endpoint.close()

    def signed(self, credentials: Credentials, target: str, body: bytes) -> bytes:
        """A whole request."""
        return self._signer.head(credentials, target, body, (self._now() + self.shift) // 1000) + body

    def was_corrected(self, error: BaseException, shift: Millis) -> bool:
        """Whether the error came of our clock, which had this shift, and has another now.

        If not, credentials that were refused are looked for anew.
        """
        if not isinstance(error, SourceDeniedError):
            return False
        corrected = error.code in CLOCK_SKEW_CODES and self.shift != shift
        if not corrected:
            self.credentials.refuse()
        return corrected

    def _rescue(  # noqa: PLR0917  # but for the error, they are given by a partial
        self,
        target: str,
        body: bytes,
        read: Callable[[Answer], tuple[T, int]],
        shift: Millis,
        deadline: float,
        error: BaseException,
    ) -> Coroutine[Any, Any, tuple[T, int]] | None:
        """What is done about the error of a call that was begun at once, in the time that is left of it."""
        seconds = deadline - self._time()
        if isinstance(error, StaleError):
            return calling.call(self, target, body, read, seconds, anew=True)
        return calling.send(self, target, body, read, seconds) if self.was_corrected(error, shift) else None

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
            if abs(shift - self.shift) > MIN_SHIFT_MS:
                self.shift = shift


def read_answer(answer: Answer, decoder: Decoder[T]) -> tuple[T, int]:
    """What a service answered, and its bytes. Raises `SourceError` for a refusal and for what does not parse."""
    body = answer.body
    if answer.status != 200:  # noqa: PLR2004  (HTTP's own)
        raise refusal(answer.status, answer.header(b"x-amzn-errortype"), bytes(body))
    size = len(body)
    try:
        return (decoder.read(answer) if isinstance(decoder, InParts) else decoder.decode(body)), size
    except UNPARSABLE as error:
        wrong = unparsable(bytes(body[:512]), size, error)
    try:
        raise wrong  # here, or the decoder's error is shown, too
    finally:
        del wrong  # it knows this frame: each would hold the other until garbage is looked for


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
