"""The credentials that requests are signed with: the SDK's own, asked for once a second at most."""

from __future__ import annotations

import asyncio
from typing import Any

from aiobotocore.credentials import AioCredentials
from aiobotocore.session import AioSession
from botocore.exceptions import ProfileNotFound

from esm.aws.errors import from_sdk
from esm.aws.signing import Credentials
from esm.errors import SourceDeniedError

__all__ = ["CredentialSource"]

KEEP_SECONDS = 1.0
"""The SDK renews what is about to expire 10 to 15 minutes before, whenever it is asked."""


class CredentialSource:
    """Current credentials of a session, from wherever the SDK finds them."""

    def __init__(self, session: AioSession, *, timeout: float = 10.0) -> None:
        self._session = session
        self._timeout = timeout
        self._kept: Credentials | None = None
        self._kept_until = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None  # by whose time they are kept; `None`: there are none
        self._refused = False
        self._renewed: Any = None

    def known(self) -> Credentials | None:
        """What to sign with, if it was asked for lately."""
        return self._kept if self._loop is not None and self._loop.time() < self._kept_until else None

    async def current(self) -> Credentials:
        """What to sign with. Raises `SourceDeniedError` when there is nothing, or the provider does not answer."""
        return self.known() or await self._ask()

    def refuse(self) -> None:
        """Says that the service did not take them: next time they are looked for anew."""
        self._refused = True
        self._kept_until = 0.0

    async def _ask(self) -> Credentials:
        try:
            async with asyncio.timeout(self._timeout):
                found = await self._find()
                frozen = await found.get_frozen_credentials() if found is not None else None
        except TimeoutError:
            raise SourceDeniedError("CredentialRetrievalError", "the provider of credentials does not answer") from None
        except Exception as error:  # noqa: BLE001  (a provider may be anybody's code, and fail in any way)
            raise _denied(error) from None
        if frozen is None or not frozen.access_key or not frozen.secret_key:
            raise SourceDeniedError("NoCredentialsError", "Unable to locate credentials")
        new = Credentials(frozen.access_key, frozen.secret_key, frozen.token or None)
        if not all(part.isprintable() and part.isascii() for part in new if part):
            raise SourceDeniedError("CredentialRetrievalError", "the credentials contain control characters")
        if new != self._kept:
            self._kept = new
        self._loop = asyncio.get_running_loop()
        self._kept_until = self._loop.time() + KEEP_SECONDS
        return self._kept

    async def _find(self) -> Any:
        """The SDK's credentials object; `None` when there are none."""
        found = await self._session.get_credentials()
        if found is None or getattr(found, "method", "explicit") == "explicit":
            return found
        if self._refused:
            self._refused = False
            await self._renew(found)
        return self._renewed or found

    async def _renew(self, found: Any) -> None:
        """Looks again where the session found its credentials.

        The SDK reads keys in a file or in the environment once, and somebody may have mended them since. They are put
        into the object that all clients of the session hold.
        """
        fresh = await self._session.get_component("credential_provider").load_credentials()
        if fresh is None:
            return
        if isinstance(found, AioCredentials):
            frozen = await fresh.get_frozen_credentials()
            found.access_key, found.secret_key, found.token = frozen.access_key, frozen.secret_key, frozen.token
        else:
            self._renewed = fresh


def _denied(error: Exception) -> SourceDeniedError:
    if isinstance(error, ProfileNotFound):  # its text has the profile's name and nothing else
        return SourceDeniedError("ProfileNotFound", str(error))
    told = from_sdk(error)
    return told if isinstance(told, SourceDeniedError) else SourceDeniedError("CredentialRetrievalError", told.code)
