"""Says so when compiling a kernel for the first time on a machine takes longer than anyone likes to wait."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_PATIENCE = 2.0
_logger = logging.getLogger("inmateria")


@contextmanager
def announced(what: str, kernel: Any = None) -> Iterator[None]:
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
