"""An Intan controller is driven through RHX's own protocol; the soft twin stands at the other end."""

import asyncio
from contextlib import aclosing, suppress
from pathlib import Path

import numpy as np
import pytest
from pulsed import PulsedActivity, PulsedCulture

from inmateria.adapters import connect
from inmateria.adapters.intan.emulator import IntanEmulator
from inmateria.adapters.intan.substrate import IntanSubstrate, intan_from_uri
from inmateria.adapters.tissue.guard import PulseLimits, PulseLog
from inmateria.substrate import (
    FrameError,
    Stimulus,
    StimulusRejected,
    SubstrateBusy,
    SubstrateDisconnected,
    SubstrateError,
    SubstrateTimeout,
    UnknownSubstrate,
)

LIMITS = PulseLimits(interval=0.0, rate=1000)


class Sines(PulsedCulture):
    """A culture whose electrode k has 50 uV, a sine of 20 Hz of 20 k uV, and one of 3 kHz of 10 k uV."""

    def run(self, duration: float, pulses: np.ndarray | None = None, voltage: bool = False) -> PulsedActivity:
        first = round(self.now * 30_000)
        activity = super().run(duration, pulses, voltage)
        if activity.voltage is not None:
            time = (first + np.arange(len(activity.voltage)))[:, np.newaxis] / 30_000
            activity.voltage[:] = sines(time, np.arange(self.electrodes))
        return activity


def sines(time: np.ndarray, electrode: np.ndarray) -> np.ndarray:
    return 1e-6 * (
        50 + 20 * electrode * np.sin(2 * np.pi * 20 * time) + 10 * electrode * np.sin(2 * np.pi * 3000 * time)
    )


def reach(emulator: IntanEmulator, **changed: object) -> IntanSubstrate:
    made = {"limits": LIMITS, "log": "none", "timeout": 10.0, **changed}
    found = intan_from_uri(emulator.uri)
    return IntanSubstrate(
        "127.0.0.1",
        **dict(zip(("commands", "waveforms", "spikes"), found._ports, strict=True)),
        channels=8,
        **made,  # type: ignore[arg-type]
    )


def emulated(**changed: object) -> IntanEmulator:
    made = {"culture": PulsedCulture(8, period=10.0), "speed": 5, **changed}
    return IntanEmulator(**made)  # type: ignore[arg-type]


async def given(twin: IntanEmulator, count: int) -> list[tuple[float, ...]]:
    """Wait until the twin has given so many pulses."""
    async with asyncio.timeout(20):
        while len(twin.pulses) < count:  # noqa: ASYNC110 (the twin gives no notice)
            await asyncio.sleep(0)
    return twin.pulses


def drive(rows: int, *pulses: tuple[int, int, float]) -> np.ndarray:
    given = np.zeros((rows, 8))
    for row, electrode, current in pulses:
        given[row, electrode] = 1e-6 * current
    return given


async def test_pulses_arrive_balanced_on_time_and_are_answered() -> None:
    async with emulated() as twin, reach(twin) as intan:
        response = await intan.stimulate(intan.info.stimulus(drive(6, (1, 3, 1.5), (4, 5, 2.0)), 0.02))
        assert [(pulse[1], *np.round(pulse[2:], 9)) for pulse in await given(twin, 2)] == [
            (3, -1.5e-6, 2e-4, 1.5e-6, 2e-4),
            (5, -2e-6, 2e-4, 2e-6, 2e-4),
        ]
        for (at, *_), row in zip(twin.pulses, (1, 4), strict=True):
            assert at >= response.start + row * 0.02  # as soon after it as the network allows
        assert response.signal is None
        assert response.spikes is not None
        expected = [(at + late, place) for at, e, *_ in twin.pulses for late, place in ((0.005, e), (0.008, e + 1))]
        expected = [each for each in expected if each[0] < response.start + 0.12]  # a slow machine may miss some
        own = response.spikes[response.spikes["time"] > 0.01]
        assert own["channel"].tolist() == [place for _, place in expected]
        assert own["time"] == pytest.approx([time for time, _ in expected], abs=1.001 / 30_000)
        following = await intan.stimulate(intan.info.stimulus(drive(1)))
        assert following.sequence == 1
        assert following.start >= response.start + 0.12


async def test_nothing_else_is_armed_and_all_is_off_in_the_end() -> None:
    async with emulated() as twin:
        async with reach(twin) as intan:
            await intan.stimulate(intan.info.stimulus(drive(3, (0, 1, 1.0), (1, 2, 1.0), (2, 2, 1.5)), 0.02))
            await given(twin, 3)
        assert [pulse[1] for pulse in twin.pulses] == [1, 2, 2]
        assert not twin.board.armed
        assert twin.commands[-2:] == ["set runmode stop", "get runmode"]


async def test_a_pulse_that_was_released_is_given_whatever_is_set_after() -> None:
    async with emulated() as twin, reach(twin) as intan:
        armed = intan._settings(1.0)
        off = intan._settings(0.0)
        await intan._link.tell(
            *armed.commands("A-003", off),
            "execute manualstimtriggerpulse f1",
            *off.commands("A-003", armed),
            "execute manualstimtriggerpulse f1",
        )
        await intan.stimulate(intan.info.stimulus(drive(2)))
        assert [pulse[1] for pulse in twin.pulses] == [3]


async def test_voltage_is_that_of_the_electrodes() -> None:
    async with emulated(culture=Sines(8)) as twin, reach(twin, voltage=True) as intan:
        response = await intan.stimulate(intan.info.stimulus(drive(3), 0.01))
        assert response.signal is not None
        assert response.signal.shape == (3, 300, 8)
        # The twin's culture has a sine of 10 k uV on electrode k, which the software filter lets pass.
        assert 1e6 * response.signal.std(axis=(0, 1)) == pytest.approx(10 * np.arange(8) / 2**0.5, rel=0.01, abs=0.1)


async def test_the_clock_goes_on_where_32_bits_end() -> None:
    async with emulated(first_timestamp=(1 << 32) - 2000) as twin, reach(twin) as intan:
        starts = [(await intan.stimulate(intan.info.stimulus(drive(1), 0.05))).start for _ in range(4)]
        assert (np.diff(starts) >= 0.05).all()
        assert (np.diff(starts) < 5).all()


async def test_what_tissue_may_not_have_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    limits = PulseLimits(amplitude=3e-6, charge=0.5e-9, interval=0.1, rate=5)
    log = tmp_path / "pulses.csv"
    async with emulated(speed=1) as twin, reach(twin, limits=limits, log=str(log)) as intan:
        told = len(twin.commands)
        for wrong, said in (
            (drive(1, (0, 0, 3.1)), "drives A-000 with 3.1e-06 A"),
            (drive(1, (0, 0, 3.0)), "has 0.6 nC in one phase"),
            (drive(9, (0, 0, 1.0), (8, 0, 1.0)), "electrode 0 gets a pulse 80 ms after"),
        ):
            with pytest.raises(StimulusRejected, match=said):
                await intan.stimulate(Stimulus(wrong, 0.01))
        assert twin.pulses == []
        assert len(twin.commands) == told
        # Half a second farther apart than they must be: the first may be sent late.
        await intan.stimulate(Stimulus(drive(61, (0, 0, 1.0), (60, 0, 1.5)), 0.01))
        assert len(await given(twin, 2)) == 2
        assert PulseLog(log).read()["amplitude"].tolist() == [-1e-6, -1.5e-6]


async def test_currents_are_rounded_to_what_the_chip_can_do() -> None:
    async with emulated() as twin, reach(twin) as intan:
        await intan.stimulate(intan.info.stimulus(drive(2, (0, 0, 1.2345), (1, 1, 0.04)), 0.02))
        assert [(pulse[1], round(pulse[2], 9)) for pulse in await given(twin, 1)] == [(0, -1.2e-6)]


async def test_many_electrodes_at_once_fire_at_one_time() -> None:
    async with emulated() as twin, reach(twin) as intan:
        await intan.stimulate(intan.info.stimulus(np.linspace(1e-6, 2e-6, 8)[np.newaxis], 0.02))
        assert len({pulse[0] for pulse in await given(twin, 8)}) == 1
        assert [pulse[1] for pulse in twin.pulses] == list(range(8))


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("intan://", "does not name a host"),
        ("intan://host/path", "does not name a host"),
        ("intan://host?id=a b", "id is 'a b'; allowed are letters"),
        ("intan://host?speed=3", "it takes host, commands"),
        ("intan://host?channels=many", "channels is a whole number"),
    ],
)
def test_uris_that_name_no_controller_are_told(uri: str, said: str) -> None:
    with pytest.raises(UnknownSubstrate, match=said):
        connect(uri)


async def test_an_address_where_nothing_listens_is_an_error() -> None:
    with pytest.raises(SubstrateDisconnected, match=r"no connection to 127\.0\.0\.1:1 .*start its TCP servers"):
        async with connect("intan://127.0.0.1:1?waveforms=2&spikes=3"):
            pass


async def test_an_electrode_that_is_not_there_is_told() -> None:
    async with emulated() as twin:
        with pytest.raises(SubstrateDisconnected, match="knows no electrode A-008"):
            async with intan_from_uri(twin.uri.replace("channels=8", "channels=9")):
                pass


async def test_a_controller_that_runs_for_another_program_is_left_alone() -> None:
    async with emulated() as twin, reach(twin):
        with pytest.raises(SubstrateBusy, match="in run mode Run"):
            async with reach(twin):
                pass
        assert twin.board.mode == "Run"


async def test_a_controller_that_is_stopped_meanwhile_is_told() -> None:
    async with emulated() as twin, reach(twin, timeout=0.3) as intan:
        twin.board.stop()
        with pytest.raises(SubstrateTimeout, match="check in its window whether it was stopped"):
            await intan.stimulate(intan.info.stimulus(drive(1), 0.02))


async def test_a_connection_that_breaks_ends_the_exchange() -> None:
    async with emulated() as twin:
        with suppress(SubstrateError):
            async with reach(twin) as intan:
                waiting = asyncio.create_task(intan.stimulate(intan.info.stimulus(drive(100), 0.05)))
                await asyncio.sleep(0)
                for writer in list(twin._waveforms):
                    writer.close()
                with pytest.raises(SubstrateDisconnected, match="closed the waveform port"):
                    await waiting


async def test_bytes_that_are_no_data_are_told() -> None:
    async with emulated() as twin, reach(twin) as intan:
        await intan.stimulate(intan.info.stimulus(drive(1)))
        for writer in list(twin._waveforms):
            writer.write(b"noise, not a block of data")
        with pytest.raises(FrameError, match="check whether the channels sent over TCP were changed"):
            await intan.stimulate(intan.info.stimulus(drive(100), 0.05))


async def test_a_second_stream_and_cancelling_leave_it_usable() -> None:
    async with emulated() as twin, reach(twin) as intan:
        async with aclosing(intan.stream(intan.info.stimulus(drive(1)) for _ in range(5))) as responses:
            assert [response.sequence async for response in responses] == list(range(5))
        long = asyncio.create_task(intan.stimulate(intan.info.stimulus(drive(1000, (999, 0, 1.0)), 0.05)))
        await asyncio.sleep(0)
        long.cancel()
        with pytest.raises(asyncio.CancelledError):
            await long
        assert (await intan.stimulate(intan.info.stimulus(drive(1, (0, 1, 1.0)), 0.02))).sequence == 5
        assert [pulse[1] for pulse in await given(twin, 1)] == [1]


async def test_it_does_not_return_to_rest_on_command() -> None:
    async with emulated() as twin, reach(twin) as intan:
        with pytest.raises(SubstrateError, match="does not do so on command"):
            await intan.reset()
