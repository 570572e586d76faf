"""An input that floats for a step is left undriven if it can be, and refused otherwise: also far away and later."""

import pickle
from pathlib import Path

import msgspec
import numpy as np
import pytest
from brokers import Mosquitto
from leaky import LeakySimulator

from inmateria.adapters import DeviceServer, RemoteSubstrate, SimulatedSubstrate, connect
from inmateria.recording import RecordedSubstrate, open_recording
from inmateria.substrate import FLOAT, Channel, Response, Stimulus, StimulusRejected, SubstrateInfo


class Floating(LeakySimulator):
    """The first input can float; what then drives it is nothing."""

    def __init__(self) -> None:
        super().__init__()
        first, *others = self.info.inputs
        self.info: SubstrateInfo = msgspec.structs.replace(
            self.info, inputs=(msgspec.structs.replace(first, floats=True), *others), id="floating"
        )
        self.seen: list[np.ndarray] = []

    def advance(self, stimulus: Stimulus) -> Response:
        self.seen.append(np.array(stimulus.drive))
        return super().advance(Stimulus(np.nan_to_num(stimulus.drive), stimulus.step))


DRIVE = np.array([[0.5, 0.1, -0.2], [FLOAT, 0.1, 0.3], [0.25, 0.0, 0.0], [FLOAT, 1.0, -1.0]])


def test_only_an_input_that_floats_is_left_undriven() -> None:
    info = Floating().info
    assert info.floats
    assert not LeakySimulator().info.floats
    stimulus = info.stimulus(DRIVE)
    np.testing.assert_array_equal(stimulus.drive, DRIVE)
    again = pickle.loads(pickle.dumps(stimulus))
    assert again.floating
    np.testing.assert_array_equal(again.drive, DRIVE)
    with pytest.raises(StimulusRejected, match="step 0 drives i1 with nan V"):
        info.stimulus(DRIVE[:, [1, 0, 2]][1:])
    for far in (2.0, -2.0):
        with pytest.raises(StimulusRejected, match=f"step 2 drives i0 with {far:g} V"):
            info.stimulus([[FLOAT, 0, 0], [0, 0, 0], [far, 0, 0]])
    with pytest.raises(StimulusRejected, match="inf at step 1, input 0"):
        info.stimulus([[FLOAT, 0, 0], [np.inf, 0, 0]])
    with pytest.raises(StimulusRejected, match="nan at step 1, input 0"):
        LeakySimulator().info.stimulus(DRIVE)
    with pytest.raises(StimulusRejected, match="drives i0 with nan V"):
        LeakySimulator().info.admit(stimulus)


def test_an_input_with_levels_floats_too() -> None:
    info = msgspec.structs.replace(
        Floating().info,
        inputs=(Channel(name="a", unit="V", low=1.0, high=5.0, levels=(1.0, 5.0), floats=True),),
        rest=(),
    )
    assert info.rest == (1.0,)
    info.stimulus([[5.0], [FLOAT], [1.0]])
    with pytest.raises(StimulusRejected, match="step 1 drives a with 2 V"):
        info.stimulus([[FLOAT], [2.0]])


def test_an_info_of_before_has_no_inputs_that_float() -> None:
    plain = msgspec.json.decode(msgspec.json.encode(LeakySimulator().info))
    for channel in plain["inputs"]:
        del channel["floats"]
    assert msgspec.json.decode(msgspec.json.encode(plain), type=SubstrateInfo) == LeakySimulator().info


async def test_it_floats_over_mqtt_in_a_recording_and_in_a_replay(mosquitto: Mosquitto, tmp_path: Path) -> None:
    simulator, path = Floating(), tmp_path / "floating.h5"
    async with (
        DeviceServer(SimulatedSubstrate(simulator), mosquitto.uri),
        RecordedSubstrate(RemoteSubstrate(f"{mosquitto.uri}/lab/floating"), path) as remote,
    ):
        response = await remote.stimulate(remote.info.stimulus(DRIVE))
        with pytest.raises(StimulusRejected, match="drives i1 with nan V"):
            await remote.stimulate(Stimulus(DRIVE[1:2, ::-1][:, [1, 2, 0]], 0.01, floating=True))
    np.testing.assert_array_equal(simulator.seen, [DRIVE])
    with open_recording(path) as recording:
        np.testing.assert_array_equal(recording.drive(), DRIVE)
        (exchange,) = recording
        np.testing.assert_array_equal(exchange.stimulus.drive, DRIVE)
    async with connect(f"replay://{path}") as replay:
        again = await replay.stimulate(replay.info.stimulus(DRIVE))
        np.testing.assert_array_equal(again.signal, response.signal)
    async with connect(f"replay://{path}") as replay:
        with pytest.raises(StimulusRejected, match=r"step 1 drives i0 with (np.float64\()?0.0"):
            await replay.stimulate(replay.info.stimulus(np.nan_to_num(DRIVE)))
    async with connect(f"replay://{path}?match=nearest") as replay:
        near = await replay.stimulate(replay.info.stimulus(np.nan_to_num(DRIVE)))
        np.testing.assert_array_equal(near.signal, response.signal)
