"""One call through the SDK, for all that is not hot: tried once, with a deadline, refused in our words."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from aiobotocore.client import AioBaseClient

from esm.aws.errors import from_sdk
from esm.aws.session import AwsSession
from esm.errors import SourceDeniedError

__all__ = ["ask", "with_client"]

T = TypeVar("T")

ASK_TIMEOUT_S = 10.0
"""For a whole call, the search for credentials among it (chosen)."""


async def ask(session: AwsSession, service: str, region: str | None, operation: str, **parameters: Any) -> Any:
    """The answer of one operation, as the SDK gives it.

    `operation`: the SDK's name of it (`get_queue_attributes`); `parameters`: in AWS's words. `region`: `None` for the
    session's own. Raises `SourceError` or one of its kinds.
    """
    return await with_client(
        session, service, region, lambda client: getattr(client, operation)(**parameters), timeout_s=ASK_TIMEOUT_S
    )


async def with_client(
    session: AwsSession,
    service: str,
    region: str | None,
    use: Callable[[AioBaseClient], Awaitable[T]],
    *,
    timeout_s: float,
) -> T:
    """What `use` gives of the session's client. Raises `SourceError` or one of its kinds."""
    try:
        async with asyncio.timeout(timeout_s):
            return await use(await session.client(service, region))
    except Exception as error:  # noqa: BLE001  (the SDK and what lies under it raise all sorts)
        told = from_sdk(error)
        if isinstance(told, SourceDeniedError):
            session.credentials.refuse()
        raise told from None
