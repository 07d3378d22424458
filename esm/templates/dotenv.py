"""The `.env` file beside a serverless.yml, which gives `${env:...}` what the environment does not.

https://www.serverless.com/framework/docs/environment-variables
Read as the framework's own reader for Node does. python-dotenv is no substitute: of `KEY=a#b` it keeps the comment, and
it replaces no `$NAME`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

__all__ = ["dotenv", "parse_dotenv"]

_LINE = re.compile(
    r"""^[ \t]*(?:export[ \t]+)?(?P<name>[\w.-]+)[ \t]*=[ \t]*
    (?:'(?P<literal>[^'\n]*)'|"(?P<quoted>[^"\n]*)"|(?P<plain>[^#'"\n][^#\n]*)?)[ \t]*(?:\#.*)?$""",
    re.MULTILINE | re.VERBOSE,
)
_NAMED = re.compile(r"(?<!\\)\$(?:\{(?P<braced>\w+)(?::-(?P<default>[^{}]*))?\}|(?P<bare>\w+))")
_STAGE = re.compile(r"[\w.-]+")
_LONGEST = 65_536
"""Characters of a file that are read (chosen)."""


def dotenv(folder: Path, stage: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of `.env.STAGE`, or of `.env` where there is none such; what cannot be read has none."""
    for name in (f".env.{stage}", ".env") if _STAGE.fullmatch(stage) else (".env",):
        try:
            with (folder / name).open(encoding="utf-8-sig") as file:
                return parse_dotenv(file.read(_LONGEST), environ)
        except (OSError, UnicodeDecodeError):
            continue
    return {}


def parse_dotenv(text: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of a text, one a line; `$NAME` and `${NAME:-default}` are replaced, but between single quotes."""
    found: dict[str, str] = {}
    known = dict(environ)

    def replaced(named: re.Match[str]) -> str:
        return known.get(named["braced"] or named["bare"]) or named["default"] or ""

    for line in _LINE.finditer(text):
        value = line["literal"]
        if value is None:
            value = _NAMED.sub(replaced, _written(line["quoted"], line["plain"])).replace("\\$", "$")
        found[line["name"]] = value
        known.setdefault(line["name"], value)
    return found


def _written(quoted: str | None, plain: str | None) -> str:
    return (plain or "").strip() if quoted is None else quoted.replace("\\n", "\n")
