"""What the files for Kubernetes ask of a worker is what it answers: the probes' own commands, and KEDA's question."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from esm.management.http import Probes
from tests.surface.probing import READING, TOKEN, Worker, get, of, probed

pytestmark = pytest.mark.anyio

FOLDER = Path(__file__).parents[2] / "deploy"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def documents(name: str) -> dict[str, Any]:
    """By kind."""
    return {each["kind"]: each for each in yaml.safe_load_all((FOLDER / name).read_text())}


def pod() -> dict[str, Any]:
    spec: dict[str, Any] = documents("kubernetes.yaml")["Deployment"]["spec"]["template"]["spec"]
    return spec


def option(name: str) -> str:
    (value,) = (each.partition("=")[2] for each in pod()["containers"][0]["args"] if each.startswith(f"{name}="))
    return str(value)


async def ask(probes: Probes, command: list[str], token: Path) -> int:
    """Runs a probe's command as the kubelet does, with this server's port and token."""
    assert command[0] == "python"
    port, file = option("--http").rpartition(":")[2], option("--http-token-file")
    assert f"127.0.0.1:{port}" in command[2]
    assert file in command[2]
    code = command[2].replace(f":{port}", f":{probes.address.port}").replace(file, str(token))
    typed = [sys.executable, "-c", code, *command[3:]]
    done = await asyncio.to_thread(subprocess.run, typed, capture_output=True, check=False, timeout=30)
    return done.returncode


@pytest.mark.parametrize("probe", ["livenessProbe", "readinessProbe"])
async def test_a_probe_succeeds_and_fails_with_the_worker(tmp_path: Path, probe: str) -> None:
    command = pod()["containers"][0][probe]["exec"]["command"]
    token = tmp_path / "token"
    token.write_text(TOKEN)
    ill = Worker(of(replace(READING, state="halted")), running=False)
    for worker, fails in ((Worker(), False), (ill, True)):
        async with probed(worker, "127.0.0.1:0", token=TOKEN) as probes:
            assert (await ask(probes, command, token) != 0) == fails


def test_the_token_is_where_the_probes_and_the_worker_look_for_it() -> None:
    (container,) = pod()["containers"]
    file = Path(option("--http-token-file"))
    (mount,) = (each for each in container["volumeMounts"] if each["mountPath"] == str(file.parent))
    (volume,) = (each for each in pod()["volumes"] if each["name"] == mount["name"])
    assert volume["secret"]["secretName"] == "orders-worker-http"
    assert file.name == "token"


def test_a_probe_has_more_time_than_its_own_limit() -> None:
    (container,) = pod()["containers"]
    for probe in (container["livenessProbe"], container["readinessProbe"]):
        assert probe["timeoutSeconds"] > 4
    assert container["livenessProbe"]["failureThreshold"] * container["livenessProbe"]["periodSeconds"] >= 60


async def test_what_keda_asks_is_a_number() -> None:
    kinds = documents("keda.yaml")
    (trigger,) = kinds["ScaledObject"]["spec"]["triggers"]
    url = urlsplit(trigger["metadata"]["url"])
    assert (trigger["type"], trigger["metadata"]["authMode"]) == ("metrics-api", "bearer")
    assert trigger["authenticationRef"]["name"] == kinds["TriggerAuthentication"]["metadata"]["name"]
    assert url.hostname is not None
    assert url.hostname.split(".")[0] == kinds["Service"]["metadata"]["name"]
    assert url.port == kinds["Service"]["spec"]["ports"][0]["port"]
    assert f"--http-host={url.hostname} " in (FOLDER / "keda.yaml").read_text()
    async with probed(Worker(), "0.0.0.0:0", token=TOKEN, hosts=[url.hostname]) as probes:
        reply = await get(probes, url.path, f"Authorization: Bearer {TOKEN}", host=url.netloc)
    number = json.loads(reply.body)[trigger["metadata"]["valueLocation"]]
    assert isinstance(number, float)
    assert number > float(trigger["metadata"]["targetValue"])
