"""What a worker cannot be made with: it says so at once, and names the argument, the value and the rule."""

from __future__ import annotations

from typing import Any

import boto3
import pytest

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


def test_one_among_the_observers_that_is_none_is_named() -> None:
    class Hears:
        def notice(self, fact: esm.Fact) -> None:
            """Something happened."""

    class Deaf:
        pass

    esm.Worker([], store="memory:", observers=[Hears()])
    several: Any = [Hears(), Deaf()]
    with pytest.raises(esm.MappingError, match="Value 'Deaf' at 'observers'"):
        esm.Worker([], store="memory:", observers=several)


def test_what_is_left_out_is_as_usual() -> None:
    esm.Worker([], store="memory:", resources=None, session=None, endpoint_url=None, region_name=None)
