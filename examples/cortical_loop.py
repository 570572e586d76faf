"""Close a loop around neurons at 100 Hz: stimulate one place whenever the culture has been quiet for a while.

Runs on a CL1 as it stands, and elsewhere on the simulator of its vendor's SDK: pip install "inmateria[cortical]".
"""

import asyncio
import sys

import numpy as np

from inmateria import connect


async def main() -> None:
    async with connect(sys.argv[1] if len(sys.argv) > 1 else "cortical://?accelerated=true&seed=1") as culture:
        pulse = np.zeros(len(culture.info.inputs))
        pulse[20] = culture.info.inputs[20].high
        quiet, pulses, spikes = 0, 0, 0.0
        for _ in range(500):  # 5 s
            drive = pulse if quiet >= 3 else 0 * pulse
            response = await culture.stimulate(culture.info.stimulus(drive))
            assert response.signal is not None
            quiet = 0 if drive.any() or response.signal.any() else quiet + 1
            pulses, spikes = pulses + int(drive.any()), spikes + response.signal.sum()
    print(f"{culture.info.id}: {spikes:.0f} spikes in 5 s, {pulses} pulses")


if __name__ == "__main__":
    asyncio.run(main())
