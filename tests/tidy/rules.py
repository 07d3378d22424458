"""The house rules that no tool knows: each takes one file and names every place that breaks it.

A rule yields `line: what is wrong`, and nothing for a file that it does not concern.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

from tests.tidy.checkout import File, Function, functions, lines_of

__all__ = ["RULES", "Rule"]

FILE_LINES = 400
FUNCTION_LINES = 50
TEST_FUNCTION_LINES = 60

SPEAKS_OF_MARKS = frozenset({"tests/tidy/rules.py", "tests/tidy/test_rules.py"})
"""The two files that must name what the others may not."""

EMPTY_NAMES = frozenset({"base", "common", "core", "helper", "helpers", "misc", "types", "util", "utils"})
"""Names that tell nobody what is inside."""

MARKS = re.compile(
    r"\b(?:TODO|FIXME|HACK|XXX|NotImplementedError)\b"
    r"|\bpytest\.(?:mark\.)?(?:skip|skipif|xfail|importorskip)\b"
    r"|\bunittest\.skip|@skip"
)

ELSEWHERE = {
    "a path on somebody's machine": re.compile(r"(?<![\w.~])/(?:home|root|work|Users)/"),
    "a number in somebody's tracker": re.compile(r"\bissues? #?\d", re.IGNORECASE),
    "a hidden folder that is not the project's": re.compile(
        r"(?:^|[\s/`'\"(])\.(?!ci|venv|compiled|emulators|github|aws|config|cache|hypothesis|well-known|git/)[a-z][\w-]*/",
        re.MULTILINE,
    ),
}
"""What only the place where the code was written knows."""

SUPPRESSION = re.compile(r"#\s*((?:noqa|type:\s*ignore|pragma:|ruff:|mypy:|fmt:).*)")
REASONED = re.compile(
    r"(?:(?:ruff:\s*)?noqa:\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*+"
    r"|type:\s*ignore\[[\w, -]+\]"
    r"|pragma:\s*no (?:cover|branch))\W+\w.{5,}",
)
"""The rule, then words. A whole file may be exempt from a rule, never from all of them."""

AWS_LIMITS = frozenset({6 * 1024 * 1024, 604_800})
"""Invocation payload in bytes, seconds in a record's greatest age: nothing else has these figures."""

AWS_ROUND_LIMITS = frozenset({10_000})
"""Records in a batch, retries, records in a page; something else may have the figure, under a name of its own."""

CHANGELOG_HEADING = re.compile(
    r"# Changelog|## \[[^\]]+\](?: - \d{4}-\d\d-\d\d)?|### (?:Added|Changed|Deprecated|Removed|Fixed|Security)"
)

LARGEST_FACTOR = 1 << 32
"""Beyond it, a product of literals is no limit of anybody's."""

Rule = Callable[[File], Iterator[str]]


def files_are_short(file: File) -> Iterator[str]:
    """A file is read in one sitting."""
    count = file.text.count("\n")
    if file.python and count > FILE_LINES:
        yield f"{count}: {count} lines, at most {FILE_LINES}"


def functions_are_short(file: File) -> Iterator[str]:
    """A function is seen at one glance."""
    most = TEST_FUNCTION_LINES if file.room == "tests" else FUNCTION_LINES
    for function in functions(file) if file.python else ():
        if lines_of(function) > most:
            yield f"{function.lineno}: {function.name} has {lines_of(function)} lines, at most {most}"


def names_tell(file: File) -> Iterator[str]:
    """A file's name says what is in it."""
    for part in (*file.path.parts[:-1], file.path.stem):
        if part in EMPTY_NAMES:
            yield f"1: {part!r} says nothing about what is inside"


def all_is_true(file: File) -> Iterator[str]:
    """What a module offers is written down, sorted, and complete."""
    if file.room != "esm" or not file.python or file.path.name == "__main__.py":
        return
    bound = set(_bound(file.tree))
    own = {each.name for each in file.tree.body if isinstance(each, Function | ast.ClassDef) and each.name[0] != "_"}
    offered = _offered(file.tree)
    if offered is None:
        if own or (file.path.name == "__init__.py" and bound - {"annotations"}):
            yield "1: no __all__"
        return
    if offered != sorted(offered, key=_as_ruff_sorts):
        yield "1: __all__ is not sorted"
    yield from (f"1: __all__ offers {name!r}, which is not here" for name in offered if name not in bound)
    if not file.path.stem.startswith("_") or file.path.name == "__init__.py":
        yield from (f"1: {name!r} is public and not in __all__" for name in sorted(own - set(offered)))


def docstrings_say_it_in_one_line(file: File) -> Iterator[str]:
    """A docstring's first line is a whole sentence."""
    if file.room == "esm" and file.python:
        for line, name, text in _documented(file):
            first, *rest = (text or "").split("\n")
            if not text:
                yield f"{line}: {name} has no docstring"
            elif not first.endswith((".", "?", "!")) or (rest and rest[0].strip()):
                yield f"{line}: the first line of {name}'s docstring is no sentence of its own"


def nothing_is_left_over(file: File) -> Iterator[str]:
    """No mark of work to be done later, no test that does not run."""
    if file.path.as_posix() not in SPEAKS_OF_MARKS:
        for line, text in enumerate(file.text.splitlines(), 1):
            if found := MARKS.search(text):
                yield f"{line}: {found[0]}"


def nothing_is_a_stub(file: File) -> Iterator[str]:
    """`...` is the body of a protocol's method or of an overload, never of a function that is called."""
    for parent in ast.walk(file.tree) if file.python and file.room == "esm" else ():
        protocol = isinstance(parent, ast.ClassDef) and any("Protocol" in ast.dump(b) for b in parent.bases)
        for node in ast.iter_child_nodes(parent):
            overload = isinstance(node, Function) and any("overload" in ast.dump(d) for d in node.decorator_list)
            if isinstance(node, Function) and not protocol and not overload and _is_dots(node.body[-1]):
                yield f"{node.lineno}: {node.name} does nothing"


def limits_stand_once(file: File) -> Iterator[str]:
    """AWS's numbers stand in mapping/limits.py, each with its page."""
    if file.room == "esm" and file.python and file.path.as_posix() != "esm/mapping/limits.py":
        named = {id(node.value) for node in ast.walk(file.tree) if isinstance(node, ast.Assign | ast.AnnAssign)}
        for node in ast.walk(file.tree):
            value = _folded(node)
            if value in AWS_LIMITS or (value in AWS_ROUND_LIMITS and id(node) not in named):
                yield f"{getattr(node, 'lineno', 1)}: {value:_} is a limit of AWS: its name is in esm.mapping.limits"


def suppressions_have_reasons(file: File) -> Iterator[str]:
    """A tool is told to look away with the rule it would name, and why."""
    for line, text in enumerate(file.text.splitlines(), 1) if file.python else ():
        found = SUPPRESSION.search(text)
        if found and file.path.as_posix() not in SPEAKS_OF_MARKS and not REASONED.fullmatch(found[1].strip()):
            yield f"{line}: {found[1].strip()!r} names no rule, or gives no reason"


def it_speaks_of_itself(file: File) -> Iterator[str]:
    """Nothing here needs knowledge of the place it was written in."""
    if file.path.as_posix() not in SPEAKS_OF_MARKS:
        for line, text in enumerate(file.text.splitlines(), 1):
            for what, pattern in ELSEWHERE.items():
                if found := pattern.search(text):
                    yield f"{line}: {found[0].strip()!r} is {what}"


REAL_TIME = {"service", "servers", "bench", "kill", "soak"}


def tests_do_not_sleep(file: File) -> Iterator[str]:
    """Only tests that talk to a server wait for it in real time."""
    if file.room == "tests" and file.python and file.path.parts[1] not in REAL_TIME:
        for node in ast.walk(file.tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"time.sleep", "sleep"}:
                yield f"{node.lineno}: sleeps in real time"


def the_changelog_keeps_its_form(file: File) -> Iterator[str]:
    """Releases, kinds of change, and entries: https://keepachangelog.com/en/1.1.0/."""
    kind = False
    for number, line in enumerate(file.text.splitlines() if file.path.name == "CHANGELOG.md" else (), 1):
        if line.startswith("#"):
            kind = line.startswith("###")
            if not CHANGELOG_HEADING.fullmatch(line):
                yield f"{number}: no heading of a changelog: {line}"
        elif kind and line and not line.startswith(("- ", "  ")):
            yield f"{number}: no entry of a changelog"


RULES: tuple[Rule, ...] = (
    files_are_short,
    functions_are_short,
    names_tell,
    all_is_true,
    docstrings_say_it_in_one_line,
    nothing_is_left_over,
    nothing_is_a_stub,
    limits_stand_once,
    suppressions_have_reasons,
    it_speaks_of_itself,
    tests_do_not_sleep,
    the_changelog_keeps_its_form,
)


def _bound(tree: ast.Module) -> Iterator[str]:
    """The names that the module binds at its top, under `if` and `try` too."""
    for node in _statements(tree.body):
        if isinstance(node, Function | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = (name for target in targets for name in ast.walk(target))
            yield from (name.id for name in names if isinstance(name, ast.Name))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name).split(".")[0] for alias in node.names)


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try):
            yield from _statements([*node.body, *node.orelse])


def _offered(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return None


def _as_ruff_sorts(name: str) -> tuple[int, list[tuple[int, str]]]:
    """CONSTANTS, then Classes, then the rest; figures in a name by their size."""
    parts = re.findall(r"\d+|\D+", name)
    return 0 if len(name) > 1 and name.isupper() else 1 if name[0].isupper() else 2, [
        (int(part), "") if part.isdigit() else (-1, part) for part in parts
    ]


def _documented(file: File) -> Iterator[tuple[int, str, str | None]]:
    """Line, name and docstring of the module and of each public class, function and method."""
    yield 1, file.path.name, ast.get_docstring(file.tree)
    parents: list[ast.Module | ast.ClassDef] = [file.tree]
    for parent in parents:
        for node in parent.body:
            if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
                if not {"overload", "override"} & {ast.unparse(d).split(".")[-1] for d in node.decorator_list}:
                    yield node.lineno, node.name, ast.get_docstring(node)
                if isinstance(node, ast.ClassDef):
                    parents.append(node)


def _is_dots(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and node.value.value is ...


def _folded(node: ast.AST) -> int | None:
    """The whole number that an expression of literals comes to; `None` for anything else."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, int) else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.LShift):
        left, right = _folded(node.left), _folded(node.right)
        if left is not None and right is not None and right < LARGEST_FACTOR:
            return left * right if isinstance(node.op, ast.Mult) else left << min(right, 64)
    return None
