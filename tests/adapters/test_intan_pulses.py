"""What RHX's twin gave is what the log says, whatever is cancelled, lost, frozen, refused or late."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cancelling import cancelled
from pulsed import PulsedCulture

from inmateria.adapters import connect
from inmateria.adapters.intan.emulator import IntanEmulator
from inmateria.adapters.intan.link import CommandRefused
from inmateria.adapters.intan.substrate import IntanSubstrate, intan_from_uri
from inmateria.adapters.tissue.guard import PulseLimits, PulseLog
from inmateria.substrate import StimulusRejected, SubstrateDisconnected, SubstrateError, SubstrateTimeout

ROOMY = PulseLimits(interval=0.0, rate=1000)
TRIGGER = "execute manualstimtriggerpulse f1"


def reach(twin: IntanEmulator, log: Path | None = None, **changed: object) -> IntanSubstrate:
    made = {"limits": ROOMY, "log": str(log or "none"), "channels": 8, **changed}
    ports = dict(zip(("commands", "waveforms", "spikes"), twin._ports, strict=True))
    return IntanSubstrate("127.0.0.1", **ports, **made)  # type: ignore[arg-type]


def emulated(**changed: object) -> IntanEmulator:
    made = {"culture": PulsedCulture(8, period=10.0), "speed": 5, **changed}
    return IntanEmulator(**made)  # type: ignore[arg-type]


def given(twin: IntanEmulator) -> Counter[tuple[float, ...]]:
    """Count what the culture was given: electrode, and current (nA) and duration (us) of both phases."""
    return counted(np.array(twin.pulses, dtype=[(f"{k}", "<f8") for k in range(6)]))


async def settled(twin: IntanEmulator) -> Counter[tuple[float, ...]]:
    """Wait until what was triggered has been given, and count it."""
    async with asyncio.timeout(20):
        while twin.board.stimulators.waiting:  # noqa: ASYNC110 (the twin gives no notice)
            await asyncio.sleep(0)
    return given(twin)


def counted(pulses: np.ndarray) -> Counter[tuple[float, ...]]:
    scale = (1, 1e9, 1e6, 1e9, 1e6)
    return Counter(tuple(round(f * v, 3) for f, v in zip(scale, row[1:], strict=True)) for row in pulses.tolist())


def logged(log: Path) -> Counter[tuple[float, ...]]:
    return counted(PulseLog(log).read())


def strong(steps: int = 2) -> np.ndarray:
    """Drive all electrodes in all steps, each with another current: several batches of commands a step."""
    return 1e-6 * (0.5 + np.arange(8 * steps).reshape(steps, 8) / 10)


async def is_in_order(twin: IntanEmulator, intan: IntanSubstrate, log: Path) -> None:
    """Nothing is armed, answers belong to their commands, and the log is what was given."""
    assert not twin.board.armed
    values, mode = await intan._link.ask("get a-003.stimenabled", "get sampleratehertz")
    assert (values, mode) == ({"stimenabled": "False", "sampleratehertz": "30000"}, "Run")
    assert await settled(twin) == logged(log)
    assert sum(given(twin).values()) == intan._guard.passed == 8 * twin.commands.count(TRIGGER)


async def test_cancelled_at_any_wait_of_an_exchange_the_log_is_what_was_given(tmp_path: Path) -> None:
    log, count, triggers = tmp_path / "pulses.csv", 0, set()
    async with emulated() as twin, reach(twin, log) as intan:
        while await cancelled(intan.stimulate(intan.info.stimulus(strong(3), 0.05)), count):
            before = twin.commands.count(TRIGGER)
            count += 1
            await is_in_order(twin, intan, log)
            response = await intan.stimulate(intan.info.stimulus(np.zeros((1, 8)), 0.01))
            assert response.sequence == count - 1
            triggers.add(twin.commands.count(TRIGGER) - before)
        assert await settled(twin) == logged(log)
    assert count > 15
    assert triggers == {0}  # the exchange after a cancelled one gives nothing of it


async def test_cancelled_at_any_command_of_an_exchange_the_log_is_what_was_given(tmp_path: Path) -> None:
    log, triggered = tmp_path / "pulses.csv", []
    commands = await commands_of_an_exchange(2)
    async with emulated() as twin, reach(twin, log) as intan:
        obey = twin._obey
        for number in range(len(commands)):
            before = twin.commands.count(TRIGGER)
            task = asyncio.create_task(intan.stimulate(intan.info.stimulus(strong(2), 0.01)))

            def cancel(command: str, task: asyncio.Task[Any] = task) -> str:
                task.cancel()
                return obey(command)

            at_command(twin, number, cancel)
            with pytest.raises(asyncio.CancelledError):
                await task
            twin._obey = obey  # type: ignore[method-assign]
            await is_in_order(twin, intan, log)
            triggered.append(twin.commands.count(TRIGGER) - before)
    first = commands.index(TRIGGER)
    assert triggered[:first] == [0] * first
    assert triggered[first] == 1  # a trigger that was sent is finished
    assert triggered[-1] == 2


async def test_cancelled_at_any_wait_of_entering_or_leaving_nothing_stays_armed_or_running() -> None:
    async with emulated() as twin:

        async def visit() -> None:
            async with reach(twin) as intan:
                await intan.stimulate(intan.info.stimulus(strong(1), 0.01))

        count = 0
        while await cancelled(visit(), count):
            count += 1
            assert twin.board.mode == "Stop"
            assert not twin.board.armed
        assert count > 30


def at_command(twin: IntanEmulator, number: int, do: Callable[[str], str]) -> list[str]:
    """From now on, let the number-th command (from 0) do something else; give the commands up to it as they come."""
    obey, seen = twin._obey, []

    def obeyed(command: str) -> str:
        if not command:
            return ""
        seen.append(command)
        return do(command) if len(seen) == number + 1 else obey(command)

    twin._obey = obeyed  # type: ignore[method-assign]
    return seen


async def commands_of_an_exchange(steps: int = 1) -> list[str]:
    async with emulated() as twin, reach(twin) as intan:
        before = len(twin.commands)
        await intan.stimulate(intan.info.stimulus(strong(steps), 0.01))
        return twin.commands[before:]


@pytest.mark.parametrize("executed", [False, True])
async def test_where_the_connection_breaks_the_log_has_all_that_was_given(executed: bool, tmp_path: Path) -> None:
    commands = await commands_of_an_exchange()
    for number in {*range(0, len(commands), 7), commands.index(TRIGGER), len(commands) - 1}:
        log = tmp_path / f"{executed}{number}.csv"
        async with emulated() as twin:
            obey = twin._obey

            def die(command: str, obey: Callable[[str], str] = obey) -> str:
                if executed:
                    obey(command)
                raise ConnectionResetError

            async def visit(twin: IntanEmulator, log: Path, number: int, die: Callable[[str], str] = die) -> None:
                async with reach(twin, log) as intan:
                    at_command(twin, number, die)
                    await intan.stimulate(intan.info.stimulus(strong(1), 0.01))

            with pytest.raises(SubstrateDisconnected, match=r"the connection to RHX at 127\.0\.0\.1 is gone"):
                await visit(twin, log, number)
            twin._obey = obey  # type: ignore[method-assign]
            await settled(twin)
            if number < commands.index(TRIGGER):
                assert not given(twin)
            # Whether a trigger was executed whose answer was lost is not known; it counts.
            lost_trigger = number >= commands.index(TRIGGER)
            assert sum(logged(log).values()) == (8 if lost_trigger else 0)
            assert not given(twin) - logged(log)
            if twin.board.mode == "Run":
                twin.board.stop()
            async with reach(twin, log):
                assert not twin.board.armed


async def test_where_rhx_freezes_its_late_answers_are_discarded_and_the_log_is_what_was_given(tmp_path: Path) -> None:
    commands = await commands_of_an_exchange()
    log = tmp_path / "pulses.csv"
    async with emulated() as twin, reach(twin, log, timeout=0.5) as intan:
        obey = twin._obey
        for number in (0, commands.index(TRIGGER) - 1, commands.index(TRIGGER)):

            def freeze(command: str) -> str:
                twin.freeze()
                return obey(command)

            at_command(twin, number, freeze)
            # The batch that froze it is answered; the one after it is not.
            with pytest.raises(SubstrateTimeout, match=r"RHX at 127\.0\.0\.1"):
                await intan.stimulate(intan.info.stimulus(strong(), 0.01))
            twin._obey = obey  # type: ignore[method-assign]
            twin.thaw()
            await intan.stimulate(intan.info.stimulus(1.5e-6 * np.eye(8)[[3]], 0.01))
            values, _ = await intan._link.ask("get a-003.stimenabled")
            assert values == {"stimenabled": "True"}
            assert await settled(twin) == logged(log)


async def test_leaving_a_frozen_rhx_says_what_may_be_armed() -> None:
    async with emulated() as twin:

        async def visit() -> None:
            async with reach(twin, timeout=0.5) as intan:
                await intan.stimulate(intan.info.stimulus(1e-6 * np.eye(8)[[2]], 0.01))
                twin.freeze()

        with pytest.raises(SubstrateDisconnected, match=r"electrodes A-002 may still be armed .*did not answer"):
            await visit()
        twin.thaw()


async def test_where_rhx_refuses_a_command_no_trigger_follows(tmp_path: Path) -> None:
    commands, log = await commands_of_an_exchange(), tmp_path / "pulses.csv"
    log_and_given: Counter[tuple[float, ...]] = Counter()
    async with emulated() as twin, reach(twin, log) as intan:
        obey = twin._obey
        setting = [k for k in range(commands.index(TRIGGER)) if commands[k] != "get runmode"]
        for number in setting[::3]:
            at_command(twin, number, lambda command: "Error - Another upload cannot be started")
            with pytest.raises(CommandRefused, match="Another upload cannot be started"):
                await intan.stimulate(intan.info.stimulus(strong(1), 0.01))
            twin._obey = obey  # type: ignore[method-assign]
            assert not twin.board.armed
            await intan.stimulate(intan.info.stimulus(1.5e-6 * np.eye(8)[[3]], 0.01))
            log_and_given += Counter({(3, -1500.0, 200.0, 1500.0, 200.0): 1})
            assert await settled(twin) == logged(log) == log_and_given


async def test_nothing_that_an_earlier_client_armed_is_given_on_any_port(tmp_path: Path) -> None:
    log = tmp_path / "pulses.csv"
    left = {
        "a-003": "source KeyPressF1",
        "a-005": "triggerhighorlow Low;set a-005.triggeredgeorlevel Level",  # acts as long as nobody presses
        "a-020": "source KeyPressF1",  # beyond the channels that are asked for
        "b-002": "source KeyPressF1",  # another headstage
        "b-006": "source DigitalIn01",
    }
    async with emulated(culture=PulsedCulture(40, period=10.0)) as twin:
        for channel, setting in left.items():
            twin._obey(f"set {channel}.stimenabled true")
            twin._obey(f"set {channel}.firstphaseamplitudemicroamps 20")
            twin._obey(f"set {channel}.secondphaseamplitudemicroamps 20")
            for command in f"set {channel}.{setting}".split(";"):
                assert twin._obey(command) == ""
            twin._obey(f"execute uploadstimparameters {channel}")
        assert len(twin.board.armed) == 5
        async with reach(twin, log) as intan:
            await intan.stimulate(intan.info.stimulus(1e-6 * np.eye(8)[[5, 0]], 0.02))
            twin.external_trigger("DigitalIn01")
            await intan.stimulate(intan.info.stimulus(np.zeros((2, 8)), 0.02))
        assert await settled(twin) == logged(log)
        assert sorted(pulse[1] for pulse in twin.pulses) == [0, 5]


async def test_what_the_chip_gives_is_checked_and_logged_not_what_was_asked(tmp_path: Path) -> None:
    log = tmp_path / "pulses.csv"
    # 20 us are one sample of 33.3 us at 30 kHz, and 1.04 uA are 1.0 uA in steps of 0.1 uA: 33.3 pC in place of 20.8.
    tight = PulseLimits(interval=0.0, rate=1000, charge=30e-12)
    async with emulated() as twin, reach(twin, log, phase=20e-6, limits=tight) as intan:
        assert intan.info.parameters["phase"] == pytest.approx(1 / 30_000)
        with pytest.raises(StimulusRejected, match=r"has 0\.0333333 nC in one phase; allowed are at most 0\.03 nC"):
            await intan.stimulate(intan.info.stimulus(1.04e-6 * np.eye(8)[[1]], 0.02))
        await intan.stimulate(intan.info.stimulus(0.84e-6 * np.eye(8)[[1]], 0.02))
        await settled(twin)
    assert logged(log) == given(twin) == {(1, -800.0, 33.333, 800.0, 33.333): 1}


async def test_a_phase_that_the_chip_would_not_give_at_all_is_refused_on_entering() -> None:
    async with emulated() as twin:
        with pytest.raises(StimulusRejected, match="has phases of 0 and 0 us; allowed are 20 to 5000 us"):
            async with reach(twin, phase=10e-6):
                pass


class TimedEmulator(IntanEmulator):
    """Notes when each trigger arrived, on the system's clock."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.arrived: list[float] = []
        fire = self.board.fire

        def timed(source: str) -> None:
            self.arrived.append(time.perf_counter())
            fire(source)

        self.board.fire = timed  # type: ignore[method-assign]


@contextmanager
def in_a_thread(twin: IntanEmulator) -> Iterator[None]:
    """Run a twin on an event loop of its own, which goes on while ours is held."""
    ready, end = threading.Event(), threading.Event()

    async def serve() -> None:
        async with twin:
            ready.set()
            await asyncio.to_thread(end.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(30)
        yield
    finally:
        end.set()
        thread.join()


@pytest.mark.parametrize(
    ("limits", "every", "spaced"),
    [
        (PulseLimits(interval=5e-3, rate=50), 1, True),  # 50 a second, as many as may be
        (PulseLimits(interval=0.1, rate=50), 5, False),  # spacing would take longer than a step
    ],
)
async def test_an_event_loop_that_is_held_makes_pulses_late_never_too_many_or_too_near(
    limits: PulseLimits, every: int, spaced: bool, tmp_path: Path
) -> None:
    log, twin = tmp_path / "pulses.csv", TimedEmulator(culture=PulsedCulture(8, period=10.0))
    with in_a_thread(twin):
        async with reach(twin, log, limits=limits) as intan:
            drive = np.zeros((75, 8))
            drive[::every, 2] = 1e-6
            asyncio.get_running_loop().call_later(0.2, time.sleep, 0.6)
            await intan.stimulate(intan.info.stimulus(drive, 0.02))
            await settled(twin)
            passed, dropped = intan._guard.passed, intan._guard.dropped
    arrived = np.array(twin.arrived)
    assert passed + dropped == np.count_nonzero(drive)
    assert spaced or dropped > 0
    assert len(arrived) == len(twin.pulses) == passed == sum(logged(log).values())
    assert np.diff(arrived).min() >= limits.interval - 1e-6
    assert (arrived[50:] - arrived[:-50] >= 1.0 - 1e-6).all()


async def test_a_trigger_that_rhx_executes_late_keeps_the_next_one_away(tmp_path: Path) -> None:
    log, limits = tmp_path / "pulses.csv", PulseLimits(interval=0.05, rate=1000)
    commands = await commands_of_an_exchange()
    async with TimedEmulator(culture=PulsedCulture(8, period=10.0)) as twin, reach(twin, log, limits=limits) as intan:
        obey = twin._obey

        def freeze(command: str) -> str:
            twin.freeze()
            asyncio.get_running_loop().call_later(0.1, twin.thaw)
            return obey(command)

        at_command(twin, commands.index(TRIGGER) - 1, freeze)  # the trigger waits in RHX for 100 ms
        drive = np.zeros((6, 8))
        drive[0] = strong(1)
        drive[5] = drive[0]
        await intan.stimulate(intan.info.stimulus(drive, 0.01))
        assert await settled(twin) == logged(log)
    assert len(twin.arrived) == 2
    assert np.diff(twin.arrived)[0] >= limits.interval - 1e-6


async def test_cancelled_while_dropped_pulses_are_disarmed_the_log_is_what_was_given(tmp_path: Path) -> None:
    log = tmp_path / "pulses.csv"
    async with emulated() as twin, reach(twin, log) as intan:
        await intan.stimulate(intan.info.stimulus(1e-6 * np.eye(8)[[0]], 0.01))
        obey, release = twin._obey, intan._guard.release

        def released(pulses: np.ndarray, at: float) -> np.ndarray:
            """Let electrode 3 be too late: at a time before what was given last."""
            return release(pulses, np.where(pulses["electrode"] == 3, at - 100, at))

        intan._guard.release = released  # type: ignore[method-assign, assignment]
        number = 0
        while number < 200:
            task = asyncio.create_task(intan.stimulate(intan.info.stimulus(strong(1), 0.01)))

            def cancel(command: str, task: asyncio.Task[Any] = task) -> str:
                task.cancel()
                return obey(command)

            seen = at_command(twin, number, cancel)
            await asyncio.wait({task})
            twin._obey = obey  # type: ignore[method-assign]
            assert await settled(twin) == logged(log)
            if not task.cancelled():
                break
            assert len(seen) > number
            number += 1
        assert number > 30
        assert Counter(int(pulse[1]) for pulse in twin.pulses)[3] == 0


@asynccontextmanager
async def entered(uri: str) -> AsyncIterator[str]:
    async with connect(uri) as substrate:
        yield substrate.info.id


async def test_no_two_controllers_have_one_identity() -> None:
    async with emulated() as one, emulated() as other:
        bare = [twin.uri.replace("&id=twin-pulsed", "") for twin in (one, other)]
        identities = []
        for uri in (*bare, bare[0].replace("127.0.0.1", "localhost"), bare[0] + "&id=rig-3", one.uri):
            async with entered(uri) as identity:
                identities.append(identity)
    assert identities[0] != identities[1]
    assert identities[0] == identities[2]
    assert identities[3:] == ["rig-3", "twin-pulsed"]
    # A loopback address is another machine on another desk.
    assert "127.0.0.1" not in identities[0]
    assert "localhost" not in identities[0]
    places = {intan_from_uri(uri)._id for uri in ("intan://a", "intan://a?port=B", "intan://a:5010", "intan://b")}
    assert len(places) == 4
    assert intan_from_uri("intan://a?port=b")._id == intan_from_uri("intan://A?port=B")._id


async def test_a_log_that_cannot_be_written_stops_before_the_trigger(tmp_path: Path) -> None:
    log = tmp_path / "pulses.csv"
    async with emulated() as twin:
        with suppress(SubstrateError):
            async with reach(twin, log) as intan:
                log.unlink()
                with pytest.raises(SubstrateError, match="is gone"):
                    await intan.stimulate(intan.info.stimulus(strong(1), 0.01))
        assert twin.pulses == []
        assert TRIGGER not in twin.commands
