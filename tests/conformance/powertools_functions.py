"""Functions as they are written for Lambda with Powertools, unchanged: nothing here knows of esm.

https://docs.aws.amazon.com/powertools/python/latest/
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aws_lambda_powertools import Logger, Tracer
from aws_lambda_powertools.utilities.batch import (
    AsyncBatchProcessor,
    BatchProcessor,
    EventType,
    SqsFifoPartialProcessor,
    async_process_partial_response,
    process_partial_response,
)
from aws_lambda_powertools.utilities.data_classes import (
    DynamoDBStreamEvent,
    KinesisStreamEvent,
    SQSEvent,
    event_source,
)
from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import DynamoDBRecord
from aws_lambda_powertools.utilities.data_classes.kinesis_stream_event import KinesisStreamRecord
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.idempotency import (
    BasePersistenceLayer,
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyItemAlreadyExistsError,
    IdempotencyItemNotFoundError,
)
from aws_lambda_powertools.utilities.idempotency.persistence.datarecord import DataRecord
from aws_lambda_powertools.utilities.parser import event_parser
from aws_lambda_powertools.utilities.parser.models import DynamoDBStreamModel, KinesisDataStreamModel, SqsModel

logger = Logger(service="orders", level="INFO")
tracer = Tracer(service="orders")
kinesis = BatchProcessor(event_type=EventType.KinesisDataStreams)
dynamodb = BatchProcessor(event_type=EventType.DynamoDBStreams)
sqs = BatchProcessor(event_type=EventType.SQS)
fifo = SqsFifoPartialProcessor()
kinesis_async = AsyncBatchProcessor(event_type=EventType.KinesisDataStreams)
dynamodb_async = AsyncBatchProcessor(event_type=EventType.DynamoDBStreams)
sqs_async = AsyncBatchProcessor(event_type=EventType.SQS)

done: list[str] = []


def _do(order: str) -> None:
    if order.startswith("bad"):
        raise ValueError(order)
    done.append(order)


async def _do_later(order: str) -> None:
    await asyncio.sleep(0)
    _do(order)


@tracer.capture_method
def kinesis_record(record: KinesisStreamRecord) -> None:
    logger.info("order", partition_key=record.kinesis.partition_key)
    _do(record.kinesis.data_as_text())


def dynamodb_record(record: DynamoDBRecord) -> None:
    assert record.dynamodb is not None
    assert record.dynamodb.new_image is not None
    _do(record.dynamodb.new_image["id"])


def sqs_record(record: SQSRecord) -> None:
    _do(record.body)


async def kinesis_record_async(record: KinesisStreamRecord) -> None:
    await _do_later(record.kinesis.data_as_text())


async def dynamodb_record_async(record: DynamoDBRecord) -> None:
    assert record.dynamodb is not None
    assert record.dynamodb.new_image is not None
    await _do_later(record.dynamodb.new_image["id"])


async def sqs_record_async(record: SQSRecord) -> None:
    await _do_later(record.body)


@logger.inject_lambda_context
@tracer.capture_lambda_handler
def handle_kinesis(event: dict[str, Any], context: Any) -> Any:
    return process_partial_response(event, kinesis_record, kinesis, context)


def handle_dynamodb(event: dict[str, Any], context: Any) -> Any:
    return process_partial_response(event, dynamodb_record, dynamodb, context)


def handle_sqs(event: dict[str, Any], context: Any) -> Any:
    return process_partial_response(event, sqs_record, sqs, context)


def handle_fifo(event: dict[str, Any], context: Any) -> Any:
    return process_partial_response(event, sqs_record, fifo, context)


def handle_kinesis_async(event: dict[str, Any], context: Any) -> Any:
    return async_process_partial_response(event, kinesis_record_async, kinesis_async, context)


def handle_dynamodb_async(event: dict[str, Any], context: Any) -> Any:
    return async_process_partial_response(event, dynamodb_record_async, dynamodb_async, context)


def handle_sqs_async(event: dict[str, Any], context: Any) -> Any:
    return async_process_partial_response(event, sqs_record_async, sqs_async, context)


@event_source(data_class=KinesisStreamEvent)
def kinesis_classes(event: KinesisStreamEvent, _context: Any) -> None:
    done.extend(record.kinesis.data_as_text() for record in event.records)


@event_source(data_class=DynamoDBStreamEvent)
def dynamodb_classes(event: DynamoDBStreamEvent, _context: Any) -> None:
    for record in event.records:
        assert record.event_name is not None
        assert record.dynamodb is not None
        done.append(f"{record.event_name.name} {(record.dynamodb.keys or {})['id']}")


@event_source(data_class=SQSEvent)
def sqs_classes(event: SQSEvent, _context: Any) -> None:
    done.extend(record.body for record in event.records)


@event_parser(model=KinesisDataStreamModel)
def kinesis_models(event: KinesisDataStreamModel, _context: Any) -> None:
    done.extend(bytes(record.kinesis.data).decode() for record in event.Records)  # type: ignore[arg-type]  # bytes here


@event_parser(model=DynamoDBStreamModel)
def dynamodb_models(event: DynamoDBStreamModel, _context: Any) -> None:
    done.extend(f"{record.eventName} {record.dynamodb.Keys['id']}" for record in event.Records)


@event_parser(model=SqsModel)
def sqs_models(event: SqsModel, _context: Any) -> None:
    done.extend(str(record.body) for record in event.Records)


class InMemory(BasePersistenceLayer):
    """A store of one's own, as the documentation says one may have."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # the library's own
        self.records: dict[str, DataRecord] = {}

    def _get_record(self, idempotency_key: str) -> DataRecord:
        if idempotency_key not in self.records:
            raise IdempotencyItemNotFoundError
        return self.records[idempotency_key]

    def _put_record(self, data_record: DataRecord) -> None:
        if data_record.idempotency_key in self.records:
            raise IdempotencyItemAlreadyExistsError
        self.records[data_record.idempotency_key] = data_record

    def _update_record(self, data_record: DataRecord) -> None:
        self.records[data_record.idempotency_key] = data_record

    def _delete_record(self, data_record: DataRecord) -> None:
        del self.records[data_record.idempotency_key]


config = IdempotencyConfig()


@idempotent_function(data_keyword_argument="order", persistence_store=InMemory(), config=config)  # type: ignore[untyped-decorator]  # so it is
def pay(order: str) -> str:
    _do(order)
    return order


def handle_once(event: dict[str, Any], context: Any) -> None:
    """Pays each order once, however often the batch comes; the last of it fails."""
    config.register_lambda_context(context)
    for record in KinesisStreamEvent(event).records:
        pay(order=record.kinesis.data_as_text())


def handle_once_in_table(event: dict[str, Any], context: Any) -> str:
    """The same with a table, which the event names."""
    store = DynamoDBPersistenceLayer(table_name=event["table"])

    @idempotent_function(data_keyword_argument="order", persistence_store=store, config=config)  # type: ignore[untyped-decorator]  # as above
    def ship(order: str) -> str:
        _do(order)
        return json.dumps({"shipped": order})

    config.register_lambda_context(context)
    shipped: str = ship(order=event["order"])
    return shipped
