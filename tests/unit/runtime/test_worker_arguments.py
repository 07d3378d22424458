"""What a worker cannot be made with: it says so at once, and names the argument, the value and the rule."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from aiobotocore.session import AioSession
from botocore.session import Session as BotocoreSession

import esm

WRONG: dict[str, tuple[Any, str]] = {
    "resources": (3, "Value 'int' at 'resources' .* an esm.Resources"),
    "observers": (print, "Value 'builtin_function_or_method' at 'observers' .* a list of objects with a method notice"),
    "session": (boto3.Session(region_name="eu-west-1"), "Value 'Session' at 'session' .* an aiobotocore session"),
    "endpoint_url": (4566, "Value '4566' at 'endpointUrl' .* a string"),
    "region_name": (["eu-west-1"], "at 'regionName' .* a string"),
    "fast": ("no", "Value 'no' at 'fast' .* a boolean"),
    "drain_timeout": (-1, "Value '-1' at 'drainTimeout' .* a number of seconds"),
    "silent_after": (0, "at 'silentAfter' .* a number of seconds"),
    "restart_silent_after": ("soon", "at 'restartSilentAfter' .* a number"),
    "blocked_after": (True, "at 'blockedAfter' .* a number"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_refused_at_once(name: str) -> None:
    given, said = WRONG[name]
    with pytest.raises(esm.MappingError, match=said) as refused:
        esm.Worker([], store="memory:", **{name: given})
    assert (refused.value.code, refused.value.field) == ("ValidationException", name)


class Hears:
    def notice(self, fact: esm.Fact) -> None:
        """Something happened."""


class HearsSeveral(Hears, list[Any]):
    """One that could be taken for several."""


class Deaf:
    pass


class MakesClients:
    """Half of a session."""

    def create_client(self) -> None:
        """Makes none."""


@pytest.mark.parametrize(
    ("given", "name"), [([Hears(), Deaf()], "Deaf"), (Hears(), "Hears"), (HearsSeveral(), "Hears")]
)
def test_an_observer_that_is_none_or_alone_is_named(given: Any, name: str) -> None:
    with pytest.raises(esm.MappingError, match=f"Value '{name}.*' at 'observers'"):
        esm.Worker([], store="memory:", observers=given)


@pytest.mark.parametrize("given", [BotocoreSession(), AioSession, MakesClients()])
def test_what_only_looks_like_a_session_is_none(given: Any) -> None:
    with pytest.raises(esm.MappingError, match="an aiobotocore session"):
        esm.Worker([], store="memory:", session=given)


def test_what_there_may_be() -> None:
    usual: Any = {"resources": None, "session": None, "endpoint_url": None, "region_name": None}
    esm.Worker([], store="memory:", **usual)
    given: Any = {"resources": esm.Resources(threads=1), "session": AioSession(), "observers": iter([Hears()])}
    esm.Worker([], store="memory:", **given)
