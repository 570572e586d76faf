"""Talk to a device behind a broker: python examples/remote_client.py mqtt://127.0.0.1:1883/lab/nwn-1.

Without an address, a simulated network is served from another process, to have something to talk to.
"""

import asyncio
import sys
from contextlib import aclosing

import numpy as np

from inmateria import connect
from inmateria.adapters import SubprocessDevice


async def main() -> None:
    async with connect(sys.argv[1]) if len(sys.argv) > 1 else SubprocessDevice("nanowire://") as device:
        info = device.info
        print(f"{info.id}, a {info.kind}: {len(info.inputs)} inputs, {len(info.outputs)} outputs")
        ramp = np.linspace(0, 1, 20)[:, np.newaxis] * np.ones(len(info.inputs))
        async with aclosing(device.stream(info.stimulus(row) for row in ramp)) as responses:
            async for response in responses:
                if response.signal is not None:
                    last = response.signal[-1, -1]
                    print(f"{response.start:.3f} s: {info.outputs[-1].name} {last[-1]:.3e} {info.outputs[-1].unit}")


if __name__ == "__main__":
    asyncio.run(main())
