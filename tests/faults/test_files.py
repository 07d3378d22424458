"""What files and variables of the environment may do, and what they may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from esm.cli import guard
from esm.cli.exits import Exit, Failure
from esm.errors import TemplateError
from esm.templates.load import load_template
from esm.templates.template import Options

ARN = "arn:aws:kinesis:us-east-1:000000000000:stream/orders"


@pytest.mark.parametrize(
    "value", ["http://127.0.0.1:4566\n", " http://127.0.0.1:4566", "http://127.0.0.1:4566\r", "http://a b"]
)
def test_an_endpoint_with_a_space_or_the_end_of_a_line_is_refused(value: str) -> None:
    with pytest.raises(Failure, match="there is a space or a line's end in it") as refused:
        guard.check_sources([ARN], value, live=False)
    assert refused.value.code == Exit.INVALID
    assert "\n" not in refused.value.line


def test_a_region_with_spaces_around_it_is_the_region() -> None:
    assert Options(environ={"AWS_REGION": " eu-west-1\n"}).region_or(None) == "eu-west-1"
    assert Options(environ={"AWS_REGION": " \n", "AWS_DEFAULT_REGION": "eu-west-2"}).region_or(None) == "eu-west-2"


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.170.2",
        "[fe80::1]",
        "2852039166",
        "0xa9.0xfea9fe",
        "[::ffff:169.254.169.254]",
        "[fd00:ec2::254]",
        "[fd00:ec2::254%1]",
        "169.254.169.254.",
        "169\u3002254\u3002169\u3002254",
        "\u2460\u2465\u2468.254.169.254",
    ],
)
def test_a_metadata_address_is_no_endpoint(host: str) -> None:
    for live in (False, True):
        with pytest.raises(Failure, match="holds a machine's metadata") as refused:
            guard.check_sources([ARN], f"http://{host}/latest", live=live)
        assert refused.value.code == Exit.GUARD
    guard.check_sources([ARN], "http://127.0.0.1:4566", live=False)


@pytest.mark.parametrize(
    "host", ["amazonaws.com.", "AMAZONAWS.com:443", "\uff41mazonaws.com", "amazonaws\u3002com", "api.aws."]
)
def test_aws_is_aws_however_its_name_is_written(host: str) -> None:
    with pytest.raises(Failure, match="add --live if that is meant") as refused:
        guard.check_sources([ARN], f"https://kinesis.us-east-1.{host}", live=False)
    assert refused.value.code == Exit.GUARD


@pytest.mark.parametrize("key", ["EndpointUrl", "Live", "Store"])
def test_no_file_says_where_sources_are_read(key: str, tmp_path: Path) -> None:
    (tmp_path / "esm.yaml").write_text(f"EventSourceMappings: []\n{key}: http://169.254.169.254\n")
    with pytest.raises(TemplateError, match=f"{key}: there is no such key"):
        load_template(tmp_path / "esm.yaml", Options())


def test_a_hostile_tag_runs_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    (tmp_path / "a.yaml").write_text(f"a: !!python/object/apply:pathlib.Path.touch [!!python/name:{mark}]\n")
    with pytest.raises(TemplateError, match="none of CloudFormation's short forms"):
        load_template(tmp_path / "a.yaml", Options())
    assert not mark.exists()
