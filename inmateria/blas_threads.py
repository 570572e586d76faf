"""One BLAS thread for loops of small matrix products.

Several threads make them no faster, and many times slower on a busy machine: a thread that waits for the others spins,
and each product then lasts as long as a time slice of the operating system. Products of at least `LARGE`
multiplications keep the threads that BLAS has.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from threadpoolctl import threadpool_limits

__all__ = ["LARGE", "one_blas_thread"]

LARGE = 4e9
"""Multiplications of a product, from about 1,600 x 1,600 x 1,600: some tenths of a second on one thread."""

_lock = threading.Lock()
_inside = 0
_limit: Any = None


@contextmanager
def one_blas_thread(multiplications: float = 0.0) -> Iterator[None]:
    """Keep BLAS to one thread in the block, unless its largest product has at least `LARGE` multiplications.

    The limit is one of the process. Blocks may be nested, and may overlap in any order in several threads or tasks: the
    threads that BLAS had before the first of them are given back after the last.
    """
    global _inside, _limit
    if multiplications >= LARGE:
        yield
        return
    entered = False
    try:
        with _lock:
            if not _inside:
                _limit = threadpool_limits(1, user_api="blas")
            _inside, entered = _inside + 1, True
        yield
    finally:
        if entered:
            with _lock:
                _inside -= 1
                if not _inside:
                    _limit.restore_original_limits()
                    _limit = None
