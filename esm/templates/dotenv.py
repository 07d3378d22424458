"""The `.env` file beside a serverless.yml, which gives `${env:...}` what the environment does not.

https://www.serverless.com/framework/docs/environment-variables
Read as the framework's own reader for Node does, quirks and all (compared with it): a quote that is not closed belongs
to the value, and what is between single quotes is replaced, too. python-dotenv is no substitute: of `KEY=a#b` it keeps
the comment, and it replaces no `$NAME`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from esm.errors import TemplateError

__all__ = ["dotenv", "parse_dotenv"]

_QUOTES = "'\"`"
_QUOTED = "|".join(rf"\s*+{quote}(?:\\{quote}|[^{quote}])*{quote}" for quote in _QUOTES)
_ASSIGNED = re.compile(
    rf"^[ \t]*+(?:export\s++)?(?P<name>[\w.-]++)(?:\s*+=|:\s)(?P<value>{_QUOTED}|[^#\n]++)?[ \t]*(?:#.*)?$",
    re.MULTILINE | re.ASCII,
)
_BEFORE_LAST = re.compile(r".*(?<!\\)(?=\$)", re.DOTALL)
_NAMED = re.compile(r"\$\{?(?P<name>\w+)(?::-(?P<default>[^}\\]*))?\}?", re.ASCII)
_STAGE = re.compile(r"[\w.-]+")
_LONGEST = 65_536
"""Characters of a file that are read, and that a value may have (chosen)."""
_REPLACED_MAX = 1_000
"""Names that are replaced in one value (chosen). The framework's reader ends for want of memory where it is endless."""


def dotenv(folder: Path, stage: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of `.env.STAGE`, or of `.env` where there is none such; what cannot be read has none.

    Raises `TemplateError` for a variable that never comes to a value.
    """
    for name in (f".env.{stage}", ".env") if _STAGE.fullmatch(stage) else (".env",):
        try:
            with (folder / name).open(encoding="utf-8-sig") as file:
                text = file.read(_LONGEST)
        except (OSError, UnicodeDecodeError):
            continue
        return parse_dotenv(text, environ, str(folder / name))
    return {}


def parse_dotenv(text: str, environ: Mapping[str, str], file: str) -> dict[str, str]:
    """The variables of a text; `$NAME` and `${NAME:-default}` are replaced, the environment's before the file's own.

    Between quotes a value may have several lines. Raises `TemplateError`.
    """
    assigned = {found["name"]: found for found in _ASSIGNED.finditer(text)}
    own = {name: _unquoted((found["value"] or "").strip()) for name, found in assigned.items()}
    known = own | dict(environ)

    def value_of(name: str) -> str:
        value = own[name]
        for _ in range(_REPLACED_MAX):
            before = _BEFORE_LAST.match(value)
            named = _NAMED.match(value, before.end()) if before else None
            if named is None:
                return value.replace("\\$", "$")
            replaced = known.get(named["name"]) or named["default"] or own.get(named["name"], "")
            value = value.replace(named[0], replaced, 1)
            if len(value) > _LONGEST:
                break
        line = text.count("\n", 0, assigned[name].start("name")) + 1
        rule = f"the names in its value lead to no end, or to more than {_LONGEST:,} characters"
        raise TemplateError(rule, file=file, path=(name,), line=line)

    return {name: value_of(name) for name in own}


def _unquoted(written: str) -> str:
    quote = written[:1]
    quoted = len(written) > 1 and quote in _QUOTES and written.endswith(quote)
    value = written[1:-1] if quoted else written
    return value.replace("\\n", "\n").replace("\\r", "\r") if quote == '"' else value
