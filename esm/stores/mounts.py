"""Which file system a path is on, by Linux's mount table, and whether it is a network's.

Columns of the table: https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html
"""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["MOUNTS", "NETWORK_FILE_SYSTEMS", "file_system", "network_file_system"]

MOUNTS = Path("/proc/self/mountinfo")

# Their locks and shared memory do not reach over machines, or do not work at all: https://www.sqlite.org/wal.html.
# 9p and virtiofs are left out: sandboxes and virtual machines show their own local disk by them. (chosen)
NETWORK_FILE_SYSTEMS = frozenset(
    ["afs", "beegfs", "ceph", "cifs", "coda", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2"]
    + ["orangefs", "smb3", "smbfs", "davfs"]
    + [f"fuse.{name}" for name in ("ceph", "gcsfuse", "glusterfs", "goofys", "juicefs", "moosefs", "mount-s3")]
    + [f"fuse.{name}" for name in ("mountpoint-s3", "rclone", "s3fs", "sshfs", "davfs")],
)


def network_file_system(path: Path) -> str | None:
    """The type of the network file system that `path` is on; `None` when it is none, or there is no mount table."""
    try:
        table = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    kind = file_system(str(path.resolve()), table)
    return kind if kind in NETWORK_FILE_SYSTEMS else None


def file_system(path: str, table: str) -> str | None:
    """The type of the file system that an absolute path is on, by the text of a mount table; `None` if by no line.

    The longest mount point wins; of two on the same point, the later one, which hides the other.
    """
    longest, found = -1, None
    for line in table.splitlines():
        columns, _, rest = line.partition(" - ")
        fields = columns.split(" ")
        if len(fields) < 5 or not rest:  # noqa: PLR2004 -- the mount point is the fifth column
            continue
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
        if len(point) >= longest and (path + "/").startswith(point.rstrip("/") + "/"):
            longest, found = len(point), rest.split(" ", 1)[0]
    return found
