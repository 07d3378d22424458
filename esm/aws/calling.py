"""The waits of a call: for credentials, for a connection, for a second answer.

They stand apart from the plane, which has no coroutine of its own and so can be compiled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from esm.aws.connection import Answer
from esm.aws.credentials import CredentialSource
from esm.aws.http import HttpEndpoint
from esm.aws.signing import Credentials
from esm.clock import Millis
from esm.errors import SourceDeniedError, SourceError
from esm.reply import Reply, reply_of

__all__ = ["Calling", "call", "reply_in_time", "send"]

T = TypeVar("T")


class Calling(Protocol):
    """What these ask of a plane.

    `shift`: what the service's clock is ahead of ours; `timeout`: seconds, of a request.
    """

    endpoint: HttpEndpoint
    credentials: CredentialSource
    shift: Millis
    timeout: float

    def signed(self, credentials: Credentials, target: str, body: bytes) -> bytes:
        """A whole request."""
        ...

    def was_corrected(self, error: BaseException, shift: Millis) -> bool:
        """Whether the error came of our clock, which had this shift, and has another now."""
        ...


async def call(
    plane: Calling, target: str, body: bytes, read: Callable[[Answer], T], seconds: float, *, anew: bool = False
) -> T:
    """What `read` makes of the answer. A wrong clock is corrected once, by the service's. `seconds`, `anew`: as `send`.

    With the second try goes the plane's own time.
    """
    shift = plane.shift
    try:
        return await send(plane, target, body, read, seconds, anew=anew)
    except SourceDeniedError as error:
        if not plane.was_corrected(error, shift):
            raise
    return await send(plane, target, body, read, plane.timeout)


async def send(
    plane: Calling, target: str, body: bytes, read: Callable[[Answer], T], seconds: float, *, anew: bool = False
) -> T:
    """The same, tried once, for so many seconds from when there are credentials. `anew`: over a new connection."""
    credentials = await plane.credentials.current()
    return await plane.endpoint.send(plane.signed(credentials, target, body), seconds, read, anew=anew)


def reply_in_time(call: Awaitable[T], seconds: float) -> Reply[T]:
    """It itself, where it is a reply, which has a deadline; else the reply of it, awaited in a task for so long.

    Raises `SourceError`, where it is awaited, when that is over.
    """
    return call if isinstance(call, Reply) else reply_of(_within(seconds, call))


async def _within(seconds: float, call: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await call
    except TimeoutError:
        raise SourceError("TimeoutError", f"no answer within {seconds:g} s") from None
