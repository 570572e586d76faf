"""Count the spikes after each trigger, and after none: python examples/neuroplatform_triggers.py.

With access to FinalSpark's platform, give neuroplatform:// and put your token into INMATERIA_NEUROPLATFORM_TOKEN.
"""

import asyncio
import sys

import numpy as np

from inmateria import connect


async def main() -> None:
    uri = sys.argv[1] if len(sys.argv) > 1 else "neuroplatform://emulated?triggers=4&step=1.0&seed=1"
    async with connect(uri) as culture:
        count = len(culture.info.inputs)
        given = np.random.default_rng(0).permutation(np.repeat(np.arange(count + 1), 10))  # the last one is none
        response = await culture.stimulate(culture.info.stimulus(np.eye(count + 1)[given, :count]))
    assert response.signal is not None
    spikes = response.signal.sum(axis=(1, 2))
    for key in range(count + 1):
        name = culture.info.inputs[key].name if key < count else "none"
        mine = spikes[given == key]
        print(f"{name}: {mine.mean():.1f} ± {mine.std():.1f} spikes from 10 to 200 ms")


if __name__ == "__main__":
    asyncio.run(main())
