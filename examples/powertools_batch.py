"""A function with Powertools (`pip install 'aws-lambda-powertools[parser]'`), as on Lambda: it says what failed.

$ python examples/powertools_batch.py
espresso
refused: -3 cups of tea
cocoa
refused: -3 cups of tea
deleted: 2, in the dead-letter queue: 1
"""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.parser import BaseModel
from aws_lambda_powertools.utilities.parser.models import SqsRecordModel
from pydantic import Json

import esm
from esm.testing import Queue, Send, simulate


class Order(BaseModel):  # noqa: D101  # as it is on Lambda
    drink: str
    cups: int


class OrderMessage(SqsRecordModel):  # noqa: D101  # as above
    body: Json[Order]


processor = BatchProcessor(event_type=EventType.SQS, model=OrderMessage)


def serve(record: OrderMessage) -> None:
    """One record: what it raises the processor keeps."""
    order = record.body
    print(order.drink if order.cups > 0 else f"refused: {order.cups} cups of {order.drink}")
    if order.cups <= 0:
        raise ValueError("cups")


def lambda_handler(event: dict[str, Any], context: Any) -> Any:
    """The function itself."""
    return process_partial_response(event, serve, processor, context)


mapping = esm.EventSourceMapping(
    event_source_arn="arn:aws:sqs:eu-west-1:000000000000:orders",
    function=lambda_handler,
    function_response_types=["ReportBatchItemFailures"],
)

if __name__ == "__main__":
    orders = [("espresso", 1), ("tea", -3), ("cocoa", 2)]
    messages = [Send(Order(drink=drink, cups=cups).model_dump_json(), at=-1.0) for drink, cups in orders]
    queue = simulate(mapping, messages, queue=Queue(visibility_timeout=30, max_receive_count=2)).queue
    print(f"deleted: {len(queue.deleted)}, in the dead-letter queue: {len(queue.dead_letters)}")
