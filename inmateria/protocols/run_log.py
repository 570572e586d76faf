"""The log of a run: what was logged while its task ran, in a file of its folder."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

__all__ = ["LOG_FILE", "log_file"]

LOG_FILE = "run.log"
_running: ContextVar[Path | None] = ContextVar("inmateria_run", default=None)


@contextmanager
def log_file(folder: Path) -> Iterator[None]:
    """Write what is logged in this context to ``run.log`` in a folder; nothing logged, no file.

    Of several runs in one process, each has what its own tasks and threads log; what a thread of no run logs, such as a
    driver's, is written to all.
    """
    handler = logging.FileHandler(folder / LOG_FILE, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    handler.addFilter(lambda record: _running.get() in (folder, None))
    logger = logging.getLogger("inmateria")
    token = _running.set(folder)
    logger.addHandler(handler)
    try:
        yield
    except Exception:
        failed = logging.LogRecord(logger.name, logging.ERROR, __file__, 0, "the task failed", (), sys.exc_info())
        handler.handle(failed)
        raise
    finally:
        logger.removeHandler(handler)
        handler.close()
        _running.reset(token)
