"""`esm run --watch`: code and settings change under a running worker; what is broken changes nothing."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.surface.streams import Stream
from tests.surface.typed import Esm, Running

pytestmark = [pytest.mark.service]

APP = """
import base64
import esm
from {module} import say

def handle(event, context):
    for record in event["Records"]:
        text = base64.b64decode(record["kinesis"]["data"]).decode()
        with open("said.txt", "a") as file:
            file.write(say(text) + "\\n")

mappings = [
    esm.EventSourceMapping(
        event_source_arn="{arn}", function=handle, starting_position="TRIM_HORIZON", batch_size={batch_size}
    )
]
"""
WORDS = "def say(text):\n    return {how}\n"


class Edited:
    """An application of two files, in a folder that is watched."""

    def __init__(self, esm_: Esm, stream: Stream, home: Path | None = None) -> None:
        self.folder, self.stream = esm_.folder, stream
        self.home = esm_.folder if home is None else home
        self.words("'one ' + text")
        self.app()

    def app(self, module: str = "words", batch_size: int = 1) -> None:
        text = APP.format(arn=self.stream.arn, module=module, batch_size=batch_size)
        (self.folder / "app.py").write_text(text)

    def words(self, how: str) -> None:
        (self.folder / "words.py").write_text(WORDS.format(how=how))

    def said(self) -> list[str]:
        path = self.home / "said.txt"
        return path.read_text().splitlines() if path.exists() else []

    def handled(self, running: Running, text: str) -> str:
        """What is said of a new record."""
        before = len(running.lines)
        self.stream.put(text)
        running.until("invocation_ended", after=before)
        return self.said()[-1]


def test_code_changes_under_a_running_worker(esm_: Esm, stream: Stream) -> None:
    edited = Edited(esm_, stream)
    options = ("--watch", "--json", "--log-level", "debug", "--endpoint-url", stream.url, "--store", "memory:")
    with esm_.running("run", "app:mappings", *options) as running:
        running.until("watching")
        assert edited.handled(running, "a") == "one a"

        edited.words("'two ' + text")
        assert running.until("reloaded")["updated"] == 1
        assert edited.handled(running, "b") == "two b"

        edited.words("'three ' + ")
        failed = running.until("reload_failed")
        assert "SyntaxError" in failed["reason"]
        assert edited.handled(running, "c") == "two c", "what ran goes on"

        edited.app(batch_size=0)
        failed = running.until("reload_failed", changed=["app.py"])
        edited.app(module="nowhere")
        assert edited.handled(running, "d") == "two d"

        before = len(running.lines)
        edited.words("'four ' + text")
        edited.app(batch_size=7)
        running.until("reloaded", after=before)
        assert edited.handled(running, "e") == "four e"
        code, _ = running.end()
    assert code == 0
    assert edited.said() == ["one a", "two b", "two c", "two d", "four e"], "each once, from where it was"


def test_mappings_come_and_go_with_the_file(esm_: Esm, stream: Stream) -> None:
    edited = Edited(esm_, stream)
    options = ("--watch", "--json", "--log-level", "debug", "--endpoint-url", stream.url, "--store", "memory:")
    with esm_.running("run", "app:mappings", *options) as running:
        running.until("watching")
        text = (esm_.folder / "app.py").read_text()
        renamed = text.replace("def handle(", "def renamed(").replace("function=handle", "function=renamed")
        (esm_.folder / "app.py").write_text(renamed)
        told = running.until("reloaded")
        assert (told["created"], told["deleted"], told["updated"]) == (1, 1, 0)
        assert edited.handled(running, "a") == "one a"
        running.end()


def test_a_folder_that_is_deleted_is_told_once_and_watched_again(esm_: Esm, stream: Stream) -> None:
    """A checkout may take it away and put another in its place; nobody would hear of that one's changes."""
    code = esm_.folder / "code"
    code.mkdir()
    edited = Edited(replace(esm_, folder=code), stream, esm_.folder)
    options = ("--watch", "--json", "--log-level", "debug", "--endpoint-url", stream.url, "--store", "memory:")
    with esm_.running("run", "app:mappings", "--app-dir", "code", *options) as running:
        running.until("watching", folders=[str(code)])
        edited.words("'one more ' + text")
        running.until("reloaded")
        before = len(running.lines)
        shutil.rmtree(code)
        lost = running.until("watch_lost", after=before)
        assert lost["folders"] == [str(code)]
        assert "goes on" in lost["reason"]
        assert edited.handled(running, "a") == "one more a", "what ran goes on"

        told = len(running.lines)
        code.mkdir()
        edited.words("'two ' + text")
        edited.app()
        running.until("reloaded", after=told)
        assert edited.handled(running, "b") == "two b"
        edited.words("'three ' + text")
        running.until("reloaded", after=len(running.lines))
        assert edited.handled(running, "c") == "three c"
        ended, _ = running.end()
    assert ended == 0
    events = [json.loads(line)["event"] for line in running.lines[before:told] if line.startswith("{")]
    assert events.count("watch_lost") == 1
    assert "reload_failed" not in events


def test_a_folder_that_becomes_a_file_is_watched_again_when_it_is_one_again(esm_: Esm, stream: Stream) -> None:
    code = esm_.folder / "code"
    code.mkdir()
    edited = Edited(replace(esm_, folder=code), stream, esm_.folder)
    options = ("--watch", "--json", "--log-level", "debug", "--endpoint-url", stream.url, "--store", "memory:")
    with esm_.running("run", "app:mappings", "--app-dir", "code", *options) as running:
        running.until("watching")
        shutil.rmtree(code)
        code.write_text("of another branch")
        assert running.until("watch_lost")["folders"] == [str(code)]
        assert edited.handled(running, "a") == "one a", "what ran goes on"

        told = len(running.lines)
        code.unlink()
        code.mkdir()
        edited.words("'two ' + text")
        edited.app()
        running.until("reloaded", after=told)
        assert edited.handled(running, "b") == "two b"
        assert running.end()[0] == 0
