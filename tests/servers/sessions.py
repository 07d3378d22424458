"""The SDK's sessions for tests: signed in, and made in a tenth of the time."""

from __future__ import annotations

from aiobotocore.session import AioSession, get_session
from botocore.loaders import create_loader

__all__ = ["bare", "signed_in"]

_MODELS = create_loader()


def bare() -> AioSession:
    """A new session, which finds its credentials as every AWS tool does. The services' models are parsed once only."""
    session = get_session()
    session.register_component("data_loader", _MODELS)
    return session


def signed_in(access_key: str = "AKIDEXAMPLE", token: str | None = None) -> AioSession:
    """A new session with these credentials. On the local servers, twelve digits are an account of their own."""
    session = bare()
    session.set_credentials(access_key, "secret", token)
    return session
