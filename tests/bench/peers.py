"""Installs what the benchmark compares with and Python has not: `sqs-consumer`, into `.emulators`; once.

python -m tests.bench.peers
"""

from __future__ import annotations

import shutil
import subprocess
import sys

from tests.servers.install import ROOT

__all__ = ["SQS_CONSUMER", "SQS_CONSUMER_RELEASES", "main"]

SQS_CONSUMER = ROOT / "sqs-consumer"
SQS_CONSUMER_RELEASES = ("sqs-consumer@14.2.8", "@aws-sdk/client-sqs@3.1169.0")
"""The last that runs on Node 20, and the SDK it asks for."""


def main() -> None:
    """Does nothing when they are there. The stamp is written last: an installation that broke off is made again."""
    stamp = SQS_CONSUMER / ".release"
    if stamp.exists() and stamp.read_text() == " ".join(SQS_CONSUMER_RELEASES):
        return
    npm = shutil.which("npm")
    if npm is None:
        sys.exit("sqs-consumer, which queues are compared with, needs Node 20 with npm: there is no npm on the path")
    shutil.rmtree(SQS_CONSUMER, ignore_errors=True)
    SQS_CONSUMER.mkdir(parents=True)
    command = [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(SQS_CONSUMER)]
    subprocess.run([*command, *SQS_CONSUMER_RELEASES], check=True, stdin=subprocess.DEVNULL)
    stamp.write_text(" ".join(SQS_CONSUMER_RELEASES))


if __name__ == "__main__":
    main()
