"""Fixtures: local AWS servers as child processes on loopback, one of each per test process."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.servers.certificate import Certificate, make_certificate
from tests.servers.install import KINESIS_LOCAL, MINISTACK

__all__ = [
    "account",
    "anyio_backend",
    "certificate",
    "free_port",
    "kinesis_local",
    "ministack",
    "run_ministack",
    "start",
]

PATIENCE_SECONDS = 30.0
MISSING = "the local servers are not installed: run `python tests/servers/install.py`"

_ACCOUNTS = itertools.count(100_000_000_000)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Coroutine tests marked `anyio` run on asyncio."""
    return "asyncio"


@pytest.fixture
def account() -> str:
    """Twelve digits no test had before. As access key it selects an account of its own on either server."""
    return str(next(_ACCOUNTS))


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a running ministack: Kinesis, DynamoDB and its streams, SQS, SNS, S3."""
    yield from run_ministack(tmp_path_factory.mktemp("ministack"))


def run_ministack(folder: Path) -> Iterator[str]:
    """Runs ministack in `folder`, gives its URL once it answers, and ends it."""
    program = MINISTACK / "bin" / "ministack"

    def command(port: int) -> tuple[list[str], dict[str, str]]:
        return [str(program)], {
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "LOG_LEVEL": "ERROR",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "DOCKER_HOST": "unix:///nonexistent",
        }

    yield from start(program, command, folder)


@pytest.fixture(scope="session")
def kinesis_local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a running kinesis-local: Kinesis with closed shards and their children. About 80 calls a second."""
    package = KINESIS_LOCAL / "node_modules" / "kinesis-local"
    folder = tmp_path_factory.mktemp("kinesis-local")
    node = shutil.which("node")
    changes = ("CREATE_STREAM", "DELETE_STREAM", "SPLIT_SHARD", "MERGE_SHARDS", "UPDATE_SHARD_COUNT")

    def command(port: int) -> tuple[list[str], dict[str, str]]:
        preload = Path(__file__).with_name("loopback.cjs")
        return [node or "node", "--require", str(preload), str(package / "main.js")], {
            "KINESIS_MOCK_PLAIN_PORT": str(port),
            "KINESIS_MOCK_TLS_PORT": str(free_port()),
            "KINESIS_MOCK_CERT_PATH": str(package / "server.json"),
            "SHARD_LIMIT": "1000",
            "LOG_LEVEL": "ERROR",
        } | {f"{change}_DURATION": "10ms" for change in changes}

    yield from start(package / "main.js", command, folder)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate for `localhost` that no system trusts."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))


Command = Callable[[int], tuple[list[str], dict[str, str]]]


def start(program: Path, command: Command, folder: Path) -> Iterator[str]:
    """Runs `command(port)` in `folder`, gives its URL once it answers, and ends it. Another port, if one was taken."""
    if not program.exists():
        pytest.fail(MISSING)
    with (folder / "log").open("wb") as log:
        for _ in range(3):
            port = free_port()
            arguments, settings = command(port)
            process = subprocess.Popen(
                arguments,
                env=_environment(settings),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
            try:
                if _answers(f"http://127.0.0.1:{port}/", process):
                    yield f"http://127.0.0.1:{port}"
                    return
            finally:
                _end(process)
    pytest.fail(f"{program.name} does not start:\n{(folder / 'log').read_text(errors='replace')[-2000:]}")


def free_port() -> int:
    """A port of loopback that nothing listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The servers' own settings, and nothing of the caller's AWS or proxy set-up."""
    kept = ("HOME", "LANG", "PATH", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ} | dict(settings)


def _answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    """Whether it gave any HTTP answer before it ended or patience did."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    give_up = time.perf_counter() + PATIENCE_SECONDS
    while process.poll() is None and time.perf_counter() < give_up:
        try:
            direct.open(url, timeout=5).close()
        except urllib.error.HTTPError as error:
            error.close()
        except OSError:
            time.sleep(0.05)
            continue
        return True
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
