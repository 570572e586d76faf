"""An experiment for any substrate: sweep the voltage up and down and print the current."""

import asyncio
import sys

import numpy as np

from inmateria import Substrate, connect


async def hysteresis(substrate: Substrate, highest: float, steps: int = 60) -> np.ndarray:
    """Drive every input with a triangle; return voltage and current into ground of every step, shape (steps, 2)."""
    info = substrate.info
    triangle = highest * np.concatenate([np.linspace(0, 1, steps // 2), np.linspace(1, 0, steps - steps // 2)])
    drive = np.outer(triangle, np.ones(len(info.inputs)))
    response = await substrate.stimulate(info.stimulus(drive, step=0.01))
    assert response.signal is not None
    return np.column_stack([triangle, -response.signal[:, -1, -1]])


async def main() -> None:
    async with connect(sys.argv[1] if len(sys.argv) > 1 else "nanowire://?seed=3") as substrate:
        loop = await hysteresis(substrate, highest=2.0)
    for voltage, current in loop[::6]:
        print(f"{voltage:5.2f} V {1e6 * current:10.3f} uA")


if __name__ == "__main__":
    asyncio.run(main())
