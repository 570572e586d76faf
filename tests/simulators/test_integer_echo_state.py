"""The echo-state network in integers: counts as Python's whole numbers give, also in C; a series forecast with them."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inmateria.reservoir import RidgeReadout, mackey_glass
from inmateria.simulators import IntegerEchoStateNetwork

ONE = 32767


def by_hand(network: IntegerEchoStateNetwork, drive: np.ndarray, limit: float) -> list[list[int]]:
    """Update the network with Python's integers, which neither overflow nor round."""
    p = network.info.parameters
    half = int(p["connections"]) // 2
    states = [0] * int(p["units"])
    found = []
    for row in drive:
        counts = [round(value / limit * ONE) for value in row.tolist()]
        new = []
        for unit, state in enumerate(states):
            sources = network._sources[unit].tolist()
            total = sum(states[j] for j in sources[:half]) - sum(states[j] for j in sources[half:])
            total = (total >> int(p["gain_shift"])) + int(network._constants[unit])
            for count, shift, sign in zip(
                counts, network._shifts[unit].tolist(), network._signs[unit].tolist(), strict=True
            ):
                total += sign * (count >> shift)
            total = max(-ONE, min(ONE, total))
            new.append(state + ((total - state) >> int(p["leak_shift"])))
        states = new
        found.append(states)
    return found


@settings(max_examples=40, deadline=None)
@given(
    units=st.integers(1, 40), connections=st.integers(0, 40), gain=st.integers(0, 15), leak=st.integers(0, 15),
    bias=st.floats(0, 1), inputs=st.integers(1, 5), shifts=st.integers(0, 15), seed=st.integers(0, 100),
    limit=st.sampled_from([1e-6, 1.0, 300.0]),
)  # fmt: skip
def test_every_count_is_right(
    units: int, connections: int, gain: int, leak: int, bias: float, inputs: int, shifts: int, seed: int, limit: float
) -> None:
    connections = min(connections, units)
    network = IntegerEchoStateNetwork(
        units, connections, gain, leak, bias, inputs, shifts, seed, input_limit=limit, step=0.5
    )
    drive = np.random.default_rng(seed).choice([-1.0, -0.3, 0.0, 0.7, 1.0], (12, inputs)) * limit
    signal = network.advance(network.info.stimulus(drive[:5])).signal
    later = network.advance(network.info.stimulus(drive[5:])).signal
    assert signal is not None
    assert later is not None
    expected = by_hand(network, drive, limit)
    states = np.round(np.concatenate([signal, later])[:, 0] * ONE).astype(int)
    assert states.tolist() == expected
    assert network.counts.tolist() == expected[-1]


@pytest.mark.parametrize(
    ("units", "connections", "inputs"), [(1, 0, 1), (40, 13, 3), (257, 1, 1), (300, 20, 2)], ids=str
)
def test_c_gives_the_same_counts(tmp_path: Path, units: int, connections: int, inputs: int) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc, which compiles what is exported")
    network = IntegerEchoStateNetwork(units, connections, inputs=inputs, input_shifts=15, seed=1)
    files = network.to_c(tmp_path / "net.c")
    assert [each.name for each in files] == ["net.h", "net.c"]
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-O2", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, str(files[1]), "-o", str(tmp_path / "net.so")], check=True)
    update = ctypes.CDLL(str(tmp_path / "net.so")).net_update
    drive = np.random.default_rng(0).choice([-1.0, -0.41, 0.0, 0.1, 1.0], (60, inputs))
    signal = network.advance(network.info.stimulus(drive)).signal
    assert signal is not None
    states = np.zeros(units, dtype=np.int16)
    for counts, expected in zip(np.round(drive * ONE).astype(np.int16), np.round(signal[:, 0] * ONE), strict=True):
        given_ = np.ascontiguousarray(counts)
        update(given_.ctypes.data_as(ctypes.c_void_p), states.ctypes.data_as(ctypes.c_void_p))
        assert states.tolist() == expected.astype(int).tolist()
    with pytest.raises(ValueError, match=r"is not NAME\.c"):
        network.to_c(tmp_path / "a-b.c")


def test_without_a_bias_it_is_nearly_odd_and_it_forgets() -> None:
    network = IntegerEchoStateNetwork(units=50, bias=0.0, leak_shift=0)
    drive = np.random.default_rng(0).uniform(-0.2, 0.2, (40, 1))
    there = network.advance(network.info.stimulus(drive)).signal
    network.reset()
    back = network.advance(network.info.stimulus(-drive)).signal
    assert there is not None
    assert back is not None
    assert np.abs(there + back).max() < 1e-3  # floors are not odd, by some counts
    network.advance(network.info.stimulus(np.zeros((400, 1))))
    assert np.abs(network.counts).max() < 60


def test_a_chaotic_series_is_forecast() -> None:
    """Mackey-Glass 17 ahead: below .003 of the spread, where a linear forecast from the last 20 values has more."""
    u = mackey_glass(5217)
    drive, target = (u - u.mean()) / np.abs(u - u.mean()).max(), u[17:]
    network = IntegerEchoStateNetwork(units=300)
    signal = network.advance(network.info.stimulus(drive[:5200, np.newaxis])).signal
    assert signal is not None
    states, train, test = signal[:, 0], slice(200, 3200), slice(3200, 5200)

    def error(features: np.ndarray) -> float:
        readout = RidgeReadout(np.logspace(-9, 3, 13)).fit(features[train], target[train])
        left = readout.predict(features[test]) - target[:5200][test]
        return float(np.sqrt(np.mean(left**2)) / target[:5200][test].std())

    past = np.stack([np.roll(drive[:5200], lag) for lag in range(20)], axis=1)
    assert error(states) < 0.003 < error(past)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"units": 5, "connections": 6}, "more than the 5 units"), ({"gain_shift": 16}, "allowed is 0 to 15"),
        ({"bias": 1.5}, "allowed is 0 to 1"), ({"seed": -1}, "allowed is 0"), ({"units": 0}, "allowed is 1"),
    ],
)  # fmt: skip
def test_what_makes_no_network_is_refused(given: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        IntegerEchoStateNetwork(**given)  # type: ignore[arg-type]
