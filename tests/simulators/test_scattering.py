"""The scattering medium against the statistics of speckle, finite differences, and itself."""

import numpy as np
import pytest

from inmateria.adapters import connect
from inmateria.simulators import ScatteringMedium
from inmateria.substrate import Stimulus, UnknownSubstrate


def test_without_a_reference_intensities_are_those_of_developed_speckle() -> None:
    medium = ScatteringMedium(64, 4000, seed=1, reference=0.0)
    phases = np.random.default_rng(0).uniform(-1.5, 1.5, (20, 64))
    seen = medium.intensity(phases)
    # Goodman: exponential, so that the standard deviation is the mean and half lie below ln 2 of it.
    assert seen.mean() == pytest.approx(1.0, abs=0.03)
    assert seen.std() / seen.mean() == pytest.approx(1.0, abs=0.03)
    assert np.mean(seen < np.log(2) * seen.mean()) == pytest.approx(0.5, abs=0.02)


def test_a_common_phase_changes_nothing_without_a_reference_and_something_with_one() -> None:
    phases = np.random.default_rng(0).uniform(-0.5, 0.5, (5, 20))
    without, with_one = ScatteringMedium(reference=0.0), ScatteringMedium()
    assert without.intensity(phases + 0.3) == pytest.approx(without.intensity(phases), abs=1e-12)
    assert np.abs(with_one.intensity(phases + 0.3) - with_one.intensity(phases)).max() > 0.1


def test_the_gradient_is_that_of_finite_differences() -> None:
    medium = ScatteringMedium(5, 7, seed=3)
    generator = np.random.default_rng(0)
    phases, pull = generator.uniform(-1, 1, (3, 5)), generator.standard_normal((3, 7))
    gradient = medium.gradient(phases, pull)
    for row, column in np.ndindex(3, 5):
        step = np.zeros((3, 5))
        step[row, column] = 1e-6
        difference = np.sum(pull * (medium.intensity(phases + step) - medium.intensity(phases - step))) / 2e-6
        assert gradient[row, column] == pytest.approx(difference, rel=1e-6, abs=1e-8)


def test_what_is_read_is_the_intensity_with_the_noise_it_states() -> None:
    medium = ScatteringMedium(4, 50, seed=2, noise=0.05)
    drive = np.random.default_rng(0).uniform(-1, 1, (400, 4))
    response = medium.advance(Stimulus(drive, 3e-3))
    assert response.signal is not None
    assert response.signal.shape == (400, 3, 50)
    noise = response.signal - medium.intensity(drive)[:, np.newaxis]
    assert noise.std() == pytest.approx(0.05, rel=0.02)
    assert abs(np.corrcoef(noise[:, 0].ravel(), noise[:, 1].ravel())[0, 1]) < 0.03
    medium.reset(noise="repeat")
    again = medium.advance(Stimulus(drive, 3e-3))
    assert np.array_equal(again.signal, response.signal)  # type: ignore[arg-type]
    assert (again.start, again.sequence) == (0.0, 0)


def test_intensities_stay_within_the_channels_range() -> None:
    medium = ScatteringMedium(3, 40, seed=5, noise=0.02)
    phases = np.random.default_rng(0).uniform(-np.pi / 2, np.pi / 2, (2000, 3))
    signal = medium.advance(Stimulus(phases, 1e-3)).signal
    assert signal is not None
    low, high = (np.array([getattr(channel, end) for channel in medium.info.outputs]) for end in ("low", "high"))
    assert (signal >= low).all()
    assert (signal <= high).all()


def test_a_uri_makes_one() -> None:
    substrate = connect("scattering://?ports=7&observables=9&seed=4&noise=0.1")
    assert substrate.info.id.startswith("scattering-7x9-s4-")
    assert (len(substrate.info.inputs), len(substrate.info.outputs)) == (7, 9)


@pytest.mark.parametrize("query", ["ports=0", "noise=-1", "phase_limit=0", "step=0", "reference=-1"])
def test_parameters_out_of_range_are_refused(query: str) -> None:
    with pytest.raises(UnknownSubstrate, match="give"):
        connect(f"scattering://?{query}")
