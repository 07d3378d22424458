"""The waits of a call: for credentials, for a connection, for a second answer.

They stand apart from the plane, which has no coroutine of its own and so can be compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from esm.aws.connection import Answer
from esm.aws.credentials import CredentialSource
from esm.aws.http import HttpEndpoint
from esm.aws.signing import Credentials
from esm.clock import Millis
from esm.errors import SourceDeniedError

__all__ = ["Calling", "call", "send"]

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

    def was_corrected(self, error: Exception, shift: Millis) -> bool:
        """Whether the error came of our clock, which had this shift, and has another now."""
        ...


async def call(plane: Calling, target: str, body: bytes, read: Callable[[Answer], T], *, anew: bool = False) -> T:
    """What `read` makes of the answer. A wrong clock is corrected once, by the service's. `anew`: as `send`."""
    shift = plane.shift
    try:
        return await send(plane, target, body, read, anew=anew)
    except SourceDeniedError as error:
        if not plane.was_corrected(error, shift):
            raise
    return await send(plane, target, body, read)


async def send(plane: Calling, target: str, body: bytes, read: Callable[[Answer], T], *, anew: bool = False) -> T:
    """The same, tried once. `anew`: over a new connection."""
    credentials = await plane.credentials.current()
    return await plane.endpoint.send(plane.signed(credentials, target, body), plane.timeout, read, anew=anew)
