"""A twin does what its device did, as nearly as it says, and refuses what it cannot know."""

import numpy as np
import pytest

from inmateria.adapters import SimulatedSubstrate
from inmateria.devices import fit_twin, fit_twin_to_recording
from inmateria.recording import RecordedSubstrate
from inmateria.simulators import NanowireNetwork
from inmateria.substrate import SPIKE, Channel, Response, Stimulus, StimulusRejected, SubstrateInfo

STEP = 0.01


class Filter:
    """Two low-pass filters of the drive with known time constants (4 and 12 steps), and the drive itself."""

    info = SubstrateInfo(
        id="filter",
        kind="filter",
        inputs=(Channel(name="e", unit="V", low=-2, high=2),),
        outputs=tuple(Channel(name=name, unit="V", low=-2, high=2) for name in ("fast", "slow", "now")),
        step=STEP,
        sampling_rate=2 / STEP,
        resettable=True,
    )

    def __init__(self, noise=0.0):
        self.noise, self.rng = noise, np.random.default_rng(0)
        self.reset()

    def reset(self):
        self.state, self.clock, self.sequence = np.zeros(2), 0.0, 0

    def advance(self, stimulus):
        signal = np.empty((len(stimulus.drive), 2, 3))
        for row, (value,) in zip(signal, stimulus.drive, strict=True):
            self.state += np.array([1 / 4, 1 / 12]) * (value - self.state)
            row[:] = [*self.state, value]
        signal += self.noise * self.rng.normal(size=signal.shape)
        self.clock += stimulus.duration
        self.sequence += 1
        return Response(signal, None, self.clock, self.sequence)


def exchanged(device, drives, step=STEP, session=0):
    stimuli = [Stimulus(drive, step) for drive in drives]
    return [(stimulus, device.advance(stimulus), session) for stimulus in stimuli]


def noise_of(seed, steps=1200, inputs=1):
    return np.random.default_rng(seed).uniform(-1, 1, (steps, inputs))


def test_a_linear_filter_is_found_and_answers_stimuli_that_were_not_recorded():
    device = Filter()
    twin = fit_twin(device.info, exchanged(device, np.split(noise_of(0), 6)))
    assert twin.error.held_out < 0.03
    assert twin.error.memoryless > 0.5
    assert twin.error.by_output["now"] < 0.01
    assert twin.error.steps + twin.error.held_out_steps == 1200
    device.reset()
    fresh = Stimulus(np.sign(noise_of(5, 300)) * 0.7, STEP)
    told, true = twin.advance(fresh).signal, device.advance(fresh).signal
    assert np.sqrt(np.mean((told - true) ** 2)) < 0.1 * true.std()
    twin.reset()
    twin.advance(Stimulus(noise_of(6, 300), STEP))
    assert twin.outside < 0.2
    # A drive that is slower than anything recorded goes where nothing is known, and the twin says so.
    twin.advance(Stimulus(np.ones((100, 1)), STEP))
    assert twin.outside > 0.8


def test_the_stated_error_is_that_on_new_data_and_has_the_noise_as_its_floor():
    device = Filter(noise=0.1)
    twin = fit_twin(device.info, exchanged(device, np.split(noise_of(0), 6)))
    device.reset()
    fresh = Stimulus(noise_of(1), STEP)
    told, true = twin.advance(fresh).signal, device.advance(fresh).signal
    found = np.sqrt(np.mean(((told - true) / true.reshape(-1, 3).std(axis=0)) ** 2))
    assert twin.error.held_out == pytest.approx(found, rel=0.1)
    spread = true.reshape(-1, 3).std(axis=0)
    assert found >= np.sqrt(np.mean((0.1 / spread) ** 2)) * 0.95


def test_a_twin_is_a_simulator():
    device = Filter()
    twin = fit_twin(device.info, exchanged(device, np.split(noise_of(0, 300), 3)), units=20)
    drive = noise_of(3, 40)
    whole = twin.advance(Stimulus(drive, STEP))
    twin.reset()
    first, second = twin.advance(Stimulus(drive[:15], STEP)), twin.advance(Stimulus(drive[15:], STEP))
    assert np.allclose(np.concatenate([first.signal, second.signal]), whole.signal, atol=1e-12)
    assert (first.start, first.sequence) == (0.0, 0)
    assert (second.start, second.sequence) == (pytest.approx(0.15), 1)
    assert twin.info.id.startswith("twin-of-filter-")
    assert twin.info.identity == "parameters"
    assert twin.info.parameters["error"]["held_out"] == twin.error.held_out
    with pytest.raises(StimulusRejected, match=r"takes 0\.01 to 0\.01 s"):
        twin.info.stimulus(drive, 0.02)
    again = fit_twin(device.info, _fresh(), units=20)
    twin.reset()
    assert np.array_equal(again.advance(Stimulus(drive, STEP)).signal, twin.advance(Stimulus(drive, STEP)).signal)


def _fresh():
    return exchanged(Filter(), np.split(noise_of(0, 300), 3))


@pytest.mark.slow
async def test_a_recording_of_a_nanowire_network_gives_a_twin_that_knows_its_memory(tmp_path):
    network = NanowireNetwork(seed=1, wires=60, integration_step=5e-3)
    u = np.sin(0.15 * np.arange(1500)) * np.sin(0.021 * np.arange(1500)) + 0.2 * noise_of(0, 1500)[:, 0]
    mask = np.random.default_rng(0).choice([-1.5, 1.5], 8)
    path = tmp_path / "recording.h5"
    async with RecordedSubstrate(SimulatedSubstrate(network), path) as substrate:
        for part in np.split(np.outer(u, mask), 15):
            await substrate.stimulate(substrate.info.stimulus(part, 0.02))
    twin = fit_twin_to_recording(path)
    assert twin.error.held_out < 0.8 * twin.error.memoryless
    async with SimulatedSubstrate(twin) as substrate:
        response = await substrate.stimulate(substrate.info.stimulus(np.outer(u[:50], mask)))
        assert response.signal.shape == (50, 4, 16)


def test_a_return_to_rest_is_one_for_the_twin_too():
    device = Filter()
    parts = []
    for session in range(8):
        device.reset()
        parts += exchanged(device, [1 + 0.5 * noise_of(session, 60)], session=session)
    twin = fit_twin(device.info, parts)
    device.reset()
    step_up = Stimulus(np.ones((20, 1)), STEP)
    assert np.allclose(twin.advance(step_up).signal, device.advance(step_up).signal, atol=0.1)


def test_missing_values_are_left_out_and_what_cannot_be_fitted_is_refused():
    device = Filter()
    parts = exchanged(device, np.split(noise_of(0), 6))
    holed = []
    for stimulus, response, session in parts:
        signal = response.signal.copy()
        signal[::7, 0, 1] = np.nan
        holed.append((stimulus, Response(signal, None, 0.0, 0), session))
    assert fit_twin(device.info, holed).error.held_out < 0.05
    with pytest.raises(ValueError, match="needs at least 10"):
        fit_twin(device.info, exchanged(device, [noise_of(0, 30)]))
    with pytest.raises(ValueError, match=r"steps of 0\.01, 0\.02 s"):
        fit_twin(device.info, parts + exchanged(device, [noise_of(0)], 0.02))
    with pytest.raises(ValueError, match="steps of no s"):
        fit_twin(device.info, [])
    with pytest.raises(ValueError, match="not to spikes"):
        fit_twin(device.info, [(parts[0][0], Response(None, np.empty(0, SPIKE), 0.0, 0), 0)])
    with pytest.raises(ValueError, match="held_out is 1"):
        fit_twin(device.info, parts, held_out=1)
