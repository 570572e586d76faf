"""Map what an Intan controller's electrodes evoke: intan_map.py intan://host, or none for a soft twin of one."""

import asyncio
import sys
from contextlib import AsyncExitStack

import numpy as np

from inmateria import connect
from inmateria.adapters.intan.emulator import IntanEmulator
from inmateria.simulators import NeuralCulture


async def main() -> None:
    async with AsyncExitStack() as exits:
        twin = None if len(sys.argv) > 1 else await exits.enter_async_context(IntanEmulator(NeuralCulture(), speed=5))
        culture = await exits.enter_async_context(connect(twin.uri if twin else sys.argv[1]))
        for electrode in range(0, len(culture.info.inputs), 8):
            drive = np.zeros((20, len(culture.info.inputs)))
            drive[0, electrode] = culture.info.inputs[electrode].high
            response = await culture.stimulate(culture.info.stimulus(drive, step=0.01))
            assert response.spikes is not None
            print(f"{culture.info.inputs[electrode].name}: {len(response.spikes)} spikes in the 200 ms after a pulse")


if __name__ == "__main__":
    asyncio.run(main())
