"""Compilation of numba kernels: logged when it takes long, repeated when an included module has changed."""

import importlib.util
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

_PATIENCE = 2.0
_logger = logging.getLogger("inmateria")


@contextmanager
def log_compilation(name: str, kernel: Any = None) -> Iterator[None]:
    """Log at INFO, after two seconds in the block, that a kernel is being compiled, and again when it is done.

    Parameters
    ----------
    name : str
        Name of the kernel, for the log.
    kernel : numba dispatcher, optional
        Compiled function. If it has run before in this process, nothing is measured or logged, at the cost of a
        microsecond.
    """
    if kernel is not None and kernel.overloads:
        yield
        return
    finished = threading.Event()
    logged = threading.Event()

    def log_if_slow() -> None:
        if not finished.wait(_PATIENCE):
            logged.set()
            _logger.info("compiling %s: once on this machine, some seconds", name)

    timer = threading.Thread(target=log_if_slow, name=f"log compilation of {name}", daemon=True)
    timer.start()
    try:
        yield
    finally:
        finished.set()
        timer.join()
        if logged.is_set():
            _logger.info("compiled %s", name)


def recompile_with(kernel: Any, *sources: str) -> Any:
    """Make numba compile a cached function again if the files of other modules changed, too.

    numba itself compares only the date and size of the file that defines the function. With a version of numba that
    keeps its cache differently, nothing is done.

    Parameters
    ----------
    kernel
        Function compiled by ``numba.njit(cache=True)``.
    *sources : str
        Full names of the modules whose compiled functions it uses.

    Returns
    -------
    kernel
        The same function.
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


def borrowing_kernel(*, cache: bool = False, forceinline: bool = False) -> Callable[[Function], Function]:
    """Return numba's decorator for functions that use arrays they are given and make none.

    For these numba counts no references, with which a function that takes tuples of arrays is several times as fast.
    A version of numba that does not have that option compiles the same, only slower.

    Whatever such a function calls is compiled without counts, too, and once for all callers in the process. A function
    that returns arrays would then return them uncounted to a caller that counts, which would release memory that it
    does not own. Such a function is therefore compiled within each caller, by ``numba.njit(inline="always")``.

    Parameters
    ----------
    cache : bool
        Whether to keep what is compiled on disk.
    forceinline : bool
        Whether to inline the function wherever it is called.
    """
    import numba

    compiled: Any = numba.njit
    decorator: Callable[[Function], Function] = compiled(
        cache=cache, forceinline=forceinline, error_model="numpy", fastmath={"contract", "nsz"}, nogil=True,
        **without_reference_counts(),
    )  # fmt: skip
    return decorator


def without_reference_counts() -> dict[str, bool]:
    """Return numba's option for functions that make no arrays, if this version of numba has it."""
    from numba.core.options import DefaultOptions

    return {"_nrt": False} if hasattr(DefaultOptions, "_nrt") else {}


@cache
def processor_features() -> frozenset[str]:
    """Return the instructions kernels are compiled for, such as ``"+avx2"``: the processor's, or those configured."""
    import numba
    from numba.core.codegen import get_host_cpu_features

    configured: str | None = getattr(numba.config, "CPU_FEATURES", None)
    names: str = get_host_cpu_features() if configured is None else configured  # type: ignore[no-untyped-call]
    return frozenset(names.split(","))
