"""A recording out of files that others wrote, so that all replays are of one kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from uuid import NAMESPACE_URL, uuid5

from esm.arn import Arn
from esm.clock import Clock
from esm.errors import RecordingError
from esm.records.foreign import (
    SOURCES,
    SYNTHESISED,
    Format,
    change_of_export,
    detected,
    failed_records,
    fired_records,
)
from esm.records.recording import FORMAT_VERSION, Header, LineDecoder, RecordedLine, line_of
from esm.sources.files.lines import LineFile
from esm.sources.files.writing import RecordingWriter

__all__ = ["Converter", "format_of"]

_PAGE = 1000


def format_of(path: Path) -> Format | None:
    """What the file is, by its first line; `None`: nothing that says so itself. Raises `RecordingError`."""
    first = next(LineFile(path).blocks(), None)
    return None if first is None else detected(first.data.partition(b"\n")[0])


class Converter:
    """Writes a recording of what is in `paths`, all of one format.

    `source_arn`: what events shall name; `None`: what the files say, or one that is made up. `key_names`: the table's
    key, for a full export. `skip_invalid`: lines that are no record are left out, and counted in `invalid`.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        kind: Format,
        *,
        source_arn: str | None = None,
        key_names: Sequence[str] = (),
        skip_invalid: bool = False,
    ) -> None:
        self.invalid = 0
        self.problem: RecordingError | None = None
        self._paths, self._kind, self._key_names = paths, kind, key_names
        self._source, self._skip_invalid = source_arn or SOURCES.get(kind), skip_invalid
        self._at = 0.0
        self._without_keys = False

    def write(self, target: Path, clock: Clock) -> None:
        """Writes it. Raises `RecordingError`, also for a line that is no record, unless it is to be left out.

        Not all of them are: where no line is a record something else is wrong than a line.
        """
        records = self._sorted() if self._kind == "failures" else self._numbered()
        first = next(records, None)
        if first is None and self.problem is not None:
            raise self.problem
        writer = RecordingWriter(target, self._header(), now=clock.now)
        try:
            held = [] if first is None else [first]
            for record in records:
                held.append(record)
                if len(held) >= _PAGE:
                    writer.write("", held)
                    held = []
            writer.write("", held)
        finally:
            writer.close()

    def _header(self) -> Header:
        source = self._source or SOURCES["firehose"]
        kind = Arn.parse(source).source_kind
        holds = {"dynamodb-export": ("dynamodb",), "firehose": ("kinesis",)}.get(self._kind, ("dynamodb", "kinesis"))
        if kind is None or kind not in holds:
            raise RecordingError(
                self._paths[0].name, None, f"{source} is not the ARN of what a {self._kind} file holds"
            )
        names = " ".join(f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in self._paths)
        unique = str(uuid5(NAMESPACE_URL, f"{source} {names}"))
        made_up = SYNTHESISED[self._kind]
        if self._without_keys:
            made_up += "; its items have no keys, as the table's key is not named"
        return Header(esm_recording=FORMAT_VERSION, kind=kind, source=source, id=unique, synthesised=made_up)

    # -- what has no order but that of its lines -------------------------------------------------------------------

    def _numbered(self) -> Iterator[RecordedLine]:
        number = 1
        for path, line_number, line in self._lines():
            try:
                if self._kind == "firehose":
                    records: list[RecordedLine] = list(fired_records(line, number, self._at))
                else:
                    records = [change := change_of_export(line, number, self._key_names, self._at)]
                    self._without_keys |= bytes(change.keys) == b"{}"
            except (ValueError, KeyError, TypeError) as error:
                self._refuse(path, line_number, error)
                continue
            number += len(records)
            yield from records

    # -- what has sequence numbers of its own ----------------------------------------------------------------------

    def _sorted(self) -> Iterator[RecordedLine]:
        """By shard and sequence number, each once: ranges overlap in time, and a record may have failed twice."""
        index: dict[tuple[str, int], tuple[int, int]] = {}
        with TemporaryFile() as spool:
            for path, line_number, line in self._lines():
                try:
                    arn, records = failed_records(line)
                    keys = [(record.shard_id, int(record.sequence_number)) for record in records]
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    self._refuse(path, line_number, error)
                    continue
                if self._source not in (None, arn):
                    self._refuse(path, line_number, f"it is of {arn}, and not of {self._source}")
                    continue
                self._source = arn
                for key, record in zip(keys, records, strict=True):
                    index[key] = spool.tell(), spool.write(line_of(record))
            if self._source is None:
                return
            decoder = LineDecoder(self._header())
            for key in sorted(index):
                offset, size = index[key]
                spool.seek(offset)
                yield decoder.records(spool.read(size))[0]

    def _lines(self) -> Iterator[tuple[Path, int, bytes]]:
        for path in self._paths:
            self._at = float(path.stat().st_mtime_ns // 1_000_000_000)
            number = 0
            for block in LineFile(path).blocks():
                for line in block.data.removesuffix(b"\n").split(b"\n"):
                    number += 1
                    if line.strip():
                        yield path, number, line

    def _refuse(self, path: Path, line: int, problem: object) -> None:
        error = RecordingError(path.name, line, f"no record of a {self._kind} file: {_words(problem)}")
        if not self._skip_invalid:
            raise error
        self.invalid += 1
        self.problem = self.problem or error


def _words(problem: object) -> str:
    """Without content: what a missing key is called says enough."""
    if isinstance(problem, KeyError):
        return f"it has no {problem}"
    if isinstance(problem, TypeError | AttributeError):
        return "something is of another type"
    return str(problem)
