"""Installs what the benchmark compares with and this environment has not, into `.emulators`; once.

    python -m tests.bench.peers                 what runs on Node; without Node 20 and npm, nothing
    python -m tests.bench.peers --localstack    LocalStack's pollers as well, which are 200 MB

A comparison leaves out what is not there, and says so.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.servers.install import ROOT, is_installed, of_node, of_python, once

__all__ = [
    "KINESIS_SDK",
    "NODE_PEERS",
    "NODE_WARM_UP_S",
    "PEERS",
    "SQS_CONSUMER",
    "Peer",
    "absent",
    "interpreter",
    "present",
    "versions",
]


@dataclass(frozen=True)
class Peer:
    """`releases`: what is installed, all pinned; the first gives the peer its version. `python`: rather than Node."""

    folder: Path
    releases: tuple[str, ...]
    python: bool = False

    @property
    def installed(self) -> bool:
        """Whether it is there, and can run."""
        return is_installed(self.folder, self.releases) and (self.python or shutil.which("node") is not None)

    @property
    def modules(self) -> str:
        """Where Node finds its packages."""
        return str(self.folder / "node_modules")


SQS_CONSUMER = Peer(ROOT / "sqs-consumer", ("sqs-consumer@14.2.8", "@aws-sdk/client-sqs@3.1169.0"))
"""The last that runs on Node 20, and the SDK it asks for."""
KINESIS_SDK = Peer(ROOT / "aws-sdk-js", ("@aws-sdk/client-kinesis@3.1143.0", "@smithy/node-http-handler@4.14.2"))
LOCALSTACK = Peer(ROOT / "localstack", ("localstack-core[base-runtime]==2026.3.0",), python=True)
NODE_WARM_UP_S = 5.0
"""CPU that a poller on Node gets before it is measured: its just-in-time compiler goes on that long (observed)."""
NODE_PEERS: Mapping[str, Peer] = {"aws-sdk-js": KINESIS_SDK, "sqs-consumer": SQS_CONSUMER}
PEERS: Mapping[str, Peer] = {**NODE_PEERS, "localstack": LOCALSTACK}
"""By the name of the variants that need them."""


def present(variants: Iterable[str]) -> list[str]:
    """Those that can run here."""
    return [name for name in variants if name not in PEERS or PEERS[name].installed]


def interpreter(variant: str) -> str:
    """The Python that a variant runs on, or starts on."""
    peer = PEERS.get(variant)
    return str(peer.folder / "bin" / "python") if peer and peer.python else sys.executable


def absent(variants: Iterable[str]) -> str:
    """A line that says which cannot, and how to get them; empty when all can."""
    missing = [name for name in variants if name in PEERS and not PEERS[name].installed]
    option = " --localstack" if "localstack" in missing else ""
    return f"not installed, left out: {', '.join(missing)} (python -m tests.bench.peers{option})" if missing else ""


def versions() -> dict[str, str]:
    """The releases of those that can run here, by package; with Node's own."""
    here = [peer for peer in PEERS.values() if peer.installed]
    pinned = [release.replace("==", "@").rpartition("@") for peer in here for release in peer.releases]
    found = {name.partition("[")[0]: number for name, _, number in pinned}
    if all(peer.python for peer in here):
        return found
    node = subprocess.run(["node", "--version"], check=True, capture_output=True, text=True)
    return {"node": node.stdout.strip().removeprefix("v")} | found


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.peers")
    parser.add_argument("--localstack", action="store_true", help="LocalStack's pollers as well: 200 MB")
    options = parser.parse_args()
    wanted = {name: peer for name, peer in PEERS.items() if options.localstack or not peer.python}
    for name, peer in wanted.items():
        if not peer.python and shutil.which("npm") is None:
            sys.stderr.write(f"{name} is left out: it needs Node 20 with npm, and there is no npm on the path\n")
        elif not is_installed(peer.folder, peer.releases):
            _install(name, peer)


def _install(name: str, peer: Peer) -> None:
    sys.stderr.write(f"installing {name} into {peer.folder}: {', '.join(peer.releases)}\n")
    try:
        once(peer.folder, peer.releases, of_python if peer.python else of_node)
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"{name} is left out: it could not be installed ({error})\n")


if __name__ == "__main__":
    _main()
