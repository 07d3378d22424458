"""What several modules test on: queues of a local AWS, and long polls that are short."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from esm.aws.session import AwsSession
from esm.runtime import queue as queue_module
from tests.servers.queues import Queues
from tests.servers.sessions import signed_in
from tests.servers.streams import REGION


@pytest.fixture
async def queues(ministack: str, account: str) -> AsyncIterator[Queues]:
    """Of an account of this test's own."""
    async with AwsSession(signed_in(account), endpoint_url=ministack) as session:
        yield Queues(await session.client("sqs", REGION), account)


@pytest.fixture
def short_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop waits for long polls: here they are short, unless the time to stop says otherwise."""
    monkeypatch.setattr(queue_module, "SQS_WAIT_SECONDS", 1)
