"""The embedded broker in a process of its own, to be killed and frozen. Run as: served_broker.py PORT"""

import asyncio
import sys

from inmateria.adapters import EmbeddedBroker


async def main() -> None:
    async with EmbeddedBroker(int(sys.argv[1])):
        await asyncio.Event().wait()


asyncio.run(main())
