"""The store that a URL names, and where a file lives."""

from __future__ import annotations

from pathlib import Path

import pytest

from esm.errors import EsmError, StoreError
from esm.stores.memory import MemoryStore
from esm.stores.mounts import file_system
from esm.stores.open import open_store
from esm.stores.sqlite import SqliteStore

TABLE = r"""
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
40 27 0:40 / /mnt/shared rw shared:1 master:2 - nfs4 server:/export rw
41 40 0:41 / /mnt/shared/local rw - xfs /dev/vdb rw
42 27 0:42 / /mnt/with\040space rw - cifs //server/share rw
43 27 0:43 / /mnt/hidden rw - nfs server:/old rw
44 43 0:44 / /mnt/hidden rw - tmpfs tmpfs rw
not a line of a mount table
45 27 0:45 / /mnt/torn rw
"""


def test_memory() -> None:
    first, second = open_store("memory:"), open_store("memory:")
    assert isinstance(first, MemoryStore)
    assert first is not second


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///esm.db", "esm.db"),
        ("sqlite:///data/esm.db", "data/esm.db"),
        ("sqlite:///./esm.db", "esm.db"),
        ("sqlite:////var/lib/esm.db", "/var/lib/esm.db"),
        ("sqlite:////var/lib/a%20b%3F%25.db?force=1", "/var/lib/a b?%.db"),
        ("sqlite:///esm.db?force=0", "esm.db"),
    ],
)
def test_sqlite_has_three_slashes_before_a_relative_path_and_four_before_an_absolute_one(
    url: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store(url)
    assert isinstance(store, SqliteStore)
    assert store._database.path == tmp_path / path
    assert store._database._force == url.endswith("force=1")


def test_a_store_object_is_given_back() -> None:
    store = MemoryStore()
    assert open_store(store) is store


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("dynamodb://positions", r"'dynamodb://positions' names no store; there are memory: and sqlite:///PATH"),
        ("esm.db", r"'esm.db' names no store; there are memory: and sqlite:///PATH"),
        ("", r"'' names no store"),
        ("memory", r"'memory' names no store"),
        ("memory://x", r"'memory://x' names no store"),
        ("SQLITE:///esm.db", r"names no store"),
        ("sqlite:", r"'sqlite:' names no file; write sqlite:///relative.db or sqlite:////absolute.db"),
        ("sqlite://esm.db", r"names no file"),
        ("sqlite:///", r"names no file"),
        ("sqlite:///?force=1", r"names no file"),
        ("sqlite:///:memory:", r"names no file"),
        ("sqlite:///a%00b", r"names no file: .*embedded null"),
        ("sqlite:///esm.db?force=yes", r"has an unknown option"),
        ("sqlite:///esm.db?timeout=5", r"has an unknown option"),
    ],
)
def test_what_names_no_store_is_refused_with_the_value_and_the_rule(url: str, words: str) -> None:
    with pytest.raises(StoreError, match=words) as error:
        open_store(url)
    assert isinstance(error.value, EsmError)


def test_a_refusal_does_not_repeat_a_password() -> None:
    with pytest.raises(StoreError) as error:
        open_store("redis://worker:s3cr/et@host/0")
    assert str(error.value).startswith("'redis://host/0' names no store")


def test_what_is_neither_text_nor_a_store_is_refused() -> None:
    with pytest.raises(StoreError, match="PosixPath is no store"):
        open_store(Path("esm.db"))  # type: ignore[arg-type]  # what a caller without types may do


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/esm.db", "ext4"),
        ("/proc/x", "proc"),
        ("/process/x", "ext4"),
        ("/mnt/shared/esm.db", "nfs4"),
        ("/mnt/shared", "nfs4"),
        ("/mnt/shared/local/esm.db", "xfs"),
        ("/mnt/shared/locally/esm.db", "nfs4"),
        ("/mnt/with space/esm.db", "cifs"),
        ("/mnt/hidden/esm.db", "tmpfs"),
        ("/mnt/torn/esm.db", "ext4"),
    ],
)
def test_the_file_system_of_a_path_is_that_of_the_nearest_mount(path: str, kind: str) -> None:
    assert file_system(path, TABLE) == kind


def test_an_empty_mount_table_says_nothing() -> None:
    assert file_system("/var/lib/esm.db", "") is None
