"""Turn a sine into a square wave with a simulated nanowire network and a linear readout."""

import numpy as np

from inmateria import PhysicalReservoir, RidgeReadout

STEP = 0.01  # s
t = np.arange(0, 100, STEP * 10)
u = np.sin(2 * np.pi * 0.1 * t)
target = np.sign(u)

EVERY_ELECTRODE = np.linspace(-1, 1, 8)  # the same wave everywhere, in another strength


def main() -> None:
    drive = u[:, np.newaxis] * EVERY_ELECTRODE
    with PhysicalReservoir("nanowire://?wires=100&seed=3", step=STEP).blocking() as reservoir:
        X = reservoir.run(drive)
    half = len(t) // 2
    for name, features in (("network", X), ("input alone", drive)):
        readout = RidgeReadout().fit(features[:half], target[:half])
        print(f"{name}: R² on the second half {readout.score(features[half:], target[half:]):.3f}")


if __name__ == "__main__":
    main()
