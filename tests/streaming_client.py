"""A controller to be killed: streams numbered stimuli to a device without end. Run as: streaming_client.py URI"""

import asyncio
import itertools
import sys

from inmateria.adapters import RemoteSubstrate
from inmateria.substrate import Stimulus


async def main() -> None:
    async with RemoteSubstrate(sys.argv[1]) as substrate:
        numbered = (Stimulus([[n / 1e6, 0, 0]], 0.01) for n in itertools.count())
        async for response in substrate.stream(numbered):
            print(response.sequence, flush=True)


asyncio.run(main())
