"""The `${...}` of a serverless.yml, as far as they can be known without running anything.

`self`, `opt`, `env`, `param`, `sls`, `aws`, `file` (YAML, JSON and TOML beside the file) and `strToBool` are replaced,
`cf` is looked up among the imports. What only a service or a program knows becomes `UNKNOWN`, and whoever needs it says
so.
`${Resource}` is CloudFormation's, and left. https://www.serverless.com/framework/docs/guides/variables
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any

from esm.templates.document import MAX_NODES, Document, Path, number
from esm.templates.dotenv import dotenv
from esm.templates.intrinsics import UNKNOWN
from esm.templates.names import partition_of
from esm.templates.parameters import as_text
from esm.templates.read import read
from esm.templates.suffixes import is_template
from esm.templates.template import Options, Unresolved

__all__ = ["Variables"]

_INNERMOST = re.compile(r"\$\{([^${}]*)\}")
_MARK = re.compile(r"\0(\d+)\0")
_SOURCE = re.compile(r"(?P<source>[a-zA-Z]\w*)(?:\((?P<argument>[^()]*)\))?(?::(?!:)(?P<address>.*))?", re.DOTALL)
_CANDIDATE = re.compile(r"""\s*('[^']*'|"[^"]*"|(?:[^,'"(]|\([^)]*\))+|(?<=,)\s*)\s*(?:,|$)""")
_PSEUDO = frozenset({"AWS::AccountId", "AWS::Partition", "AWS::Region"})
_OLD_PSEUDO = re.compile(r"#\{(AWS::\w+)\}")
"""Pseudo parameters stand in plain text too, as plugins and older releases of the framework have them."""
_SOURCES = frozenset({"aws", "cf", "env", "file", "opt", "param", "s3", "self", "sls", "ssm", "strToBool"})
_PLAIN = frozenset({"aws", "cf", "env", "opt", "sls", "strToBool"})
_MAX_FILES = 32
_MAX_TEXT = 1_048_576
_MAX_REPLACED = 10_000
"""Variables in a file and all that it includes (chosen)."""


class Variables:
    """The variables of one file, and of those that it includes."""

    def __init__(self, document: Document, folder: FilePath, options: Options) -> None:
        self._document, self._folder, self._options = document, folder, options
        self._known: dict[str, tuple[Any, int]] = {}
        self._open: list[str] = []
        self._files: dict[FilePath, Any] = {}
        self._replaced = 0
        self._environ = options.environ
        if isinstance(document.value, dict) and document.value.get("useDotenv") is True:
            # The stage chooses the file, and is known without it.
            self._environ = {**dotenv(folder, self._stage(()), options.environ), **options.environ}
            self._known.clear()

    def value(self) -> Any:
        """The whole file, without variables. Raises `TemplateError` for those that name each other in a circle."""
        return self._resolved(self._document.value, ())[0]

    def at(self, address: str) -> Any:
        """What stands at an address of the file, `provider.stage`; `None` where nothing does, or nothing known."""
        try:
            return self._from_file(self._document.value, address, ())[0]
        except Unresolved:
            return None

    def _resolved(self, value: Any, path: Path) -> tuple[Any, int]:
        """A value without variables, and of how many values it is made."""
        if isinstance(value, str):
            value = _OLD_PSEUDO.sub(r"${\1}", value) if "#{" in value else value
            return self._text(value, path) if "${" in value else (value, 1)
        if not isinstance(value, dict | list):
            return value, 1
        items = value.items() if isinstance(value, dict) else enumerate(value)
        found = [(key, *self._resolved(each, (*path, key))) for key, each in items]
        size = 1 + sum(each[2] for each in found)
        if size > MAX_NODES:
            raise self._document.refused(path, f"more than {MAX_NODES:,} values")
        return ({key: each for key, each, _ in found} if isinstance(value, dict) else [e for _, e, _ in found]), size

    def _text(self, text: str, path: Path) -> tuple[Any, int]:
        try:
            return self._replace(text, path)
        except Unresolved as unknown:
            return {UNKNOWN: str(unknown)}, 2

    def _replace(self, text: str, path: Path) -> tuple[Any, int]:
        """A text without variables: the value itself, where the text is one variable and nothing else.

        What was found stands aside, and a mark in its place: a value is never looked through for variables again.
        """
        found: list[tuple[Any, int]] = []
        while innermost := _INNERMOST.search(text):
            self._replaced += 1
            if self._replaced > _MAX_REPLACED or len(text) > _MAX_TEXT:
                raise self._document.refused(path, f"more than {_MAX_REPLACED:,} variables, or a text too long")
            expression = innermost[1]
            if expression in _PSEUDO:
                found.append((self._pseudo(expression), 1))
            elif _is_variable(expression):
                found.append(self._variable(expression, found, path))
            else:
                found.append((_put_back(innermost[0], found), 1))  # CloudFormation's
            text = f"{text[: innermost.start()]}\0{len(found) - 1}\0{text[innermost.end() :]}"
        whole = _MARK.fullmatch(text)
        return found[int(whole[1])] if whole else (_put_back(text, found), 1)

    def _variable(self, expression: str, found: list[tuple[Any, int]], path: Path) -> tuple[Any, int]:
        """The first of the candidates that is there."""
        for candidate in _candidates(expression):
            whole = _MARK.fullmatch(candidate)
            if whole:
                return found[int(whole[1])]
            literal = _literal(candidate)
            if literal is not None:
                return _put_back(literal[0], found) if isinstance(literal[0], str) else literal[0], 1
            source = _SOURCE.fullmatch(_put_back(candidate, found))
            if source is None:
                break
            value = self._from_source(
                source["source"], (source["argument"] or "").strip(), source["address"] or "", path
            )
            if value[0] is not None:
                return value
        shown = _put_back(expression, found)
        raise Unresolved(f"${{{shown[:100]}}} has no value here{_hint(shown)}")

    def _from_source(self, source: str, argument: str, address: str, path: Path) -> tuple[Any, int]:
        if source == "self":
            return self._from_file(self._document.value, address, path)
        if source == "file":
            return self._from_file(self._included(argument, path), address, path)
        if source == "param":
            return self._parameter(address, path)
        if source in _PLAIN:
            return getattr(self, f"_{source.lower()}")(argument or address, path), 1
        raise Unresolved(f"${{{source}:{address[:100]}}} is known to the Serverless Framework alone")

    def _opt(self, name: str, _: Path) -> str | None:
        return self._options.parameters.get(name)

    def _env(self, name: str, _: Path) -> str | None:
        return self._environ.get(name)

    def _sls(self, name: str, path: Path) -> str | None:
        return self._stage(path) if name == "stage" else None

    def _aws(self, name: str, _: Path) -> str | None:
        return self._pseudo({"accountId": "AWS::AccountId", "region": "AWS::Region"}.get(name, ""))

    def _strtobool(self, text: str, _: Path) -> bool | None:
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower())

    def _cf(self, output: str, _: Path) -> str:
        if output not in self._options.imports:
            raise Unresolved(f"${{cf:{output[:100]}}} is of another stack: give its value in the file of --imports")
        return self._options.imports[output]

    def _from_file(self, content: Any, address: str, path: Path) -> tuple[Any, int]:
        """What stands at an address, `a.b.0`; variables on the way are followed."""
        key = f"{id(content)}:{address}"
        if key in self._known:
            return self._known[key]
        if key in self._open:
            raise self._document.refused(path, f"the variables name each other in a circle: {address[:100]}")
        self._open.append(key)
        try:
            self._known[key] = self._walked(content, address, path)
        finally:
            self._open.pop()
        return self._known[key]

    def _walked(self, content: Any, address: str, path: Path) -> tuple[Any, int]:
        value = content
        for part in address.split(".") if address else ():
            if isinstance(value, str) and "${" in value:
                value = self._text(value, path)[0]
            if isinstance(value, dict) and UNKNOWN in value:
                return value, 2
            value = _child(value, part)
        return self._resolved(value, path)

    def _parameter(self, name: str, path: Path) -> tuple[Any, int]:
        if name in self._options.parameters:
            return self._options.parameters[name], 1
        for stage in (self._stage(path), "default"):
            found = self._from_file(self._document.value, f"params.{stage}.{name}", path)
            if found[0] is not None:
                return found
        return None, 1

    def _stage(self, path: Path) -> str:
        given = self._options.parameters.get("stage")
        own = given or self._from_file(self._document.value, "provider.stage", path)[0]
        return own if isinstance(own, str) else "dev"

    def _pseudo(self, name: str) -> str | None:
        region = self._options.region_or(self._own_region())
        known = {"AWS::AccountId": self._options.account, "AWS::Region": region}
        return partition_of(region)[0] if name == "AWS::Partition" else known.get(name)

    def _own_region(self) -> str | None:
        region = self.at("provider.region")
        return region if isinstance(region, str) else None

    def _included(self, name: str, path: Path) -> Any:
        file = (self._folder / name.strip("'\"")).resolve()
        if not file.is_relative_to(self._folder.resolve()) or not is_template(file.name):
            raise Unresolved(f"${{file({name[:100]})}} is no YAML, JSON or TOML file in this folder")
        if file not in self._files:
            if len(self._files) >= _MAX_FILES:
                raise self._document.refused(path, f"more than {_MAX_FILES} files are included")
            self._files[file] = read(file).value if file.is_file() else None
        return self._files[file]


def _is_variable(expression: str) -> bool:
    """Whether it is the framework's; a resource's name is CloudFormation's."""
    first = next(_candidates(expression), "")
    found = _SOURCE.fullmatch(first)
    if found is None or found["source"] not in _SOURCES:
        return False
    return found["address"] is not None or found["argument"] is not None


def _candidates(expression: str) -> Iterator[str]:
    for found in _CANDIDATE.finditer(expression):
        yield found[1].strip()


def _literal(candidate: str) -> tuple[Any] | None:
    if len(candidate) > 1 and candidate[0] == candidate[-1] and candidate[0] in "'\"":
        return (candidate[1:-1],)
    if candidate in ("true", "false"):
        return (candidate == "true",)
    if candidate == "null":
        return (None,)
    found = number(candidate)
    return None if found is None else (found,)


def _child(value: Any, part: str) -> Any:
    if isinstance(value, dict):
        return value.get(part)
    if isinstance(value, list) and part.isascii() and part.isdecimal() and int(part[:9]) < len(value):
        return value[int(part[:9])]
    return None


def _hint(expression: str) -> str:
    found = re.match(r"(opt|param|env):([\w.-]+)", expression)
    if found is None:
        return ""
    return f": set {found[2]}" if found[1] == "env" else f": give --parameter {found[2]}=VALUE"


def _put_back(text: str, found: list[tuple[Any, int]]) -> str:
    """The text with what stands aside in its place. Raises `Unresolved` for what is no text."""

    def replaced(mark: re.Match[str]) -> str:
        value = found[int(mark[1])][0]
        if isinstance(value, dict | list):
            unknown = value.get(UNKNOWN) if isinstance(value, dict) else None
            raise Unresolved(as_text(unknown) or "a variable within a text is a dict or a list")
        return as_text(value)

    return _MARK.sub(replaced, text)
