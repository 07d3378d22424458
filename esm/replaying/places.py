"""Where the records of a replay are: files here, objects in S3, and what kind of files they are."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from esm.aws.download import download_object
from esm.aws.s3 import list_keys
from esm.aws.session import AwsSession
from esm.clock import Clock
from esm.errors import MappingError, RecordingError
from esm.records.foreign import Format
from esm.replaying.conversion import Converter, format_of
from esm.sources.files.compressed import check_installed
from esm.sources.files.recordings import files_at

__all__ = ["Found", "fetched", "is_arn", "local_files"]

_S3 = "s3://"
_PASSED_OVER = ("manifest-files.json", "manifest-summary.json", ".md5", "_started")
"""What an export writes beside its data.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
"""


class _How(Protocol):
    @property
    def format(self) -> Format | None: ...
    @property
    def source_arn(self) -> str | None: ...
    @property
    def key_names(self) -> Sequence[str]: ...
    @property
    def skip_invalid(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Found:
    """The files of one recording. `invalid`, `problem`: what was left out when it was made."""

    paths: list[Path]
    invalid: int = 0
    problem: RecordingError | None = None


def is_arn(source: str | Path) -> bool:
    """Whether a source is named by its ARN."""
    return isinstance(source, str) and source.startswith("arn:")


async def fetched(sources: Sequence[str | Path], folder: Path, session: AwsSession) -> list[Path]:
    """The files, those in S3 copied into `folder`: one object, or all under a prefix that ends in `/`.

    Raises `RecordingError`: there is none; `NotInstalledError`: one cannot be unpacked; `SourceError`.
    """
    paths: list[Path] = []
    for source in sources:
        if isinstance(source, str) and source.startswith(_S3):
            paths += await _downloaded(source, folder, session)
        else:
            paths += files_at(str(source).removeprefix("file://"))
    return paths


def local_files(paths: Sequence[Path], folder: Path, how: _How, clock: Clock) -> Found:
    """The recording that the files are, or one made of them in `folder`. Raises `RecordingError`, `MappingError`."""
    kind = how.format or format_of(paths[0])
    if kind is None:
        problem = "no recording, no DynamoDB export and no failure records; for raw records say --format firehose"
        raise RecordingError(paths[0].name, 1, problem)
    if how.key_names and kind != "dynamodb-export":
        said = f"The table's key is told of a full DynamoDB export; {paths[0].name} is none."
        raise MappingError(said, field="key_names", value=list(how.key_names))
    if kind == "recording":
        return Found(list(paths))
    converter = Converter(
        paths, kind, source_arn=how.source_arn, key_names=how.key_names, skip_invalid=how.skip_invalid
    )
    target = folder / "converted.jsonl"
    converter.write(target, clock)
    return Found([target], converter.invalid, converter.problem)


async def _downloaded(url: str, folder: Path, session: AwsSession) -> list[Path]:
    bucket, _, key = url.removeprefix(_S3).partition("/")
    keys = [key]
    if not key or key.endswith("/"):
        keys = [each async for each in list_keys(session, bucket, key) if not each.endswith(_PASSED_OVER)]
    if not bucket or not keys:
        raise RecordingError(url, None, "there is no such object")
    paths = []
    for each in keys:
        inside = Path(tempfile.mkdtemp(dir=folder))  # objects of one name may come from several places
        paths.append(inside / (each.rpartition("/")[2] or "object"))
        check_installed(paths[-1])
        try:
            await download_object(session, bucket, each, paths[-1])
        except OSError as error:
            raise RecordingError(url, None, f"cannot be copied here: {error.strerror}") from None
    return paths
