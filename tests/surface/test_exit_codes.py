"""Each failure is one line on stderr that says what and what to do, with an exit code of its own."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from esm.cli.exits import MEANINGS, Exit
from tests.servers.plugin import free_port
from tests.servers.scripted import ScriptedServer, error
from tests.surface.streams import Stream
from tests.surface.typed import Esm

ARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
APP = """
import esm

async def handle(event, context): pass

def make(**settings):
    given = {"event_source_arn": "{arn}", "function": handle, "starting_position": "LATEST", **settings}
    return esm.EventSourceMapping(**given)

""".replace("{arn}", ARN)
LOCAL = ("--endpoint-url", "http://127.0.0.1:9")

SETTINGS = [
    ("batch_size=0", "batch_size=0", "value greater than or equal to 1"),
    ("batch_size=10_001", "batch_size=10001", "value less than or equal to 10000"),
    ("parallelization_factor=11", "parallelization_factor=11", "value less than or equal to 10"),
    ("maximum_record_age_in_seconds=5", "maximum_record_age_in_seconds=5", "between 60 and 604800"),
    ("starting_position=None", "starting_position", "starting"),
    ("starting_position='NOW'", "starting_position='NOW'", "LATEST"),
    ("starting_position='AT_TIMESTAMP'", "starting_position_timestamp", "Need to specify a timestamp"),
    ("function_response_types=['Report']", "function_response_types", "ReportBatchItemFailures"),
    ("filter_criteria=['{']", "filter_criteria", "pattern"),
    ("destination_config='queue'", "destination_config", "destination"),
    ("scaling_config={'MaximumConcurrency': 5}", "scaling_config", "Unsupported"),
    ("event_source_arn='orders'", "event_source_arn='orders'", "eventSourceArn"),
    (
        "event_source_arn='arn:aws:dynamodb:eu-west-1:123456789012:table/sales'",
        "event_source_arn='arn:aws:dynamodb:eu-west-1:123456789012:table/sales'",
        "table/NAME/stream/TIME",
    ),
    ("batchsize=5", "batchsize", "batch_size"),
    ("tumbling_window_in_seconds=901", "tumbling_window_in_seconds=901", "900"),
]


@pytest.mark.parametrize(("setting", "field", "rule"), SETTINGS)
def test_a_setting_that_lambda_refuses(esm_: Esm, setting: str, field: str, rule: str) -> None:
    esm_.app(f"{APP}\nmappings = [make({setting})]")
    ended = esm_("run", "app:mappings", *LOCAL)
    assert ended.code == Exit.INVALID
    assert ended.line.startswith(f"esm: {field}")
    assert rule.lower() in ended.line.lower()
    assert re.search(r"\[\w+Exception\]$", ended.line)


USAGE = [
    (("run", "app"), "MODULE:OBJECT='app': write module:object"),
    (("run", "app.py"), "(perhaps app:mappings)"),
    (("run",), "MODULE:OBJECT"),
    (("run", "app:mappings", "--drain-timeout", "-1"), "--drain-timeout"),
    (("run", "app:mappings", "--drain-timeout", "soon"), "'soon'"),
    (("run", "app:mappings", "--drain-timeout", "nan"), "--drain-timeout"),
    (("run", "app:mappings", "--drain-timeout", "inf"), "--drain-timeout"),
    (("run", "app:mappings", "--log-level", "loud"), "'loud'"),
    (("run", "app:mappings", "--app-dir", "nowhere"), "'nowhere'"),
    (
        ("run", "app:mappings", "--only", "hande"),
        "--only='hande': no mapping has this uuid or function; there are handle",
    ),
    (("run", "app:mappings", "--except", "handle"), "no mapping is left"),
    (("run", "app:number"), "holds a int"),
    (("run", "app:handle"), "takes (event, context); name mappings, or a function without arguments for them"),
    (("run", "app:nothing"), "holds no mapping"),
    (("run", "app:later"), "async def"),
    (("run", "app:twice", *LOCAL), "already exists"),
    (
        ("run", "app:mappings", *LOCAL, "--create-resources"),
        "--create-resources is for a FILE, and 'app:mappings' is none.",
    ),
    (("plan", "app:mappings", "--parameter", "Stage=prod"), "--parameter is for a FILE, and 'app:mappings' is none."),
    (("doctor", "app:mappings", "--account", "123456789012"), "--account is for a FILE"),
    (("rum",), "No such command 'rum'"),
    (("run", "app:mappings", "--sotre", "x"), "--sotre"),
]


@pytest.mark.parametrize(("arguments", "said"), USAGE)
def test_wrong_usage(esm_: Esm, arguments: tuple[str, ...], said: str) -> None:
    esm_.app(
        f"{APP}\nmappings = make()\nnumber = 3\nnothing = []\nasync def later(): pass\n"
        "twice = [make(), make(batch_size=5)]",
    )
    ended = esm_(*arguments)
    assert ended.code == Exit.INVALID
    assert said in ended.line


REFUSED = [
    (
        "function=esm.Function(lambda event, context: None, isolation='process')",
        "isolation='process': isolation 'process' needs a function that another process can find by its name",
    ),
    (
        "starting_position='AT_TIMESTAMP', starting_position_timestamp=4e9",
        "starting_position_timestamp=4000000000.0: StartingPositionTimestamp cannot be in the future.",
    ),
]


@pytest.mark.parametrize(("setting", "said"), REFUSED)
def test_a_plan_refuses_what_a_run_refuses(esm_: Esm, setting: str, said: str) -> None:
    esm_.app(f"{APP}\nmappings = make({setting})")
    planned, ran = esm_("plan", "app:mappings"), esm_("run", "app:mappings", *LOCAL, "--log-level", "error")
    assert planned.code == ran.code == Exit.INVALID
    assert planned.line == ran.line
    assert said in planned.line
    assert planned.out == ""


def test_nothing_that_is_enabled(esm_: Esm) -> None:
    esm_.app(f"{APP}\nmappings = make(enabled=False)")
    ended = esm_("run", "app:mappings", *LOCAL)
    assert ended.code == Exit.INVALID
    assert ended.line == "esm: nothing to run: every mapping has enabled=False (handle)"


URLS = [
    ("127.0.0.1:4566", "'127.0.0.1:4566'", "; perhaps http://127.0.0.1:4566"),
    ("localhost:4566", "'localhost:4566'", "; perhaps http://localhost:4566"),
    ("user:secret@localhost", "'localhost'", "; perhaps http://localhost"),
    ("http://", "'http://'", "127.0.0.1:4566"),
    ("ftp://127.0.0.1", "'ftp://127.0.0.1'", "127.0.0.1:4566"),
    ("http://127.0.0.1:port", "'http://127.0.0.1:port'", "127.0.0.1:4566"),
]


@pytest.mark.parametrize(("url", "named", "hint"), URLS)
def test_an_endpoint_that_is_no_url(esm_: Esm, url: str, named: str, hint: str) -> None:
    esm_.app(f"{APP}\nmappings = make()")
    ended = esm_("run", "app:mappings", "--live", "--endpoint-url", url)
    assert ended.code == Exit.INVALID
    assert ended.line == f"esm: --endpoint-url={named}: write scheme and host, as in http://127.0.0.1:4566" + (
        hint if hint.startswith(";") else ""
    )


HANDLERS = [
    ("run", "app:handel", "near to it: handle"),
    ("plan", "ap.handle", "there is no module 'ap'"),
    ("run", "app:number", "not callable"),
    ("plan", "app:short", "(event, context)"),
    ("run", "broken:handle", "importing 'broken' raised ZeroDivisionError: division by zero"),
]


@pytest.mark.parametrize(("command", "name", "said"), HANDLERS)
def test_a_handler_that_is_not_there(esm_: Esm, command: str, name: str, said: str) -> None:
    esm_.app(f"{APP}\nnumber = 3\ndef short(event): pass\nmappings = make(function={name!r})")
    (esm_.folder / "broken.py").write_text("1 / 0")
    ended = esm_(command, "app:mappings", *(LOCAL if command == "run" else ()))
    assert ended.code == Exit.HANDLER_NOT_FOUND
    assert said in ended.line


TARGETS = [
    ("ap:mappings", "there is no module 'ap'"),
    ("app:maping", "near to it: mapping"),
    ("app:raises", "calling it raised KeyError: 'x'"),
    ("broken:mappings", "importing 'broken' raised ZeroDivisionError: division by zero"),
    ("needs:mappings", "importing 'needs' raised ModuleNotFoundError: No module named 'nowhere'"),
    ("leaves:mappings", "importing 'leaves' raised SystemExit"),
    ("odd:mappings", "importing 'odd' raised SyntaxError"),
]


@pytest.mark.parametrize(("target", "said"), TARGETS)
def test_mappings_that_are_not_there(esm_: Esm, target: str, said: str) -> None:
    esm_.app(f"{APP}\nmapping = make()\ndef raises(): raise KeyError('x')")
    for name, text in {"broken": "1 / 0", "needs": "import nowhere", "leaves": "exit(3)", "odd": "def"}.items():
        (esm_.folder / f"{name}.py").write_text(text)
    ended = esm_("run", target, *LOCAL)
    assert ended.code == Exit.HANDLER_NOT_FOUND
    assert said in ended.line


@pytest.mark.service
def test_a_stream_that_is_not_there(esm_: Esm, ministack: str) -> None:
    esm_.app(f"{APP}\nmappings = make()")
    ended = esm_("run", "app:mappings", "--endpoint-url", ministack)
    assert ended.code == Exit.SOURCE_MISSING
    assert ended.line.startswith(f"esm: {ARN}: ResourceNotFoundException")
    assert ended.line.endswith("not found; create it, or mend its name, region or account")


@pytest.mark.service
def test_a_queue_that_is_not_there(esm_: Esm, ministack: str) -> None:
    queue = "arn:aws:sqs:eu-west-1:123456789012:nobody"
    esm_.app(f"{APP}\nmappings = make(event_source_arn={queue!r}, starting_position=None)")
    ended = esm_("run", "app:mappings", "--endpoint-url", ministack)
    assert ended.code == Exit.SOURCE_MISSING
    assert ended.line.startswith(f"esm: {queue}: QueueDoesNotExist: ")
    assert ended.line.endswith(" exist; create it, or mend its name, region or account")


@pytest.mark.service
def test_of_two_streams_the_missing_one_is_named(esm_: Esm, stream: Stream) -> None:
    esm_.app(f"{APP}\nmappings = [make(event_source_arn={stream.arn!r}), make()]")
    ended = esm_("run", "app:mappings", "--endpoint-url", stream.url, "--log-level", "error")
    assert ended.code == Exit.SOURCE_MISSING
    assert ended.line.startswith(f"esm: {ARN}: ")


@pytest.mark.service
@pytest.mark.anyio
@pytest.mark.parametrize("code", ["AccessDeniedException", "UnrecognizedClientException", "ExpiredTokenException"])
async def test_a_stream_that_may_not_be_read(esm_: Esm, code: str) -> None:
    esm_.app(f"{APP}\nmappings = make()")
    async with ScriptedServer([error(code, "User is not authorized")]) as server:
        ended = await asyncio.to_thread(esm_, "run", "app:mappings", "--endpoint-url", server.url)
    assert ended.code == Exit.SOURCE_DENIED
    assert f"{ARN}: {code}: User is not authorized; mend the credentials" in ended.line


def test_no_credentials(esm_: Esm) -> None:
    esm_.app(f"{APP}\nmappings = make()")
    ended = Esm(esm_.folder, {})("run", "app:mappings", *LOCAL)
    assert ended.code == Exit.SOURCE_DENIED
    assert "set AWS_ACCESS_KEY_ID" in ended.line


def test_a_profile_that_is_not_there(esm_: Esm) -> None:
    esm_.app(f"{APP}\nmappings = make()")
    ended = Esm(esm_.folder, {"AWS_PROFILE": "nobody"})("run", "app:mappings", *LOCAL)
    assert ended.code == Exit.SOURCE_DENIED
    assert f"{ARN}: ProfileNotFound: The config profile (nobody) could not be found; mend" in ended.line


def test_an_endpoint_that_does_not_answer(esm_: Esm) -> None:
    esm_.app(f"{APP}\nmappings = make()")
    url = f"http://127.0.0.1:{free_port()}"
    ended = esm_("run", "app:mappings", "--endpoint-url", url)
    assert ended.code == Exit.UNREACHABLE
    assert f"at {url}" in ended.line


def test_an_arn_without_a_region(esm_: Esm) -> None:
    esm_.app(f"{APP}\nmappings = make(event_source_arn={ARN.replace('eu-west-1', '')!r})")
    settings = {name: value for name, value in esm_.settings.items() if "REGION" not in name}
    ended = Esm(esm_.folder, settings)("run", "app:mappings", *LOCAL)
    assert ended.code == Exit.INVALID
    assert ended.line.endswith("You must specify a region; write it into the ARN, or give --region or AWS_REGION")


STORES = [
    ("sqlite:///nowhere/esm.db", "there is no directory"),
    ("sqlite:///app.py", "app.py"),
    ("redis://127.0.0.1", "names no store"),
    ("sqlite:esm.db", "names no file"),
]


@pytest.mark.parametrize(("store", "said"), STORES)
def test_a_store_that_cannot_be_used(esm_: Esm, store: str, said: str) -> None:
    esm_.app(f"{APP}\nmappings = make()")
    ended = esm_("run", "app:mappings", *LOCAL, "--store", store)
    assert ended.code == Exit.STORE
    assert said in ended.line


@pytest.mark.parametrize(
    "endpoint", [(), ("--endpoint-url", "https://kinesis.eu-west-1.amazonaws.com"), ("--store", "memory:")]
)
def test_real_sources_are_not_touched_unasked(esm_: Esm, endpoint: tuple[str, ...]) -> None:
    esm_.app(f"{APP}\nmappings = make()")
    ended = esm_("run", "app:mappings", *endpoint)
    assert ended.code == Exit.GUARD
    assert f"would read {ARN} at AWS" in ended.line
    assert "--live" in ended.line
    assert not Path(esm_.folder, "esm.db").exists()


def test_a_destination_that_cannot_be_opened(esm_: Esm) -> None:
    (esm_.folder / "taken").mkdir()
    esm_.app(f"{APP}\nmappings = make(destination_config='file://{esm_.folder}/taken')")
    ended = esm_("run", "app:mappings", *LOCAL)
    assert ended.code == Exit.DESTINATION
    assert "destination_config" in ended.line


MISSING = [
    ("click", "cli", "run app:mappings", "the command line needs click"),
    ("watchfiles", "watch", f"run app:mappings {' '.join(LOCAL)} --watch", "--watch needs watchfiles"),
    ("yaml", "cli", "plan template.yaml", "template.yaml needs PyYAML"),
    ("yaml", "cli", "positions show --app template.yaml", "template.yaml needs PyYAML"),
    ("samtranslator", "templates", f"run template.yaml {' '.join(LOCAL)}", "template.yaml needs aws-sam-translator"),
    ("zstandard", "replay", "replay r.jsonl.zst --function app:handle", "r.jsonl.zst needs zstandard"),
    ("zstandard", "replay", "replay r.jsonl r.jsonl.zst --function app:handle", "r.jsonl.zst needs zstandard"),
    (
        "zstandard",
        "replay",
        "replay r.jsonl.zst --format firehose --function app:handle",
        "r.jsonl.zst needs zstandard",
    ),
    ("zstandard", "replay", "what-if r.jsonl* --batch-size 1 --call-ms 1", "r.jsonl.zst needs zstandard"),
    ("zstandard", "replay", f"record {ARN} -o new.jsonl.zst {' '.join(LOCAL)}", "new.jsonl.zst needs zstandard"),
    ("zstandard", "replay", "run app:recorded --store memory:", "r.jsonl.zst needs zstandard"),
    ("matplotlib", "plot", "what-if r.jsonl --batch-size 1,2 --call-ms 1 --plot p.svg", "a plot needs matplotlib"),
]


@pytest.mark.parametrize(("package", "extra", "typed", "said"), MISSING)
def test_packages_that_are_missing(esm_: Esm, package: str, extra: str, typed: str, said: str) -> None:
    """As without the extra: the package is hidden from the interpreter."""
    hide = f"import sys; sys.modules.update(dict.fromkeys([{package!r}, '{package}.figure']))"
    (esm_.folder / "sitecustomize.py").write_text(hide)
    recorded = f"make(event_source_arn='file://{esm_.folder}/r.jsonl*', starting_position=None)"
    esm_.app(f"{APP}\nmappings = make()\nrecorded = {recorded}")
    (esm_.folder / "template.yaml").write_text("Transform: AWS::Serverless-2016-10-31\nResources: {}\n")
    (esm_.folder / "r.jsonl").write_text(json.dumps({"esm_recording": 1, "kind": "kinesis", "source": ARN, "id": "r"}))
    (esm_.folder / "r.jsonl.zst").touch()
    settings = {**esm_.settings, "PYTHONPATH": f"{esm_.folder}:{Path(__file__).parents[2]}"}
    ended = Esm(esm_.folder, settings)(*typed.split())
    assert ended.code == Exit.NOT_INSTALLED, ended
    assert ended.line == f"esm: {said}: pip install 'asyncio-esm[{extra}]'"
    assert ended.out == ""


def test_a_traceback_only_when_asked_for(esm_: Esm) -> None:
    (esm_.folder / "broken.py").write_text("1 / 0")
    ended = esm_("run", "broken:mappings", "--log-level", "debug")
    assert ended.code == Exit.HANDLER_NOT_FOUND
    assert "Traceback" in ended.err


def test_help_has_every_exit_code(esm_: Esm) -> None:
    ended = esm_("--help")
    assert ended.code == Exit.CLEAN
    listed = {int(code): text for code, text in re.findall(r"^ +(\d+)  (.+)$", ended.out, re.MULTILINE)}
    assert listed == {int(code): meaning for code, meaning in MEANINGS.items()}
    assert set(MEANINGS) == set(Exit)
