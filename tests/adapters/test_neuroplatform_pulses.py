"""What the Neuroplatform's twin gave is what the log says and what the limits allow, whatever was left armed there."""

import asyncio
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cancelling import cancelled
from pulsed import PulsedCulture

from inmateria.adapters import connect
from inmateria.adapters.neuroplatform.substrate import NeuroplatformSubstrate
from inmateria.adapters.neuroplatform.twin import Booking, Neuroplatform, PlatformClock, Stimulation
from inmateria.adapters.neuroplatform.v1 import version1
from inmateria.adapters.tissue.guard import PulseLimits, PulseLog, biphasic
from inmateria.substrate import Stimulus, StimulusRejected

OURS, THEIRS = Booking(token="OURS", fs_name="fs300"), Booking(token="THEIRS", fs_name="fs300")
ROOMY = PulseLimits(amplitude=1e-5, interval=0.0, rate=1000)


def twin(**changed: object) -> Neuroplatform:
    made = {
        "cultures": PulsedCulture(32, period=1000.0),
        "bookings": [OURS, THEIRS],
        "clock": PlatformClock(start=time.time()),
        **changed,
    }
    return Neuroplatform(**made)  # type: ignore[arg-type]


def lab(platform: Neuroplatform, log: Path | None = None, **changed: Any) -> NeuroplatformSubstrate:
    made = {"triggers": 4, "limits": ROOMY, "log": str(log or ""), **changed}
    return NeuroplatformSubstrate("OURS", platform=platform, **made)


def rows(pulses: Any) -> Counter[tuple[float, ...]]:
    scale = (1e3, 1, 1e9, 1e6, 1e9, 1e6)
    return Counter(tuple(round(f * v, 2) for f, v in zip(scale, row, strict=True)) for row in pulses)


def logged(log: Path) -> Counter[tuple[float, ...]]:
    return rows(PulseLog(log).read().tolist())


def armed_by_another(platform: Neuroplatform, *electrodes: int) -> None:
    """Leave all triggers armed, on these electrodes, as a user does who stops without disabling anything."""
    assert platform.start(THEIRS)
    for key in range(16):
        places = [electrode for electrode in electrodes if electrode % 16 == key]
        platform.send_parameters(
            [
                Stimulation(index=e, trigger_key=key, phase_amplitude1=50.0, phase_amplitude2=50.0, nb_pulse=3)
                for e in places
            ]
        )
    platform.upload()
    platform.clock.sleep(10)
    platform.stop(THEIRS)


@pytest.mark.parametrize("version", [1, 2])
async def test_nothing_that_an_earlier_user_armed_is_given(version: int, tmp_path: Path) -> None:
    # Version 2 is for the owner of all four arrays; a booking of version 1 is of some electrodes.
    platform, log = twin(), tmp_path / "pulses.csv"
    platform.shared = version == 1
    armed_by_another(platform, *range(32), *([] if version == 1 else range(32, 128, 7)))
    async with lab(platform, log, version=version) as substrate:
        await substrate.stimulate(substrate.info.stimulus(np.eye(4)))
        await substrate.stimulate(substrate.info.stimulus(np.zeros((3, 4))))  # counted by a silent trigger
    assert [pulse[1] for pulse in platform.given] == [0, 8, 16, 24]
    assert rows(platform.given) == logged(log)
    assert not platform._loaded


@pytest.mark.parametrize("version", [1, 2])
async def test_cancelled_at_any_wait_of_an_exchange_the_log_is_what_was_given(version: int, tmp_path: Path) -> None:
    platform, log, count = twin(), tmp_path / "pulses.csv", 0
    async with lab(platform, log, version=version) as substrate:
        if version == 2:
            send = substrate._sdk._trigger.send  # type: ignore[attr-defined]

            async def slow(given: np.ndarray) -> None:
                await asyncio.sleep(0)
                await send(given)
                await asyncio.sleep(0)

            substrate._sdk._trigger.send = slow  # type: ignore[attr-defined]
        while await cancelled(substrate.stimulate(substrate.info.stimulus(np.ones((3, 4)))), count):
            count += 1
            assert rows(platform.given) == logged(log)
            assert len(platform.given) == substrate._guard.passed
            response = await substrate.stimulate(substrate.info.stimulus(np.zeros((1, 4))))
            assert response.sequence == count - 1
    assert count >= 3


@pytest.mark.parametrize("version", [1, 2])
async def test_cancelled_at_any_wait_of_entering_or_leaving_nothing_stays_armed_or_begun(version: int) -> None:
    platform, count = twin(), 0

    async def visit() -> None:
        async with lab(platform, version=version) as substrate:
            await substrate.stimulate(substrate.info.stimulus(np.ones((1, 4))))

    while await cancelled(visit(), count):
        count += 1
        assert platform.running is None
        assert not platform._loaded
    assert count >= 5


async def test_what_the_platform_gives_is_checked_and_logged_not_what_was_asked(tmp_path: Path) -> None:
    # 150 us are 4.5 samples of 30 kHz, given as 5: 166.7 us, and 0.667 nC in place of 0.6.
    log, tight = tmp_path / "pulses.csv", PulseLimits(amplitude=1e-5, interval=0.0, rate=1000, charge=0.65e-9)
    with pytest.raises(StimulusRejected, match=r"has 0\.666667 nC in one phase; allowed are at most 0\.65 nC"):
        async with lab(twin(), phase=150e-6, limits=tight):
            pass
    platform = twin()
    async with lab(platform, log, phase=150e-6) as substrate:
        assert substrate.info.parameters["phase"] == pytest.approx(5 / 30_000)
        await substrate.stimulate(substrate.info.stimulus(np.eye(4)[[2]]))
    assert rows(platform.given) == logged(log)
    assert [pulse[3] for pulse in platform.given] == [pytest.approx(5 / 30_000)]


@pytest.mark.parametrize("version", [1, 2])
async def test_where_the_program_is_held_late_pulses_keep_their_distance(version: int, tmp_path: Path) -> None:
    """The twin enforces the same limits, and would refuse a trigger that comes too early."""
    limits = PulseLimits(amplitude=1e-5, interval=1.0, rate=1.0)
    platform, log = twin(limits=limits), tmp_path / "pulses.csv"
    async with lab(platform, log, version=version, limits=limits) as substrate:
        waited, held = substrate._sdk.wait_until, [0.0, 0.0, 0.0, 0.9]

        async def wait_until(at: float) -> None:
            await waited(at)
            if held:
                platform.clock.sleep(held.pop(0))

        substrate._sdk.wait_until = wait_until  # type: ignore[method-assign]
        drive = np.zeros((17, 4))
        drive[::4] = [0, 1, 0, 0]
        await substrate.stimulate(substrate.info.stimulus(drive))
    times = np.array([pulse[0] for pulse in platform.given])
    assert len(times) == substrate._guard.passed
    assert substrate._guard.passed + substrate._guard.dropped == 5
    assert times[1] - times[0] == pytest.approx(1.9)
    assert np.diff(times).min() >= 1.0 - 1e-6
    assert rows(platform.given) == logged(log)


def flags(*keys: int) -> np.ndarray:
    given = np.zeros(16, dtype=np.uint8)
    given[list(keys)] = 1
    return given


@pytest.mark.parametrize(
    ("limits", "most", "said"),
    [
        ({"interval": 0.5, "rate": 1000.0}, 1, "gets a pulse 100 ms after the one before; at least 500 ms"),
        ({"interval": 0.0, "rate": 3.0}, 3, "more than 3 pulses in one second"),
        # Two electrodes with 0.1 nC each at a time.
        ({"interval": 0.0, "rate": 1000.0, "dose": 0.9e-9}, 4, "charge of one hour to 1 nC; allowed are at most 0.9"),
    ],
)
def test_the_twin_enforces_interval_rate_and_dose(limits: dict[str, float], most: int, said: str) -> None:
    platform = twin(limits=PulseLimits(**limits))  # type: ignore[arg-type]
    package = version1(platform)
    package.Experiment("OURS").start()
    params = [package.StimParam(), package.StimParam()]
    params[1].index = 5
    package.IntanSofware().send_stimparam(params)
    trigger = package.Trigger()
    for _ in range(most):
        trigger.send(flags(0))
        platform.clock.sleep(0.1)
    with pytest.raises(StimulusRejected, match=said):
        trigger.send(flags(0))
    assert len(platform.given) == 2 * most  # of a trigger that is refused nothing is given
    platform.clock.sleep(3600)
    trigger.send(flags(0))


def test_charge_density_is_limited_where_the_area_of_an_electrode_is_known() -> None:
    pulse = biphasic(0.0, 3, -3e-6, 200e-6)  # 0.6 nC
    PulseLimits(area=2.1e-9).check(pulse)
    PulseLimits(density=1e-6).check(pulse)  # without an area there is no density
    with pytest.raises(StimulusRejected, match=r"has 0\.315789 C/m2 .*; allowed are at most 0\.3 C/m2 \(30 uC/cm2\)"):
        PulseLimits(area=1.9e-9).check(pulse)
    with pytest.raises(ValueError, match="pulse limits have area -1"):
        PulseLimits(area=-1.0)


async def test_the_twin_refuses_a_charge_density_beyond_its_limit() -> None:
    with pytest.raises(StimulusRejected, match="uC/cm2"):
        async with lab(twin(limits=PulseLimits(amplitude=1e-4, area=1e-9, interval=0.0, rate=1000))):
            pass


async def test_identities_name_the_organoids_or_what_the_user_says() -> None:
    async def identity(substrate: Any) -> str:
        async with substrate:
            return str(substrate.info.id)

    assert await identity(lab(twin())) == "neuroplatform-fs300"
    assert await identity(lab(twin(), id="organoid-7")) == "organoid-7"
    # Of a platform of one's own version 2 says nothing that tells it from another one.
    alone = NeuroplatformSubstrate(version=2, platform=twin(), triggers=4)
    async with alone:
        assert alone.info.identity == "serial"
        alone._platform = None
        assert alone._described("neuroplatform-array0").identity == "none"
    uris = [
        f"neuroplatform://emulated?{query}"
        for query in ("seed=1", "seed=2", "seed=1&neurons=500", "seed=1&version=2", "seed=1&version=2&array=1")
    ]
    found = await asyncio.gather(*(identity(connect(uri)) for uri in uris))
    assert len(set(found)) == len(uris)


async def test_a_step_that_a_refused_trigger_ends_leaves_the_next_exchange_possible() -> None:
    platform = twin(limits=PulseLimits(amplitude=1e-5, interval=0.6, rate=1000))
    async with lab(platform) as substrate:
        with pytest.raises(StimulusRejected, match="gets a pulse 250 ms after the one before"):
            await substrate.stimulate(Stimulus(np.eye(4)[[0, 0]], 0.25))
        assert len(platform.given) == 1
        await substrate.stimulate(substrate.info.stimulus(np.zeros((3, 4))))
        assert (await substrate.stimulate(substrate.info.stimulus(np.eye(4)[[0]]))).sequence == 1
