"""A user embeds a worker, looks at it, and writes an observer of their own."""

from typing import reveal_type

import esm


def handle(event: dict[str, object], context: object) -> None:
    raise ValueError(event, context)


mapping = esm.EventSourceMapping(
    event_source_arn="arn:aws:kinesis:eu-west-1:123456789012:stream/orders",
    function=handle,
    starting_position="TRIM_HORIZON",
)


def typed(event: dict[str, object], context: esm.LambdaContext) -> None:
    reveal_type(context.get_remaining_time_in_millis())  # R: int
    reveal_type(context.aws_request_id)  # R: str
    reveal_type(context.memory_limit_in_mb)  # R: str
    event["id"] = context.request_id  # E: attr-defined


async def typed_too(event: dict[str, object], context: esm.LambdaContext) -> str:
    return context.function_name


esm.Function(typed)
esm.Function(typed_too)


class Counting:
    """An observer is anything with `notice`."""

    def __init__(self) -> None:
        self.facts = 0

    def notice(self, fact: esm.Fact) -> None:
        reveal_type(fact.at)  # R: int
        self.facts += 1


async def embedded() -> None:
    async with esm.Worker([mapping], store="memory:", endpoint_url=None, region_name=None, drain_timeout=5.0) as worker:
        reveal_type(worker)  # R: esm.runtime.worker.Worker
        await worker.join()
        status = worker.status()
        reveal_type(status.mappings)  # R: tuple[esm.runtime.status.MappingStatus, ...]
        reveal_type(status.mappings[0].shards[0].lanes[0].retry_at)  # R: int | None
        status.stopping = True  # E: misc
        reveal_type(await worker.create(mapping))  # R: esm.runtime.status.MappingStatus
        reveal_type(await worker.update("uuid", batch_size=7, enabled=False))  # R: esm.runtime.status.MappingStatus
        reveal_type(await worker.update(mapping, wait=False))  # R: esm.runtime.status.MappingStatus
        await worker.update("uuid", starting_position="LATEST")  # E: call-overload
        reveal_type(worker.list(function_name="handle"))  # R: tuple[esm.runtime.status.MappingStatus, ...]
        reveal_type(worker.mappings[0])  # R: esm.mapping.settings.EventSourceMapping
        await worker.delete("uuid", keep_positions=True)
        worker.put_function_concurrency("handle", None)
    esm.Worker([mapping], resources=esm.Resources(bytes_in_flight=64 << 20), restart_silent_after=600)
    esm.Worker([mapping], store=7)  # E: arg-type
    esm.Worker(mapping)  # E: arg-type
    esm.Worker([mapping], observers=[Counting()])
    esm.Worker([mapping], observers=[print])  # E: list-item
    esm.Worker([mapping], "memory:")  # E: call-arg


async def program() -> None:
    reveal_type(await esm.run([mapping], store="memory:", drain_timeout=5.0, observers=[Counting()]))  # R: bool
    await esm.run([mapping], stor="memory:")  # E: call-arg
    await esm.run([mapping], drain_timeout="soon")  # E: arg-type
