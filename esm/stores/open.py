"""The store that a URL names.

`memory:` keeps positions in the process. `sqlite:///esm.db` is a file relative to the working directory, and
`sqlite:////var/lib/esm.db`, with a fourth slash, an absolute path. `%3F` and the like stand for the characters that a
URL has another use for; `?force=1` allows a network file system.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote

from esm.errors import StoreError
from esm.stores.memory import MemoryStore
from esm.stores.sqlite import SqliteStore
from esm.stores.sqlite_file import Access
from esm.stores.store import LeaseStore, OperatedStore

__all__ = ["Access", "open_store", "operated_store"]

_SCHEMES = "memory: and sqlite:///PATH"


def open_store(url: str | LeaseStore) -> LeaseStore:
    """The store, not yet opened; a store object is given back as it is.

    Raises `StoreError` naming the value and the rule it breaks.
    """
    if not isinstance(url, str):
        return _checked(url)
    if url == "memory:":
        return MemoryStore()
    scheme, colon, rest = url.partition(":")
    if colon and scheme == "sqlite":
        return _sqlite(url, rest)
    raise StoreError(f"{_shown(url)!r} names no store; there are {_SCHEMES}")


def operated_store(url: str, access: Access) -> OperatedStore:
    """The store, not yet opened, for a look at its positions or a move of them.

    `access`: `write` makes no store, `read` changes nothing in it either. Raises `StoreError`, also for a store that
    nobody sees from outside.
    """
    scheme, _, rest = url.partition(":")
    if scheme == "sqlite":
        return _sqlite(url, rest, access)
    open_store(url)
    raise StoreError(f"{url!r} holds nothing outside the process that uses it")


def _checked(store: LeaseStore) -> LeaseStore:
    if not callable(getattr(store, "checkpoint", None)):
        raise StoreError(f"a {type(store).__name__} is no store; give one of {_SCHEMES}, or a LeaseStore object")
    return store


def _sqlite(url: str, rest: str, access: Access = "create") -> SqliteStore:
    path, _, query = rest.partition("?")
    if not path.startswith("///") or path in {"///", "///:memory:"}:
        raise StoreError(
            f"{_shown(url)!r} names no file; write sqlite:///relative.db or sqlite:////absolute.db (or memory:)",
        )
    options = dict(parse_qsl(query, keep_blank_values=True))
    force = options.pop("force", "0")
    if options or force not in {"0", "1"}:
        raise StoreError(f"{_shown(url)!r} has an unknown option; sqlite:///PATH takes ?force=1 alone")
    try:
        return SqliteStore(unquote(path.removeprefix("///")), force=force == "1", access=access)
    except (OSError, RuntimeError, ValueError) as error:  # a NUL, a loop of links
        raise StoreError(f"{_shown(url)!r} names no file: {error}") from error


def _shown(url: str) -> str:
    """Without the name and password that a URL of another kind may hold."""
    return re.sub(r"//.*@", "//", url)
