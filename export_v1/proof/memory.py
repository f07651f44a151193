"""memory: whether the original and the export can be run here, one after the other."""

import contextlib
import os

try:
    import resource
except ImportError:
    # Windows has no such limits.
    resource = None  # type: ignore[assignment]

# What the answers themselves and the graphs may take, beside the variables.
_BESIDE = 512 * 2**20
# A variable is in memory a second time while it is filled, and a large model may be one large variable.
_TIMES = 2


def lacking(size: int, held: int = 0) -> str:
    """Returns why a model cannot be run for its answers, "" where it can.

    Args:
        size: bytes that its variables take.
        held: bytes of further arrays that are kept meanwhile.
    """
    room = free()
    needed = _TIMES * size + held + _BESIDE
    if room is None or needed <= room:
        return ""
    return (
        f"the variables take {size / 2**20:,.0f} MiB, running the model would take {needed / 2**20:,.0f} MiB, "
        f"and {room / 2**20:,.0f} MiB of memory are free"
    )


def free() -> int | None:
    """Returns how many bytes this process may still take, or None where the system does not tell."""
    known = [room for room in (_of_the_machine(), *_of_the_groups(), _of_the_process()) if room is not None]
    return max(min(known), 0) if known else None


def _of_the_machine() -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/meminfo") as lines:
        for line in lines:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    with contextlib.suppress(OSError, ValueError, AttributeError):
        # No Linux: half of what there is may be somebody else's.
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return None


def _of_the_groups() -> list[int]:
    """Returns what each control group of this process leaves (a container has one); the page cache can be had back."""
    rooms = []
    for folder, limit, used, cache in _groups():
        with contextlib.suppress(OSError, ValueError):
            bound = int(_read(os.path.join(folder, limit)))
            in_use = int(_read(os.path.join(folder, used)))
            statistics = dict(line.split() for line in _read(os.path.join(folder, "memory.stat")).splitlines())
            rooms.append(bound - in_use + int(statistics.get(cache, 0)))
    return rooms


def _groups():
    """Yields (folder, file of the limit, file of what is used, name of the page cache in memory.stat)."""
    new = ("memory.max", "memory.current", "inactive_file")
    old = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    with contextlib.suppress(OSError):
        for line in _read("/proc/self/cgroup").splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                base, files = "/sys/fs/cgroup", new
            elif "memory" in controllers.split(","):
                base, files = "/sys/fs/cgroup/memory", old
            else:
                continue
            parts = path.strip("/").split("/")
            for depth in range(len(parts) + 1):
                yield os.path.join(base, *parts[:depth]), *files


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()


def _of_the_process() -> int | None:
    if resource is None:
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return None
    with contextlib.suppress(OSError, ValueError, IndexError):
        return limit - int(_read("/proc/self/statm").split()[0]) * resource.getpagesize()
    return limit
