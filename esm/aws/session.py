"""The way to AWS: credentials, region, endpoint and certificates as the SDK finds them, and clients that are shared.

One policy for all of it: a call is tried once and has a deadline. When to try again is for the runtime to say, in one
place.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Self

from aiobotocore.client import AioBaseClient
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession, get_session
from botocore.httpsession import create_urllib3_context, get_cert_path
from botocore.session import Session

from esm.aws.calls import DataPlane, FastPlane
from esm.aws.credentials import CredentialSource
from esm.aws.errors import from_sdk
from esm.aws.fallback import SdkPlane, fallback_reason
from esm.aws.http import HttpEndpoint
from esm.aws.signing import Signer
from esm.clock import Clock, SystemClock
from esm.errors import SourceError
from esm.mapping.constraints import violated

__all__ = ["CONNECTIONS", "AwsSession", "session_of"]

CONNECTIONS = 128
"""To one endpoint of one service, at once (chosen)."""

LONG_POLL_CONNECTIONS = 1 << 16
"""To an endpoint, for calls that take as long as they please: each that is out has one, and behind one nothing waits.
Which of them are out is decided elsewhere (chosen: no limit, in a number)."""


class AwsSession:
    """Clients of AWS's services, one for each service and region, made when they are first asked for.

    `session`: an aiobotocore session of the caller's, with its credentials and configuration; `None`: a new one, which
    finds them as every AWS tool does. `endpoint_url`, `region_name`: for all services; `None`: as the SDK finds them.
    `fast`: whether hot calls may bypass the SDK; `on_fallback(service, reason)` is told once of each service whose hot
    calls do not. Timeouts in seconds. `connections`: to each endpoint, at once. Belongs to the loop it is used in.
    """

    def __init__(
        self,
        session: AioSession | None = None,
        *,
        endpoint_url: str | None = None,
        region_name: str | None = None,
        fast: bool = True,
        connect_timeout: float = 5.0,
        read_timeout: float = 10.0,
        clock: Clock | None = None,
        connections: int = CONNECTIONS,
        on_fallback: Callable[[str, str], None] | None = None,
    ) -> None:
        self._connections = connections
        self._on_fallback = on_fallback
        self._fallen_back: set[str] = set()
        self._session = session if session is not None else get_session()
        self._endpoint_url, self._region_name, self._fast = endpoint_url, region_name, fast
        self._connect_timeout, self._read_timeout = connect_timeout, read_timeout
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._clients: dict[tuple[str, str | None, float], AioBaseClient] = {}
        self._planes: dict[tuple[str, str | None, float], DataPlane] = {}
        self._making = asyncio.Lock()
        self._stack = AsyncExitStack()
        self.credentials = CredentialSource(self._session, timeout=read_timeout)

    async def __aenter__(self) -> Self:
        """The session; nothing is connected yet."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes everything it made."""
        await self.close()

    async def close(self) -> None:
        """Closes all clients and connections. The caller's aiobotocore session stays usable."""
        planes = list(self._planes.values())
        self._planes.clear()
        self._clients.clear()
        for plane in planes:
            await plane.close()
        await self._stack.aclose()

    async def client(self, service: str, region_name: str | None = None) -> AioBaseClient:
        """The session's aiobotocore client of a service (`"sqs"`), in a region or in the session's own.

        It is shared, and closed with the session: do not enter or close it. Its calls are tried once. Raises
        `SourceDeniedError` while there are no credentials, `SourceError` when there is no such service or no region.
        """
        return await self._client(service, region_name, self._read_timeout)

    async def data_plane(
        self, service: str, region_name: str | None = None, *, read_timeout: float | None = None
    ) -> DataPlane:
        """How the hot calls of a service are made; shared and closed as clients are. Raises as `client` does.

        `read_timeout`: seconds for a whole call, `None`: the session's; such calls have connections of their own, and
        as many as they want.
        """
        key = (service, region_name, self._read_timeout if read_timeout is None else read_timeout)
        plane = self._planes.get(key)
        if plane is None:
            client = await self._client(*key)
            plane = self._planes.get(key) or self._make_plane(client, key[2])
            self._planes[key] = plane
        return plane

    async def _client(self, service: str, region_name: str | None, read_timeout: float) -> AioBaseClient:
        key = (service, region_name, read_timeout)
        client = self._clients.get(key)
        if client is None:
            await self.credentials.current()  # a client that is made without any never gets any
            async with self._making:
                client = self._clients.get(key) or await self._make_client(service, region_name, read_timeout)
                self._clients[key] = client
        return client

    async def _make_client(self, service: str, region_name: str | None, read_timeout: float) -> AioBaseClient:
        config = AioConfig(
            connect_timeout=self._connect_timeout,
            read_timeout=read_timeout,
            max_pool_connections=self._connections_for(read_timeout),
            retries={"total_max_attempts": 1, "mode": "standard"},
            s3={"addressing_style": "path"} if self._endpoint_url else None,
        )
        context = self._session.create_client(
            service,
            region_name=region_name or self._region_name,
            endpoint_url=self._endpoint_url,
            config=config,
        )
        try:
            return await self._stack.enter_async_context(context)
        except ValueError:  # the SDK's word for an endpoint that is no URL
            raise SourceError("InvalidEndpoint", "the endpoint is not a valid URL") from None
        except Exception as error:  # noqa: BLE001  (profiles, providers, models: each has its own exceptions)
            raise from_sdk(error) from None

    def _make_plane(self, client: AioBaseClient, read_timeout: float) -> DataPlane:
        reason = fallback_reason(client, fast=self._fast)
        if reason:
            self._tell(client.meta.service_model.service_name, reason)
            return SdkPlane(client, self.credentials, reason=reason, timeout=self._connect_timeout + read_timeout)
        model, url = client.meta.service_model, client.meta.endpoint_url
        signer = Signer(
            url,
            service=model.signing_name,
            region=client.meta.region_name,
            content_type=f"application/x-amz-json-{model.metadata['jsonVersion']}",
            user_agent=client.meta.config.user_agent,
        )
        endpoint = HttpEndpoint(
            url,
            tls=self._tls(url),
            connect_timeout=self._connect_timeout,
            max_connections=self._connections_for(read_timeout),
        )
        return FastPlane(
            endpoint,
            signer,
            self.credentials,
            target_prefix=model.metadata["targetPrefix"],
            now=self._clock.now,
            timeout=read_timeout,
        )

    def _connections_for(self, read_timeout: float) -> int:
        return self._connections if read_timeout == self._read_timeout else LONG_POLL_CONNECTIONS

    def _tell(self, service: str, reason: str) -> None:
        if self._on_fallback is not None and service not in self._fallen_back:
            self._fallen_back.add(service)
            self._on_fallback(service, reason)

    def _tls(self, url: str) -> ssl.SSLContext | None:
        """The SDK's own settings, with the authorities it trusts or those of `AWS_CA_BUNDLE`; `None` for plain HTTP."""
        if not url.startswith("https:"):
            return None
        context: ssl.SSLContext = create_urllib3_context()
        bundle = self._session.get_config_variable("ca_bundle")
        try:
            context.load_verify_locations(get_cert_path(bundle or True))
        except OSError:
            raise SourceError("TlsError", "the bundle of certificate authorities cannot be read") from None
        return context


def session_of(given: object) -> AioSession | None:
    """The session that was given, or what does as one does. Raises `MappingError` for anything else."""
    foreign = isinstance(given, type) or (isinstance(given, Session) and not isinstance(given, AioSession))
    asked = ("create_client", "get_credentials")
    if given is not None and (foreign or not all(callable(getattr(given, name, None)) for name in asked)):
        raise violated("session", type(given).__name__, "Member must be an aiobotocore session")
    return given
