"""What a worker may take of the machine."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from esm.handlers.cores import cores
from esm.mapping.constraints import integer, violated

__all__ = ["Resources", "resources_of"]

LEAST_BYTES = 1 << 20
"""Below it, not even one large record could be held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Limits of a whole worker, whatever number of mappings and shards it has. Raises `MappingError` below the least.

    What has no room waits; nothing is refused, and no wait counts as an attempt.
    """

    bytes_in_flight: int = 256 << 20
    """Bytes that records may take, from being asked for until they are settled; at least 1 MiB. They are counted as
    they stand in an event; what Python needs to hold them is not counted. With more than eight sources, queues among
    them, a queue's poll may bring more than was kept for it, up to 1 MiB: then less is asked for until that is settled.
    Default: 256 MiB (chosen)."""

    threads: int = 256
    """Plain functions that run at once, each in a thread; one that hangs past its end is not counted any more.
    Default: 256 (chosen)."""

    processes: int = field(default_factory=cores)
    """Calls at once of functions that run in processes of their own, all functions together. Default: as many as there
    are cores that this process may use."""

    connections: int = 128
    """Connections to each endpoint of each service; long polls of queues have theirs beside them, one for each that is
    out. Default: 128 (chosen)."""

    def __post_init__(self) -> None:
        """Every limit is a whole number."""
        for limit in fields(self):
            least = LEAST_BYTES if limit.name == "bytes_in_flight" else 1
            integer(limit.name, getattr(self, limit.name), minimum=least, path=f"resources.{limit.name}")


def resources_of(given: object) -> Resources:
    """Those that were given, the usual ones for `None`. Raises `MappingError` for anything else."""
    resources = Resources() if given is None else given
    if not isinstance(resources, Resources):
        raise violated("resources", type(given).__name__, "Member must be an esm.Resources")
    return resources
