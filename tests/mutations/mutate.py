"""Files of settings with something changed in them: in their text, or in what they say."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

__all__ = ["SEEDS", "mutated"]

SEEDS = sorted((Path(__file__).parent / "seeds").iterdir())

_TOKENS = [
    *("&a", "*a", "<<: *a", "!Ref X", "!!python/name:os.system", "{", "}", "[", "]", "'", '"', "\t", "---", "? ", "| "),
    *(
        "${self:custom}",
        "${self:",
        "${",
        "}",
        "${file(../x.yml)}",
        "${opt:x, ${env:Y}}",
        "#{AWS::Region}",
        "\0",
        "\x85",
    ),
    *("on", "no", "2020-01-01", "1:30", "012", "1e400", ".nan", "~", "9" * 400, "\N{SNOWMAN}", "-1", "NaN", "=", ":"),
    *('{"Ref": "AWS::NoValue"}', '{"Fn::GetAtt": ["Orders"]}', '{"Fn::Sub": "${A"}', "Fn::If", "Condition", "\r\n"),
]
_VALUES: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2,
        10_001,
        10**17,
        1.5,
        "",
        "x",
        "0",
        "true",
        "yes",
        "TRIM_HORIZON",
        "arn:aws:s3:::b",
    ),
    *([], {}, [[]], [{}], {"": ""}, {"Ref": "Nowhere"}, {"Ref": "AWS::NoValue"}, {"Ref": ["a"]}, {"Fn::Nothing": 1}),
    *({"Fn::GetAtt": ["Orders", "Arn"]}, {"Fn::GetAtt": "Orders.Name"}, {"Fn::Sub": "${Stage}-${Nowhere}"}),
    *(
        {"Fn::Join": ["", ["a", 1]]},
        {"Fn::Select": [9, ["a"]]},
        {"Fn::Split": ["", "a"]},
        {"Fn::If": ["Nowhere", 1, 2]},
    ),
    *({"Fn::FindInMap": ["Sizes", "dev", "batch"]}, {"Fn::ImportValue": "other"}, {"Fn::ToJsonString": {"a": 1}}),
    *(
        "${self:custom.names}",
        "${self:}",
        "${opt:stage}",
        "{{resolve:ssm:x}}",
        "../..",
        "s3://b/k",
        "x" * 5_000,
        "a\nb",
    ),
    *("AWS::Lambda::EventSourceMapping", "AWS::Serverless::Function", "arn:aws:kafka:us-east-1:1:cluster/a", "\0", "é"),
]


def mutated(seed: int) -> tuple[str, bytes]:
    """A file's name and text, made from one of the seeds; the same for the same seed."""
    rng = random.Random(seed)
    path = rng.choice(SEEDS)
    text = _text(path)
    structured = path.suffix != ".toml" and rng.random() < 0.7
    if structured:
        return path.with_suffix(".json").name, _restructured(rng, text).encode()
    for _ in range(rng.randint(1, 2)):
        text = _rewritten(rng, text)
    data = text.encode(errors="surrogatepass")
    if rng.random() < 0.05:
        at = rng.randrange(len(data) or 1)
        data = data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
    return path.name, data


def _rewritten(rng: random.Random, text: str) -> str:
    at = rng.randrange(len(text) + 1)
    end = min(len(text), at + rng.choice([0, 1, 5, 40]))
    match rng.randrange(6):
        case 0:
            return text[:at] + rng.choice(_TOKENS) + text[at:]
        case 1:
            return text[:at] + text[end:]
        case 2:
            return text[:end] + text[at:]
        case 3:
            lines = text.splitlines(keepends=True)
            rng.shuffle(lines)
            return "".join(lines) if rng.random() < 0.1 else text[:at] + rng.choice(lines or [""]) + text[at:]
        case 4:
            return text[:at] + rng.choice(_TOKENS) + text[end:]
        case _:
            return text.replace(rng.choice(text.split() or [""]), rng.choice(_TOKENS), 1)


def _restructured(rng: random.Random, text: str) -> str:
    """The same as JSON, with some of its values others."""
    value = copy.deepcopy(_value(text))
    for _ in range(rng.randint(1, 2)):
        places = list(_places(value))
        if places:
            _change(rng, *rng.choice(places))
    return json.dumps(value)


@cache
def _text(path: Path) -> str:
    return path.read_text()


@cache
def _value(text: str) -> Any:
    return yaml.load(text, Loader=_Plain)  # noqa: S506  # a loader of safe values, with short forms


def _change(rng: random.Random, owner: Any, key: Any) -> None:
    match rng.randrange(5):
        case 0:
            del owner[key]
        case 1 if isinstance(owner, dict):
            owner[rng.choice([*owner, "Properties", "Type", "Nowhere", ""])] = owner[key]
        case 2:
            owner[key] = [owner[key]]
        case 3:
            owner[key] = {"Fn::Sub": owner[key]} if rng.random() < 0.5 else {key: owner[key]}
        case _:
            owner[key] = copy.deepcopy(rng.choice(_VALUES))


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _places(value[key])


class _Plain(yaml.SafeLoader):
    """Reads the seeds: short forms become long ones."""


def _short_form(loader: Any, suffix: str, node: Any) -> Any:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        return {name: value.split(".", 1) if name == "Fn::GetAtt" else value}
    build = loader.construct_sequence if isinstance(node, yaml.SequenceNode) else loader.construct_mapping
    return {name: build(node, deep=True)}


_Plain.add_multi_constructor("!", _short_form)
