from __future__ import annotations

import pytest

from esm.handlers.context import FunctionFacts, LambdaContext

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:orders"
STARTED = 1_767_607_207_123  # 2026-01-05T10:00:07.123Z


def context(now: int = 0, deadline: int = 3000, arn: str = ARN) -> LambdaContext:
    return LambdaContext(
        FunctionFacts.of(arn, 128, STARTED), "11111111-2222-4333-8444-555555555555", deadline, lambda: now
    )


def test_it_has_the_fields_of_lambdas_python_runtime() -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/python-context.html."""
    it = context()
    assert it.function_name == "orders"
    assert it.function_version == "$LATEST"
    assert it.invoked_function_arn == ARN
    assert it.memory_limit_in_mb == "128", "text in the Python runtime"
    assert it.aws_request_id == "11111111-2222-4333-8444-555555555555"
    assert it.log_group_name == "/aws/lambda/orders"
    assert it.log_stream_name.startswith("2026/01/05/[$LATEST]")
    assert len(it.log_stream_name) == len("2026/01/05/[$LATEST]") + 32
    assert it.client_context is None
    assert it.tenant_id is None


def test_the_identity_is_there_and_says_nothing() -> None:
    it = context()
    assert it.identity.cognito_identity_id is None
    assert it.identity.cognito_identity_pool_id is None
    assert it.identity is not context().identity
    assert repr(it.identity) == "CognitoIdentity([cognito_identity_id=None,cognito_identity_pool_id=None])"


@pytest.mark.parametrize(("now", "left"), [(0, 3000), (2999, 1), (3000, 0), (3001, 0), (10**9, 0)])
def test_the_remaining_time_is_never_below_zero(now: int, left: int) -> None:
    assert context(now=now).get_remaining_time_in_millis() == left


@pytest.mark.parametrize(
    ("arn", "name", "version"),
    [
        (ARN, "orders", "$LATEST"),
        (f"{ARN}:7", "orders", "7"),
        (f"{ARN}:live", "orders", "$LATEST"),
        (f"{ARN}:$LATEST", "orders", "$LATEST"),
        ("orders", "orders", "$LATEST"),
    ],
)
def test_name_and_version_come_from_the_arn(arn: str, name: str, version: str) -> None:
    it = context(arn=arn)
    assert (it.function_name, it.function_version, it.invoked_function_arn) == (name, version, arn)
    assert f"[{version}]" in it.log_stream_name


def test_log_writes_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    context().log("seen")
    context().log(12)
    assert capsys.readouterr().out == "seen\n12\n"


def test_its_text_names_every_public_field() -> None:
    text = repr(context())
    assert text.startswith("LambdaContext([aws_request_id=11111111-")
    assert "memory_limit_in_mb=128" in text
    assert "_deadline" not in text


def test_it_takes_no_other_fields() -> None:
    with pytest.raises(AttributeError):
        context().funtion_name = "misspelt"  # type: ignore[attr-defined]  # that is the point
