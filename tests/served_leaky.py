"""A device to be killed: serves a leaky simulator and writes down the number of each stimulus before it is applied.

The number of a stimulus stands in its first value, in millionths. Run as: served_leaky.py BROKER LOG LEASE [JOURNAL]
"""

import asyncio
import os
import sys

from leaky import LeakySimulator

from inmateria.adapters import DeviceServer, SimulatedSubstrate
from inmateria.substrate import Response, Stimulus


class Writing(LeakySimulator):
    """A leaky simulator with a log that survives its death."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def reset(self) -> None:
        os.write(self._log, b"rest\n")
        super().reset()

    def advance(self, stimulus: Stimulus) -> Response:
        os.write(self._log, b"%d\n" % round(stimulus.drive[0, 0] * 1e6))
        return super().advance(stimulus)


async def main() -> None:
    substrate, journal = SimulatedSubstrate(Writing(sys.argv[2])), (sys.argv[4:] or [None])[0]
    async with DeviceServer(substrate, sys.argv[1], lease=float(sys.argv[3]), journal=journal) as server:
        print(server.uri, flush=True)
        await server.wait_ended()


asyncio.run(main())
