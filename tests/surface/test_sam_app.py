"""The example's application: three functions with Powertools, run from its template alone, in one command."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.session import get_session

from tests.surface.typed import Esm

APP = Path(__file__).parents[2] / "examples" / "sam_app"
SAID: dict[str, dict[str, Any]] = {
    "order": {"drink": "espresso", "table": "4"},
    "stock": {"item": "beans", "left": 3},
    "bill": {"table": 4},
}


class Cafe:
    """What people do in the café, through the SDK."""

    def __init__(self, kinesis: Any, dynamodb: Any, sqs: Any) -> None:
        self.kinesis, self.dynamodb, self.sqs = kinesis, dynamodb, sqs

    async def open(self) -> None:
        for order in ({"kind": "order", "drink": "espresso"}, {"kind": "chat"}, {"kind": "order"}):
            await self.kinesis.put_record(StreamName="orders-dev", PartitionKey="4", Data=json.dumps(order).encode())
        await self.dynamodb.put_item(TableName="stock-dev", Item={"id": {"S": "beans"}, "left": {"N": "3"}})
        await self.sqs.send_message(QueueUrl=await self.url("Bills"), MessageBody=json.dumps({"table": 4}))

    async def given_up(self) -> dict[str, Any]:
        """The failure record of the order without a drink."""
        url = await self.url("GivenUp")
        for _ in range(15):
            answer = await self.sqs.receive_message(QueueUrl=url, WaitTimeSeconds=2)
            for message in answer.get("Messages", ()):
                record: dict[str, Any] = json.loads(message["Body"])
                return record
        raise TimeoutError

    async def url(self, logical_id: str) -> str:
        return str((await self.sqs.get_queue_url(QueueName=f"sam-app-{logical_id}"))["QueueUrl"])

    async def redrive(self) -> dict[str, Any]:
        names = ["RedrivePolicy", "VisibilityTimeout"]
        url = await self.url("Bills")
        attributes: dict[str, Any] = (await self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names))[
            "Attributes"
        ]
        return attributes


@pytest.mark.service
def test_the_application_runs_from_its_template_alone(ministack: str, account: str, esm_: Esm) -> None:
    command = ("run", str(APP / "template.yaml"), "--endpoint-url", ministack, "--account", account)
    more = ("--region", "us-east-1", "--create-resources", "--json", "--store", "memory:", "--drain-timeout", "10")
    with esm_.running(*command, *more) as running:
        assert running.until("mapping_planned", id="WatchStockChanged")["source"] == "the stream of table stock-dev"
        assert running.until("resource", id="Orders")["state"] == "created"
        running.until("mapping_read", function="sam-app-WriteBills")
        given_up, attributes = asyncio.run(_visit(ministack, account))
        code, _ = running.end()
    assert code == 0, running.said
    assert given_up["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert json.loads(attributes["RedrivePolicy"])["maxReceiveCount"] in (3, "3")
    assert attributes["VisibilityTimeout"] == "60"
    said = [json.loads(line) for line in running.out.splitlines() if line.startswith('{"level"')]
    for message, values in SAID.items():
        lines = [line for line in said if line["message"] == message]
        assert [{key: line[key] for key in values} for line in lines] == [values], running.out
    assert {line["service"] for line in said} == {"cafe"}

    with esm_.running(*command, *more) as again:  # what is there is left as it is
        assert again.until("resource", id="Stock")["state"] == "exists"
        assert again.until("resource", id="Bills")["state"] == "exists"
        again.until("mapping_read", function="sam-app-WriteBills")
        assert again.end()[0] == 0


async def _visit(url: str, account: str) -> tuple[dict[str, Any], dict[str, Any]]:
    where = {"region_name": "us-east-1", "endpoint_url": url}
    keys = {"aws_access_key_id": account, "aws_secret_access_key": "secret"}
    make: Any = get_session().create_client
    async with AsyncExitStack() as stack:
        clients: list[Any] = [
            await stack.enter_async_context(make(name, **where, **keys)) for name in ("kinesis", "dynamodb", "sqs")
        ]
        cafe = Cafe(*clients)
        await cafe.open()
        given_up = await cafe.given_up()
        return given_up, await cafe.redrive()
