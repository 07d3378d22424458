"""Tables with streams on a local server: made, written to and ended through the SDK."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

__all__ = ["Tables"]

_NAMES = itertools.count()
Item = dict[str, Any]


class Tables:
    """Tables of one account, with `id` for a key. `client`: an aiobotocore DynamoDB client that is signed in to it."""

    def __init__(self, client: Any) -> None:
        self.client = client

    async def create(self, view_type: str = "NEW_AND_OLD_IMAGES") -> str:
        """The ARN of the stream of a new table."""
        answer = await self.client.create_table(
            TableName=f"table-{next(_NAMES)}",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": view_type},
        )
        arn: str = answer["TableDescription"]["LatestStreamArn"]
        for _ in range(200):
            table = (await self.client.describe_table(TableName=self.name(arn)))["Table"]
            if table["TableStatus"] == "ACTIVE":
                return arn
            await asyncio.sleep(0.02)
        raise TimeoutError

    @staticmethod
    def name(stream_arn: str) -> str:
        """The table's name."""
        return stream_arn.split("/")[1]

    async def put(self, arn: str, item: Item) -> None:
        """Puts an item; binary values as bytes."""
        await self.client.put_item(TableName=self.name(arn), Item=item)

    async def update(self, arn: str, key: Item, attribute: str, value: Any) -> None:
        """Sets one attribute."""
        await self.client.update_item(
            TableName=self.name(arn),
            Key=key,
            UpdateExpression="SET #a = :v",
            ExpressionAttributeNames={"#a": attribute},
            ExpressionAttributeValues={":v": value},
        )

    async def delete(self, arn: str, key: Item) -> None:
        """Deletes an item."""
        await self.client.delete_item(TableName=self.name(arn), Key=key)

    async def batch(self, arn: str, items: list[Item], deleted: list[Item]) -> None:
        """`BatchWriteItem`."""
        requests = [{"PutRequest": {"Item": item}} for item in items]
        requests += [{"DeleteRequest": {"Key": key}} for key in deleted]
        answer = await self.client.batch_write_item(RequestItems={self.name(arn): requests})
        assert not answer.get("UnprocessedItems")

    async def transact(self, arn: str, items: list[Item], deleted: list[Item]) -> None:
        """`TransactWriteItems`."""
        name = self.name(arn)
        writes: list[Item] = [{"Put": {"TableName": name, "Item": item}} for item in items]
        writes += [{"Delete": {"TableName": name, "Key": key}} for key in deleted]
        await self.client.transact_write_items(TransactItems=writes)

    async def disable(self, arn: str) -> None:
        """Ends the stream."""
        await self.client.update_table(TableName=self.name(arn), StreamSpecification={"StreamEnabled": False})
