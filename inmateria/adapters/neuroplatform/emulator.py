"""Run a script that was written for FinalSpark's Neuroplatform, unchanged, on a simulated culture.

    python -m inmateria.adapters.neuroplatform.emulator script.py

The script imports ``neuroplatform`` or ``neuroplatformv2`` as on the platform. Its time is simulated: sleeping takes
no time, and the present time that it reads is the simulated platform's.
"""

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, tzinfo
from importlib import import_module
from typing import Any
from unittest import mock

from inmateria.adapters.neuroplatform.twin import Neuroplatform
from inmateria.adapters.neuroplatform.v1 import version1
from inmateria.adapters.neuroplatform.v2 import version2

__all__ = ["emulated"]


@contextmanager
def emulated(platform: Neuroplatform, version: int = 1, own_time: bool = True) -> Iterator[Neuroplatform]:
    """Replace the vendor's package by a twin of the platform, inside ``with``.

    Parameters
    ----------
    platform : Neuroplatform
    version : int
        1 for ``neuroplatform``, 2 for ``neuroplatformv2``.
    own_time : bool
        Replace `time.sleep`, `asyncio.sleep`, `time.time` and `datetime.now` in this process by the platform's
        simulated clock. Modules that imported `datetime` or `sleep` by name before keep the real one.
    """
    # Older notebooks import the database from `elab`: the same module, as nothing public tells what else it had.
    modules = dict.fromkeys(("neuroplatform", "elab"), version1(platform)) if version == 1 else version2(platform)
    with ExitStack() as exits:
        exits.enter_context(mock.patch.dict(sys.modules, modules))
        if own_time and platform.clock.simulated:
            for name in ("pandas", "matplotlib.pyplot"):  # compiled code must be built on the real datetime
                with suppress(ImportError):
                    import_module(name)
            clock, yielded = platform.clock, asyncio.sleep

            async def sleep(seconds: float, result: Any = None) -> Any:
                clock.sleep(seconds)
                await yielded(0)
                return result

            class Datetime(datetime, metaclass=_LikeDatetime):
                @classmethod
                def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
                    return datetime.fromtimestamp(clock.now(), tz)

                @classmethod
                def utcnow(cls) -> datetime:  # type: ignore[override]
                    return datetime.fromtimestamp(clock.now(), UTC).replace(tzinfo=None)

            exits.enter_context(mock.patch.object(time, "sleep", clock.sleep))
            exits.enter_context(mock.patch.object(time, "time", clock.now))
            exits.enter_context(mock.patch.object(asyncio, "sleep", sleep))
            exits.enter_context(mock.patch.object(sys.modules["datetime"], "datetime", Datetime))
        yield platform


class _LikeDatetime(type(datetime)):  # type: ignore[misc]
    def __instancecheck__(cls, thing: object) -> bool:
        return isinstance(thing, datetime)


def main(arguments: list[str]) -> None:
    """Run a script on a twin; the arguments are options, the script's path, and the script's own arguments."""
    import argparse
    import runpy

    from inmateria.adapters.neuroplatform.twin import Booking
    from inmateria.simulators.culture.network import NeuralCulture

    parser = argparse.ArgumentParser(prog="python -m inmateria.adapters.neuroplatform.emulator", description=__doc__)
    parser.add_argument("--token", default="EMULATED", help="the token that the script uses (%(default)s)")
    parser.add_argument("--fs-name", default="fs300", help="name of the organoids (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the culture (%(default)s)")
    parser.add_argument("--version", type=int, choices=(1, 2), default=1, help="of the vendor's package (%(default)s)")
    parser.add_argument("script")
    parser.add_argument("rest", nargs=argparse.REMAINDER, help="arguments of the script")
    given = parser.parse_args(arguments)
    culture = NeuralCulture(seed=given.seed, organoids=4, current_limit=1e-4)
    platform = Neuroplatform(culture, [Booking(token=given.token, fs_name=given.fs_name)])
    with emulated(platform, given.version), mock.patch.object(sys, "argv", [given.script, *given.rest]):
        runpy.run_path(given.script, run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
