"""How much memory a foreign file may take while it is read, so that no file fills the machine's."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from inmateria.recording.format import RecordingError

_COPIES = 4  # of the data, while it is read, converted and written
_KEPT_FREE = 0.25
_LEAST = 1 << 28


def available_memory() -> int:
    """Return the bytes of memory that may be taken, a part of those that are free."""
    free = 0
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                free = int(line.split()[1]) * 1024
    if not free:
        with suppress(OSError, ValueError, AttributeError):
            free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(_LEAST, int(free * (1 - _KEPT_FREE))) if free else 1 << 32


def check_fits(path: Path, size: float) -> None:
    """Raise `RecordingError` if data of `size` bytes, as a file declares it, would not fit into memory."""
    free = available_memory()
    if size * _COPIES > free:
        raise RecordingError(
            f"{path} declares {size / 1e9:,.3g} GB of data; to import it takes {_COPIES} times as much memory, and "
            f"{free / 1e9:,.3g} GB may be taken; divide it, or import it on a larger machine"
        )


@contextmanager
def bounded_memory(path: Path) -> Iterator[None]:
    """Let this process take no more than `available_memory` while a file is read; what would is a `RecordingError`.

    The bound is the operating system's (Linux), so that it holds for libraries in C, too. Elsewhere there is none.
    """
    if not sys.platform.startswith("linux"):
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    bound = _data_of_this_process() + available_memory()
    if hard != resource.RLIM_INFINITY:
        bound = min(bound, hard)
    if soft == resource.RLIM_INFINITY or bound < soft:
        resource.setrlimit(resource.RLIMIT_DATA, (bound, hard))
    try:
        yield
    except MemoryError as error:
        raise RecordingError(
            f"{path} cannot be imported: it would take more than {available_memory() / 1e9:,.3g} GB of memory"
        ) from error
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _data_of_this_process() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0
