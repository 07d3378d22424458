"""What a shell completes, and the schema that an editor reads."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.surface.typed import Esm


def completed(esm_: Esm, *words: str) -> list[str]:
    """What bash would be told for words, the last of which is being typed."""
    settings = {
        "_ESM_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["esm", *words]),
        "COMP_CWORD": str(len(words)),
    }
    done = subprocess.run(
        [sys.executable, "-m", "esm"],
        env={**esm_.environment(), **settings},
        cwd=esm_.folder,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_told_what_to_ask(esm_: Esm, shell: str) -> None:
    ended = esm_("completion", shell)
    assert (ended.code, ended.err) == (0, "")
    assert f"_ESM_COMPLETE={shell}_complete" in ended.out


def test_another_shell_is_refused_in_one_line(esm_: Esm) -> None:
    ended = esm_("completion", "cmd")
    assert ended.code == 2
    assert "'cmd' is not one of 'bash', 'fish', 'zsh'" in ended.line


def test_commands_and_options_are_completed(esm_: Esm) -> None:
    assert {"plan", "positions"} <= set(completed(esm_, "p"))
    assert completed(esm_, "completion", "z") == ["zsh"]
    assert {"--parameter"} <= set(completed(esm_, "plan", "--par"))


def test_the_schema(esm_: Esm) -> None:
    ended = esm_("schema")
    assert ended.code == 0
    assert json.loads(ended.out)["required"] == ["EventSourceMappings"]
