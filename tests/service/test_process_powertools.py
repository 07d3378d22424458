"""Functions written with Powertools for AWS Lambda, in processes of their own, and with a table on a local server."""

from __future__ import annotations

import base64
from typing import Any

import boto3
import pytest

from esm.handlers.invoker import Returned
from tests.service.process_stand import pool, run

FUNCTIONS = "tests.conformance.powertools_functions"


def of_stream(*orders: str) -> dict[str, Any]:
    return {
        "Records": [
            {
                "eventSource": "aws:kinesis",
                "eventID": f"shard-1:{number}",
                "kinesis": {
                    "partitionKey": "one",
                    "sequenceNumber": str(number),
                    "data": base64.b64encode(order.encode()).decode(),
                    "approximateArrivalTimestamp": 1_700_000_000.1,
                },
            }
            for number, order in enumerate(orders)
        ]
    }


@pytest.mark.parametrize("name", ["handle_kinesis", "handle_kinesis_async"])
def test_a_batch_processor_in_a_process(name: str) -> None:
    async def test() -> None:
        async with pool(f"{FUNCTIONS}:{name}") as calls:
            for _ in range(3):
                outcome = await calls.invoke(of_stream("a", "bad", "b"), "id")
                assert outcome == Returned({"batchItemFailures": [{"itemIdentifier": "1"}]})
            assert await calls.invoke(of_stream("a"), "id") == Returned({"batchItemFailures": []})

    run(test)


@pytest.mark.service
def test_idempotency_with_a_table(ministack: str, account: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", account)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    client = boto3.client("dynamodb", endpoint_url=ministack, region_name="eu-west-1")
    client.create_table(
        TableName="paid",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )

    async def test() -> None:
        environment = {"AWS_ENDPOINT_URL": ministack}
        async with pool(f"{FUNCTIONS}:handle_once_in_table", environment=environment) as calls:
            for _ in range(2):
                outcome = await calls.invoke({"table": "paid", "order": "a"}, "id")
                assert outcome == Returned('{"shipped": "a"}')

    run(test)
    (kept,) = client.scan(TableName="paid")["Items"]
    assert kept["status"] == {"S": "COMPLETED"}
    client.close()
