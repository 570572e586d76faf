"""Any driver in Python as a substrate: order, limits, rest, calls that hang, fail or are cancelled."""

import asyncio
import math
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inmateria.adapters import BufferedInstrument, Instrument
from inmateria.substrate import (
    Channel,
    ResponseMismatch,
    Stimulus,
    StimulusRejected,
    Substrate,
    SubstrateDisconnected,
    SubstrateError,
    SubstrateTimeout,
)
from inmateria.testing import Check, substrate_checks

BIAS = Channel(name="bias", unit="V", low=-1, high=1)
GATE = Channel(name="gate", unit="mV", low=100, high=500)
CURRENT = Channel(name="current", unit="mA", low=-2, high=2)
TEMPERATURE = Channel(name="temperature", unit="Cel", low=0, high=50)


class Driver:
    """A driver that notes its calls; `gate`, where it is closed, keeps it in a call."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, float]] = []
        self.threads: set[int] = set()
        self.levels = {"bias": math.nan, "gate": math.nan}
        self.gate, self.begun, self.rested = threading.Event(), threading.Event(), threading.Event()
        self.gate.set()
        self.failing: Exception | None = None
        self.reading: Callable[[], object] = lambda: self.levels["bias"] * self.levels["gate"] / 1000

    def setter(self, name: str) -> Callable[[float], None]:
        def set_level(value: float) -> None:
            self.threads.add(threading.get_ident())
            self.calls.append((name, value))
            self.begun.set()
            self.gate.wait()
            if self.failing is not None and value not in (0.0, 100.0):
                raise self.failing
            self.levels[name] = value
            if self.at_rest:
                self.rested.set()

        return set_level

    def read(self) -> float:
        self.threads.add(threading.get_ident())
        self.calls.append(("current", math.nan))
        return self.reading()  # type: ignore[return-value]

    def instrument(self, **given: object) -> Instrument:
        options: dict[str, object] = {"step": 1e-3, "timeout": 60.0} | given
        return Instrument(
            {BIAS: self.setter("bias"), GATE: self.setter("gate")},
            {CURRENT: self.read, TEMPERATURE: lambda: 20},
            **options,  # type: ignore[arg-type]
        )

    @property
    def at_rest(self) -> bool:
        return self.levels == {"bias": 0.0, "gate": 100.0}


@pytest.mark.parametrize("check", substrate_checks())
def test_the_contract_holds(check: Check) -> None:
    check(lambda: Driver().instrument())


@pytest.mark.parametrize("check", substrate_checks())
def test_the_contract_holds_for_blocks(check: Check) -> None:
    check(lambda: BufferedInstrument([BIAS, GATE], [CURRENT], lambda rows: 0.5 * rows[:, :1], sampling_rate=1000.0))


async def test_inputs_are_set_and_outputs_read_in_the_order_given_all_in_one_thread() -> None:
    driver = Driver()
    async with driver.instrument(open=lambda: driver.calls.append(("open", 0)), close=lambda: None) as bench:
        assert driver.at_rest
        assert bench.info.rest == (0.0, 100.0)
        driver.calls.append(("stimulus", 0))
        response = await bench.stimulate(bench.info.stimulus([[0.5, 200.0], [0.5, 400.0]]))
        assert driver.at_rest
        assert response.signal is not None
        assert response.signal[:, 0].tolist() == [[0.1, 20.0], [0.2, 20.0]]
    names = [name for name, _ in driver.calls]
    assert names == ["open", "bias", "gate", "stimulus", "bias", "gate", "current", "gate", "current", "bias", "gate"]
    assert len(driver.threads) == 1
    assert threading.get_ident() not in driver.threads


async def test_readings_in_a_step_are_as_many_as_the_rate_says() -> None:
    driver = Driver()
    async with driver.instrument(step=0.01, sampling_rate=300.0, settle=1e-3) as bench:
        response = await bench.stimulate(bench.info.stimulus([[0.5, 200.0]], step=0.02))
    assert response.signal is not None
    assert response.signal.shape == (1, 6, 2)
    assert [name for name, _ in driver.calls].count("current") == 6


async def test_what_is_outside_the_limits_reaches_no_driver() -> None:
    driver = Driver()
    async with driver.instrument() as bench:
        before = list(driver.calls)
        for drive in ([[1.001, 200.0]], [[0.0, 99.0]]):
            with pytest.raises(StimulusRejected, match="allows"):
                await bench.stimulate(Stimulus(drive, 1e-3))
        with pytest.raises(SubstrateError, match="does not do so on command"):
            await bench.reset()
        assert driver.calls == before


async def test_levels_stay_between_the_stimuli_of_a_stream_and_end_at_rest() -> None:
    driver = Driver()
    async with driver.instrument() as bench:
        driver.calls.clear()
        stimuli = [bench.info.stimulus([[0.5, 200.0]]) for _ in range(3)]
        assert [response.sequence async for response in bench.stream(stimuli)] == [0, 1, 2]
        assert [call for call in driver.calls if call[0] == "bias"] == [("bias", 0.5), ("bias", 0.0)]
        assert driver.at_rest


async def test_a_call_that_hangs_is_named_and_nothing_further_is_called_before_it_returns() -> None:
    driver = Driver()
    bench = driver.instrument(timeout=1.0)
    await bench.__aenter__()
    driver.gate.clear()
    driver.rested.clear()
    with pytest.raises(SubstrateTimeout, match=r"setting bias to 0\.5 V did not return within 1 s"):
        await bench.stimulate(bench.info.stimulus([[0.5, 200.0]]))
    calls = len(driver.calls)
    with pytest.raises(SubstrateDisconnected, match=r"setting bias to 0\.5 V has not returned"):
        await bench.stimulate(bench.info.stimulus([[0.6, 200.0]]))
    with pytest.raises(SubstrateDisconnected, match="has not returned"):
        await bench.__aexit__(None, None, None)
    assert len(driver.calls) == calls
    driver.gate.set()  # at last it returns: the rest is set all the same
    await asyncio.to_thread(driver.rested.wait)
    assert driver.at_rest


@pytest.mark.parametrize("error", [OSError("unplugged"), RuntimeError("the driver complains")])
async def test_a_driver_that_fails_leaves_the_inputs_at_rest(error: Exception) -> None:
    driver = Driver()
    async with driver.instrument() as bench:
        driver.failing = error
        with pytest.raises(SubstrateError, match=f"setting gate to 200 mV failed .*{error}") as raised:
            await bench.stimulate(bench.info.stimulus([[0.0, 200.0]]))
        assert raised.value.__cause__ is error
        assert driver.at_rest
        driver.failing = None
        assert (await bench.stimulate(bench.info.stimulus([[0.5, 200.0]]))).sequence == 1


async def test_a_cancelled_exchange_ends_at_rest_before_the_next_begins() -> None:
    driver = Driver()
    async with driver.instrument() as bench:
        driver.gate.clear()
        driver.begun.clear()
        exchange = asyncio.create_task(bench.stimulate(bench.info.stimulus(np.tile([0.5, 200.0], (1000, 1)))))
        waiting = asyncio.create_task(bench.stimulate(bench.info.stimulus([[0.7, 200.0]])))
        await asyncio.to_thread(driver.begun.wait)
        waiting.cancel()  # it has not begun, and never does
        exchange.cancel()
        await asyncio.sleep(0)
        assert not exchange.done()
        driver.gate.set()
        for task in (exchange, waiting):
            with pytest.raises(asyncio.CancelledError):
                await task
        assert driver.at_rest
        assert ("bias", 0.7) not in driver.calls
        assert driver.calls.count(("current", math.nan)) == 0


async def test_a_failure_of_the_rest_is_said() -> None:
    driver = Driver()
    bench = driver.instrument(rest=(0.25, 100.0))
    driver.failing = OSError("unplugged")
    with pytest.raises(SubstrateError, match="may not be at rest"):
        await bench.__aenter__()


async def test_values_out_of_range_are_nan_and_said_and_no_number_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    driver = Driver()
    async with driver.instrument() as bench:
        driver.reading = lambda: 9.9e37
        response = await bench.stimulate(bench.info.stimulus([[0.5, 200.0]]))
        assert response.signal is not None
        assert np.isnan(response.signal[0, 0, 0])
        assert bench.overflows == 1
        assert "9.9e+37 mA of current (step 0); allowed are -2 to 2" in caplog.text
        driver.reading = lambda: "over"
        with pytest.raises(SubstrateError, match="reading current returned 'over'"):
            await bench.stimulate(bench.info.stimulus([[0.5, 200.0]]))
        assert driver.at_rest


async def test_late_steps_are_counted_and_not_made_up_for(caplog: pytest.LogCaptureFixture) -> None:
    driver = Driver()
    pause = threading.Event()
    driver.reading = lambda: float(pause.wait(3e-3))
    async with driver.instrument() as bench:
        response = await bench.stimulate(bench.info.stimulus(np.tile([0.5, 200.0], (3, 1))))
        following = await bench.stimulate(bench.info.stimulus([[0.5, 200.0]]))
        assert following.start - response.start >= 9e-3
        assert bench.late_steps == 4
    assert caplog.text.count("longer than was asked for") == 1


def test_what_cannot_be_is_refused() -> None:
    for wrong in ({"settle": 1e-3}, {"settle": -1.0}, {"timeout": 0.0}, {"timeout": math.inf}):
        with pytest.raises(ValueError, match="give"):
            Driver().instrument(**wrong)
    floating = Channel(name="in", unit="V", low=-1, high=1, floats=True)
    with pytest.raises(ValueError, match="inputs in float"):
        Instrument({floating: print}, {CURRENT: lambda: 0.0})


@given(
    steps=st.integers(1, 5),
    samples=st.integers(1, 7),
    levels=st.lists(st.floats(-1, 1), min_size=5, max_size=5),
)
@settings(max_examples=40, deadline=None)
def test_a_block_is_the_drive_held_and_rest_after_it(steps: int, samples: int, levels: list[float]) -> None:
    played: list[np.ndarray] = []

    def play(rows: np.ndarray) -> np.ndarray:
        played.append(rows)
        return np.arange(len(rows), dtype=float) / 1000

    async def run() -> None:
        async with BufferedInstrument([BIAS], [CURRENT], play, sampling_rate=1000.0, rest=(0.125,)) as card:
            assert [rows.tolist() for rows in played] == [[[0.125]]]
            drive = np.array(levels[:steps])[:, np.newaxis]
            response = await card.stimulate(card.info.stimulus(drive, step=samples / 1000))
            expected = [level for level in levels[:steps] for _ in range(samples)]
            assert played[1][:, 0].tolist() == [*expected, 0.125]
            assert response.signal is not None
            assert response.signal.ravel().tolist() == [k / 1000 for k in range(steps * samples)]
            again = await card.stimulate(card.info.stimulus([[0.0]], step=0.001))
            assert again.start == (steps * samples + 1) / 1000
        assert len(played) == 3

    asyncio.run(run())


async def test_a_block_of_the_wrong_length_or_a_step_between_samples_is_refused() -> None:
    async with BufferedInstrument([BIAS], [CURRENT], lambda rows: rows, sampling_rate=1000.0) as card:
        with pytest.raises(StimulusRejected, match=r"1\.5 samples"):
            await card.stimulate(Stimulus([[0.5]], 1.5e-3))
        assert (await card.stimulate(Stimulus([[0.5]], 2e-3))).sequence == 0
    short = BufferedInstrument([BIAS], [CURRENT], lambda rows: rows[1:], sampling_rate=1000.0)
    with pytest.raises(ResponseMismatch, match="as many samples as it is given"):
        await short.__aenter__()


def test_ctrl_c_leaves_the_inputs_at_rest() -> None:
    program = """
        import asyncio
        from inmateria.adapters import Instrument
        from inmateria.substrate import Channel

        def set_bias(volts):
            print(volts, flush=True)

        async def main():
            bias = Channel(name="bias", unit="V", low=-1, high=1)
            out = Channel(name="out", unit="V", low=-1, high=1)
            async with Instrument({bias: set_bias}, {out: lambda: 0.0}, step=60.0) as bench:
                await bench.stimulate(bench.info.stimulus([[0.5]]))

        asyncio.run(main())
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "0.0\n"
        assert process.stdout.readline() == "0.5\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "0.0\n"


def test_a_substrate_it_is() -> None:
    assert isinstance(Driver().instrument(), Substrate)
