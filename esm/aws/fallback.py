"""The data plane through the whole SDK, for proxies, foreign HTTP clients and other ways of signing.

The SDK's `before-call` event gives it the bytes that the fast plane would send, `before-parse` takes the answer as it
came. So both planes encode, decode and tell errors by the same code.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
from aiobotocore.client import AioBaseClient
from aiobotocore.httpsession import AIOHTTPSession
from botocore import xform_name
from botocore.utils import get_environ_proxies

from esm.aws.calls import Decoder, read_answer, time_of
from esm.aws.connection import Answer, Headers
from esm.aws.credentials import CredentialSource
from esm.aws.errors import from_sdk
from esm.clock import Millis
from esm.errors import SourceDeniedError, SourceError

__all__ = ["SdkPlane", "fallback_reason"]

T = TypeVar("T")

_OWN_CONNECTION = ("ssl_context", "resolver", "socket_factory")
_HOT_CALLS = ("GetRecords", "ReceiveMessage", "DeleteMessageBatch", "ChangeMessageVisibilityBatch")
_HARMLESS = frozenset({"aiobotocore", "aws_lambda_powertools", "botocore", "esm"})
"""Whose hooks hot calls may pass by. Powertools, once imported, adds its name to the user agent of every session."""
_EVENTS = (
    "provide-client-params",
    "before-parameter-build",
    "before-call",
    "request-created",
    "choose-signer",
    "before-sign",
    "before-send",
    "response-received",
    "before-parse",
    "needs-retry",
    "after-call",
    "after-call-error",
)
"""What the SDK tells its hooks of a call. https://docs.aws.amazon.com/boto3/latest/guide/events.html"""


class _Exchange:
    """One call on its way through the SDK: what goes out, and what came back."""

    __slots__ = ("answer", "body")

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.answer: Answer | None = None


_EXCHANGE: ContextVar[_Exchange] = ContextVar("esm_exchange")


def fallback_reason(client: AioBaseClient, *, fast: bool) -> str:
    """Why calls of this client have to go through the SDK; "" when they need not."""
    config, url = client.meta.config, client.meta.endpoint_url
    scheme = urlsplit(url).scheme
    proxies = config.proxies if config.proxies is not None else get_environ_proxies(url)
    arguments = config.connector_args or {}
    reasons = {
        "fast=False": not fast,
        "a proxy is configured": scheme in proxies or "all" in proxies,
        "http_session_cls is configured": config.http_session_cls is not AIOHTTPSession,
        f"signature_version is {config.signature_version}": config.signature_version != "v4",
        "a client certificate is configured": config.client_cert is not None,
        "connector_args are configured": any(arguments.get(name) is not None for name in _OWN_CONNECTION),
    }
    return next((reason for reason, holds in reasons.items() if holds), "") or _hooked(client)


def _hooked(client: AioBaseClient) -> str:
    """Of the first event of a hot call for which a hook is registered that is not the SDK's own; "" without such."""
    service, events = client.meta.service_model.service_id.hyphenize(), client.meta.events
    listening = events._emitter._handlers.prefix_search  # noqa: SLF001  # there is no public way to ask who listens
    for event in _EVENTS:
        for operation in _HOT_CALLS:
            if any(map(_is_foreign, listening(f"{event}.{service}.{operation}"))):
                return f"a hook is registered for {event}"
    return ""


def _is_foreign(hook: Any) -> bool:
    while isinstance(hook, partial):
        hook = hook.func
    module = getattr(hook, "__module__", None) or type(hook).__module__
    return module.partition(".")[0] not in _HARMLESS


class SdkPlane:
    """Calls through an aiobotocore client."""

    def __init__(
        self, client: AioBaseClient, credentials: CredentialSource, *, reason: str, timeout: float = 15.0
    ) -> None:
        self.reason = reason
        self._client, self._credentials, self._timeout = client, credentials, timeout
        self._encoder = msgspec.json.Encoder()
        self._newest: Headers = []
        service = client.meta.service_model.service_id.hyphenize()
        client.meta.events.register_last(f"before-call.{service}", _put_body, unique_id="esm-body")
        client.meta.events.register_last(f"before-parse.{service}", _take_answer, unique_id="esm-answer")

    @property
    def answered_at(self) -> Millis | None:
        """The service's time in the newest answer, rounded down to a second; `None`: it does not say."""
        return time_of(self._newest)

    async def call(self, operation: str, parameters: dict[str, Any], decoder: Decoder[T]) -> tuple[T, int]:
        """The decoded answer, and its bytes on the wire."""
        exchange = _Exchange(self._encoder.encode(parameters))
        await self._credentials.current()  # read again here, if the last ones were refused
        token = _EXCHANGE.set(exchange)
        try:
            async with asyncio.timeout(self._timeout):
                await getattr(self._client, xform_name(operation))(**parameters)
        except Exception as error:  # noqa: BLE001  (the SDK and what lies under it raise all sorts)
            if exchange.answer is None:
                raise from_sdk(error) from None
        finally:
            _EXCHANGE.reset(token)
        if exchange.answer is None:
            raise SourceError("UnparsableAnswer", "a hook answered the call instead of the service")
        self._newest = exchange.answer.headers
        try:
            return read_answer(exchange.answer, decoder)
        except SourceDeniedError:
            self._credentials.refuse()
            raise

    async def close(self) -> None:
        """Leaves the client to the session it belongs to."""


def _put_body(params: dict[str, Any], **_: Any) -> None:
    """Before the request is signed: our JSON stands for the SDK's, which cuts times to whole seconds."""
    exchange = _EXCHANGE.get(None)
    if exchange is not None:
        params["body"] = exchange.body


def _take_answer(response_dict: dict[str, Any], **_: Any) -> None:
    """Takes the answer, and leaves the SDK's parser, and its log, an empty one."""
    exchange = _EXCHANGE.get(None)
    if exchange is not None:
        headers = [(str(k).encode("latin-1"), str(v).encode("latin-1")) for k, v in response_dict["headers"].items()]
        exchange.answer = Answer(response_dict["status_code"], headers, response_dict["body"])
        response_dict["body"] = b""
