"""Says so when compiling a kernel for the first time on a machine takes longer than anyone likes to wait.

And lets a kernel that is cached know when a module changed that it was made from.
"""

import importlib.util
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_PATIENCE = 2.0
_logger = logging.getLogger("inmateria")


@contextmanager
def log_compilation(what: str, kernel: Any = None) -> Iterator[None]:
    """Log at INFO, after two seconds, that `what` is being compiled, and again when it is done.

    Where the compiled function is given and has run before in this process, nothing is watched: that costs a
    microsecond.
    """
    if kernel is not None and kernel.signatures:
        yield
        return
    finished = threading.Event()
    said = threading.Event()

    def tell() -> None:
        if not finished.wait(_PATIENCE):
            said.set()
            _logger.info("compiling %s: once on this machine, some seconds", what)

    teller = threading.Thread(target=tell, name=f"announce {what}", daemon=True)
    teller.start()
    try:
        yield
    finally:
        finished.set()
        teller.join()
        if said.is_set():
            _logger.info("compiled %s", what)


def recompile_with(kernel: Any, *sources: str) -> Any:
    """Let a cached compiled function be compiled again where the files of other modules changed too.

    numba itself looks only at the date and size of the file that the function stands in. Where a later numba keeps
    its cache otherwise, nothing is done.

    Parameters
    ----------
    kernel
        What ``numba.njit(cache=True)`` gave; it is given back.
    *sources : str
        Full names of the modules whose compiled functions it uses.
    """
    index: Any = getattr(getattr(kernel, "_cache", None), "_cache_file", None)
    if hasattr(index, "_source_stamp"):
        stamps = [index._source_stamp]
        for name in sources:
            found = importlib.util.find_spec(name)
            if found is not None and found.origin is not None and Path(found.origin).is_file():
                state = Path(found.origin).stat()
                stamps.append((state.st_mtime, state.st_size))
        index._source_stamp = tuple(stamps)
    return kernel
