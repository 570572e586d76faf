"""Learning by shifts as C: every prediction and weight is Python's, here, and in an emulated ATmega328P."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inmateria.reservoir import ShiftLMSReadout, mackey_glass
from inmateria.simulators import IntegerEchoStateNetwork

HERE = Path(__file__).parent
CHIP = """
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/sleep.h>

int tried(void);

int main(void)
{
    GPIOR0 = 1;
    GPIOR1 = (uint8_t)tried();
    GPIOR0 = 2;
    cli();
    sleep_enable();
    sleep_cpu();
}
"""


def states_and_target(units: int, samples: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    u = mackey_glass(samples + 217)
    centred = (u - u.mean()) / np.abs(u - u.mean()).max()
    network = IntegerEchoStateNetwork(units=units)
    signal = network.advance(network.info.stimulus(centred[: samples + 200, np.newaxis])).signal
    assert signal is not None
    return signal[200:, 0], u[217:]


def test_it_learns_to_forecast_about_as_well_as_products_do() -> None:
    """Mackey-Glass 17 ahead by 60 units; the series itself, 17 steps old, errs by more than its deviation."""
    X, y = states_and_target(60, 8000)
    for digits, most in ((1, 0.25), (2, 0.2)):
        readout = ShiftLMSReadout(2, digits=digits).fit(X[:7000], y[:7000])
        error = np.sqrt(np.mean((readout.predict(X[7000:]) - y[7000:]) ** 2)) / y[7000:].std()
        assert error < most
    readout = ShiftLMSReadout(2, digits=4).fit(X[:3000], y[:3000])
    rounded = readout.predict(X[7000:]) - (X[7000:] @ readout.coef_[0] + readout.intercept_[0])
    bound = np.abs(X[7000:]) @ np.abs(readout.coef_[0]) / 3**4  # each power leaves a third of a feature at most
    assert (np.abs(rounded) < bound + 1e-3).all()


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@settings(max_examples=6, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), digits=st.integers(1, 4), slowness=st.integers(1, 16),
    size=st.sampled_from([1e-4, 0.3, 1.0, 40.0]), intercept=st.booleans(), outputs=st.integers(1, 3),
)  # fmt: skip
def test_c_predicts_and_learns_as_python_does(
    tmp_path_factory: pytest.TempPathFactory, seed: int, digits: int, slowness: int, size: float, intercept: bool,
    outputs: int,
) -> None:  # fmt: skip
    folder = tmp_path_factory.mktemp("learning")
    generator = np.random.default_rng(seed)
    X = np.clip(generator.standard_cauchy((60, 5)), -1e6, 1e6) * size
    y = X[:, :outputs] * generator.normal(size=outputs) + generator.normal(size=(60, outputs))
    readout = ShiftLMSReadout(slowness, digits=digits, feature_range=1.0, target_range=2.0, fit_intercept=intercept)
    readout.fit(X[:30], y[:30])
    readout.to_learning_c(folder / "lms.c", X[30:], y[30:], vector=30)
    built = ["cc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-O1", "-fsanitize=undefined", "-fno-sanitize-recover"]
    sources = [str(folder / name) for name in ("lms.c", "lms_test.c")]
    subprocess.run([*built, *sources, "-o", str(folder / "lms")], check=True)
    subprocess.run([str(folder / "lms")], check=True)


@pytest.mark.skipif(
    shutil.which("avr-gcc") is None or not Path("/usr/include/simavr/sim_avr.h").exists(),
    reason="needs avr-gcc and libsimavr",
)
def test_an_emulated_chip_learns_as_python_does_and_an_attiny_needs_no_multiplier(tmp_path: Path) -> None:
    X, y = states_and_target(24, 400)
    readout = ShiftLMSReadout(1).fit(X[:300], y[:300])
    readout.to_learning_c(tmp_path / "lms.c", X[300:], y[300:], vector=20)
    test = (tmp_path / "lms_test.c").read_text()
    assert test.count("int main(void)") == 1
    (tmp_path / "lms_test.c").write_text(test.replace("int main(void)", "int tried(void)"))
    (tmp_path / "main.c").write_text(CHIP)
    counter = tmp_path / "counter"
    subprocess.run(["cc", "-O1", str(HERE / "cycle_counter.c"), "-o", str(counter), "-lsimavr", "-lelf"], check=True)

    def told(*sources: str) -> list[int]:
        flags = ["avr-gcc", "-std=c99", "-mmcu=atmega328p", "-Os", *(str(tmp_path / name) for name in sources)]
        subprocess.run([*flags, "-o", str(tmp_path / "lms.elf")], check=True)
        asked = [str(counter), str(tmp_path / "lms.elf"), "atmega328p"]
        run = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=300)
        (line,) = re.findall(r"^(\d+) (\d+) \d+$", run.stdout, re.MULTILINE)
        return [int(each) for each in line]

    cycles, answer = told("main.c", "lms.c", "lms_test.c")
    assert answer == 0
    assert cycles < 20 * 320_000  # 20 ms for a prediction and an update of 24 weights
    compiled = str(tmp_path / "tiny.o")
    subprocess.run(["avr-gcc", "-std=c99", "-mmcu=attiny85", "-Os", "-c", str(tmp_path / "lms.c"), "-o", compiled], check=True)  # fmt: skip  # noqa: E501
    code = subprocess.run(["avr-objdump", "-dr", compiled], capture_output=True, text=True, check=True).stdout
    assert "\tsub\t" in code
    assert not re.search(r"\tf?muls?u?\t|__\w*(mul|div|mod)", code)
    source = (tmp_path / "lms.c").read_text()
    (tmp_path / "lms.c").write_text(source.replace("subtracts ? -part : part;", "subtracts ? part : part;"))
    assert told("main.c", "lms.c", "lms_test.c")[1] != 0  # the check can fail


def test_settings_out_of_range_are_refused_and_leave_it_as_it_was() -> None:
    X, y = states_and_target(16, 50)
    for settings_, says in (
        ({"slowness": 0}, "slowness"), ({"digits": 5}, "1 to 4"), ({"feature_range": -1.0}, "feature_range"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=says):
            ShiftLMSReadout(**settings_).fit(X, y)
    readout = ShiftLMSReadout().fit(X, y)
    before = readout.predict(X)
    with pytest.raises(ValueError, match="digits"):
        readout.set_params(digits=3).partial_fit(X, y)
    assert np.array_equal(readout.set_params(digits=2).predict(X), before)
    with pytest.raises(ValueError, match="NaN"):
        readout.partial_fit(np.full((1, 16), np.nan), [0.0])
    assert np.array_equal(readout.predict(X), before)
