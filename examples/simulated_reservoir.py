"""Turn a sine into a square wave with a simulated nanowire network and a linear readout."""

import numpy as np

from inmateria import PhysicalReservoir, RidgeReadout
from inmateria.reservoir import VirtualNodes

t = np.arange(0, 40, 0.01)  # s
u = np.sin(2 * np.pi * 0.5 * t)  # the wave that goes in
target = np.sign(u)  # the wave that is wanted
strengths = np.linspace(0.2, 1.6, 8)  # V: every electrode gets the same wave, in another strength


def main() -> None:
    drive = u[:, np.newaxis] * strengths
    last_sample = VirtualNodes(samples=1)
    with PhysicalReservoir("nanowire://?seed=3", features=last_sample, step=0.01, washout=200).blocking() as reservoir:
        X = reservoir.run(drive)
    wanted, alone = target[200:], drive[200:]
    half = len(wanted) // 2
    for name, features in (("network", X), ("input alone", alone)):
        readout = RidgeReadout(np.logspace(-14, 2, 17)).fit(features[:half], wanted[:half])
        print(f"{name}: R² on the second half {readout.score(features[half:], wanted[half:]):.3f}")


if __name__ == "__main__":
    main()
