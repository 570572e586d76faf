"""Scripts for FinalSpark's platform run on the twin as they are, and what would not work there does not work here."""

import asyncio
import sys
import textwrap
import threading
from contextlib import aclosing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from pulsed import PulsedCulture

from inmateria.adapters import connect
from inmateria.adapters.neuroplatform.emulator import emulated
from inmateria.adapters.neuroplatform.substrate import NeuroplatformSubstrate
from inmateria.adapters.neuroplatform.twin import Booking, Neuroplatform, PlatformClock
from inmateria.adapters.neuroplatform.v1 import version1
from inmateria.adapters.tissue.guard import PulseLimits
from inmateria.substrate import (
    Stimulus,
    StimulusRejected,
    SubstrateBusy,
    SubstrateDisconnected,
    SubstrateError,
    UnknownSubstrate,
)

BOOKING = Booking(token="OURS", fs_name="fs300", electrodes=tuple(range(32)))


def twin(**changed: object) -> Neuroplatform:
    made = {"cultures": PulsedCulture(32, period=1000.0), "bookings": [BOOKING], **changed}
    return Neuroplatform(**made)  # type: ignore[arg-type]


# In the style of the vendor's guide: blocking, tokens, one StimParam an electrode, counts after a trigger.
SCRIPT_1 = """
    import time
    from datetime import datetime, timedelta

    import numpy as np
    from neuroplatform import Database, Experiment, IntanSofware, StimParam, StimPolarity, Trigger

    exp = Experiment("OURS")
    first, second = StimParam(), StimParam()
    first.index, first.trigger_key = exp.electrodes[8], 0
    second.index, second.trigger_key, second.polarity = exp.electrodes[20], 3, StimPolarity.PositiveFirst
    second.phase_amplitude1 = second.phase_amplitude2 = 2.0
    first.display_attributes()
    intan, trigger_gen = IntanSofware(), Trigger()
    intan.set_count([0, 5])
    counts = []
    try:
        if exp.start():
            begun = datetime.utcnow()
            intan.var_threshold(False)
            intan.set_tag_trigger(7)
            intan.send_stimparam([first, second])
            loaded = datetime.utcnow()
            for k in range(3):
                for key in (0, 3, 5):
                    flags = np.zeros(16, dtype=np.uint8)
                    flags[key] = 1
                    trigger_gen.send(flags)
                    time.sleep(0.2)
                    if key != 3:
                        counts.append(intan.read_count())
                time.sleep(1)
            for each in (first, second):
                each.enable = False
            intan.send_stimparam([first, second])
    finally:
        trigger_gen.close()
        intan.var_threshold(True)
        intan.close()
        exp.stop()
    events = Database().get_spike_event(begun, datetime.utcnow(), exp.exp_name)
    minutes = Database().get_spike_count(begun, datetime.utcnow(), exp.exp_name)
    triggers = Database().get_all_triggers(begun, datetime.utcnow())
    t = events[events["channel"] == 8]["Time"].iloc[-1]
    raw = Database().get_raw_spike(t - timedelta(milliseconds=1), t + timedelta(milliseconds=2), 8)
    temperature = Database().temperature(begun, datetime.utcnow())
"""

SCRIPT_2 = """
    import asyncio
    import time
    from datetime import datetime

    import numpy as np
    from neuroplatformv2.core.database import DatabaseController, SpikeEventQuery, TriggersQuery
    from neuroplatformv2.core.intan import IntanController
    from neuroplatformv2.core.trigger import TriggerController
    from neuroplatformv2.utils.schemas import StimParam

    async def main():
        param = StimParam()
        param.index, param.trigger_key = 23, 2
        intan, trigger = IntanController(), TriggerController("admin")
        begun, counts = datetime.utcnow(), []
        try:
            await intan._send_stimparam([param])
            await intan._upload_stimparam()
            WAIT
            flags = np.zeros(16, dtype=np.uint8)
            flags[2] = 1
            for _ in range(4):
                await trigger.send(flags)
                counts.append(await intan._count_spike(100))
                await asyncio.sleep(1)
        finally:
            await intan._close()
            trigger.close()
        events = await DatabaseController.get_spike_event(SpikeEventQuery(begun, datetime.utcnow(), fsname="fs300"))
        triggers = await DatabaseController.get_all_triggers(TriggersQuery(begun, datetime.utcnow()))
        return counts, events, triggers[triggers["up"] == 1]

    found = asyncio.run(main())
"""


def run(script: str, platform: Neuroplatform, version: int) -> dict[str, object]:
    names: dict[str, object] = {"__name__": "__main__"}
    with emulated(platform, version):
        exec(compile(textwrap.dedent(script), "script.py", "exec"), names)
    return names


def test_a_script_for_version_1_runs_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    platform = twin()
    names = run(SCRIPT_1, platform, 1)
    assert "phase_amplitude1: 1.0" in capsys.readouterr().out
    assert (names["loaded"] - names["begun"]).total_seconds() == pytest.approx(10.0)  # type: ignore[operator]
    # The culture fires 5 ms after a pulse there, in the 10 ms left out, and 8 ms after it next to it, too.
    counts = np.array(names["counts"])
    assert counts.shape == (6, 128)
    assert counts.sum() == 0
    events = names["events"]
    own = 32  # what each electrode of this culture fires by itself, at the beginning
    assert events["channel"].tolist()[own:] == [8, 9, 20, 21] * 3  # type: ignore[index]
    given = [(pulse[1], *np.round(pulse[2:], 9)) for pulse in platform.given]
    assert given[:2] == [(8, -1e-6, 1e-4, 1e-6, 1e-4), (20, 2e-6, 1e-4, -2e-6, 1e-4)]
    assert names["minutes"]["Spike per minutes"].sum() == own + 12  # type: ignore[index]
    triggers = names["triggers"]
    assert triggers["trigger"].tolist()[::2] == [0, 3, 5] * 3  # type: ignore[index]
    assert set(triggers["_value"]) == {7}  # type: ignore[index]
    raw = names["raw"]
    assert len(raw) == 90  # type: ignore[arg-type]
    assert raw["Amplitude"].abs().max() == pytest.approx(60, rel=0.01)  # type: ignore[index]
    assert "neuroplatform" not in sys.modules


def test_a_script_for_version_2_runs_as_it_is() -> None:
    names = run(SCRIPT_2.replace("WAIT", "time.sleep(10)"), twin(), 2)
    counts, events, triggers = names["found"]  # type: ignore[misc]
    assert np.array(counts).sum(axis=1).tolist() == [2, 2, 2, 2]
    assert events["channel"].tolist()[32:] == [23, 24] * 4
    assert len(triggers) == 4


def test_a_script_that_does_not_wait_for_the_upload_fails_as_it_would() -> None:
    with pytest.raises(StimulusRejected, match=r"a trigger was sent 1 s after the parameters; changing .* takes 10 s"):
        run(SCRIPT_2.replace("WAIT", "time.sleep(1)"), twin(), 2)


def flags(*keys: int) -> np.ndarray:
    given = np.zeros(16, dtype=np.uint8)
    given[list(keys)] = 1
    return given


def started() -> tuple[Neuroplatform, ModuleType]:
    platform = twin()
    package = version1(platform)
    assert package.Experiment("OURS").start()
    return platform, package


def test_counts_are_those_of_190_ms_that_begin_10_ms_after_a_trigger() -> None:
    culture = PulsedCulture(32, period=0.1)  # electrode k fires at k ms, and every 100 ms
    platform = twin(cultures=culture)
    package = version1(platform)
    package.Experiment("OURS").start()
    intan, trigger = package.IntanSofware(), package.Trigger()
    intan.set_count([1])
    trigger.send(flags(1))
    platform.clock.sleep(0.2)
    counts = intan.read_count()
    assert counts.shape == (128,)
    assert counts[:32].tolist() == [1] * 10 + [2] * 22
    assert counts[32:].sum() == 0  # nothing is on the other arrays
    assert np.array_equal(intan.read_count(), counts)  # it is a buffer


def test_what_would_go_wrong_on_the_platform_is_told() -> None:
    platform, package = started()
    intan, trigger = package.IntanSofware(), package.Trigger()
    param, other = package.StimParam(), package.StimParam()
    for change, said in (
        ({"index": 40}, "electrode 40 is not of this booking; its electrodes are 0 to 31"),
        ({"trigger_key": 16}, "trigger_key 0 to 15"),
        ({"index": 128}, "index 0 to 127"),
        ({"phase_amplitude1": 2.0}, "leaves -0.1 nC"),
        ({"phase_amplitude1": 300.0, "phase_amplitude2": 300.0}, "has 300 uA"),
        ({"stim_shape": package.StimShape.Triphasic}, "does not play the shape"),
    ):
        wrong = package.StimParam()
        for name, value in change.items():
            setattr(wrong, name, value)
        with pytest.raises(SubstrateError, match=said):
            intan.send_stimparam([wrong])
    with pytest.raises(StimulusRejected, match="two StimParams have index 0"):
        intan.send_stimparam([param, other])
    with pytest.raises(AttributeError, match="StimParam has no amplitude"):
        param.amplitude = 3.0
    intan.send_stimparam([param])
    for wrong_flags in (flags(0)[:8], flags(0).astype(float), 2 * flags(0), 3):
        with pytest.raises(StimulusRejected, match="uint8 of shape"):
            trigger.send(wrong_flags)
    with pytest.raises(StimulusRejected, match="before any count"):
        intan.read_count()
    intan.set_count([0])
    trigger.send(flags(0))
    platform.clock.sleep(0.05)
    with pytest.raises(StimulusRejected, match="50 ms after its trigger"):
        intan.read_count()
    with pytest.raises(StimulusRejected, match="run for another 150 ms"):
        trigger.send(flags(0))
    trigger.close()
    with pytest.raises(SubstrateError, match="is closed"):
        trigger.send(flags(0))
    with pytest.raises(SubstrateError, match="there are no organoids 'fs1'"):
        package.Database().get_spike_event(*2 * [__import__("datetime").datetime(2024, 4, 5)], "fs1")


def test_parameters_may_be_sent_before_an_experiment_and_after_a_controller_was_closed() -> None:
    platform = twin(bookings=[BOOKING, Booking(token="TOMORROW", start=9e9)])
    package = version1(platform)
    intan, param = package.IntanSofware(), package.StimParam(index=3, phase_amplitude1=2.0, phase_amplitude2=2.0)
    with pytest.raises(StimulusRejected, match=r"without a booking; Experiment\(token\) first"):
        intan.send_stimparam([param])
    package.Experiment("TOMORROW")
    with pytest.raises(SubstrateBusy, match="outside of the booking of fs300"):
        intan.send_stimparam([param])
    exp = package.Experiment("OURS")
    with pytest.raises(StimulusRejected, match="electrode 40 is not of this booking"):
        intan.send_stimparam([package.StimParam(index=40)])
    intan.send_stimparam([param])
    intan.close()
    trigger = package.TriggerController(email="us@example.org")
    with pytest.raises(StimulusRejected, match="outside of an experiment"):
        trigger.send(flags(0))
    assert exp.start()
    trigger.send(flags(0))
    assert [each[1] for each in platform.given] == [3]
    exp.stop()
    param.enable = False
    intan.send_stimparam([param])  # a closed controller is opened again
    before = package.datetime_now()
    package.wait(2.5)
    assert (package.datetime_now() - before).total_seconds() == 2.5
    assert before.utcoffset().total_seconds() == 0


def test_the_database_records_events_apart_and_tells_empty_times_with_all_columns() -> None:
    zone = timezone(timedelta(hours=5, minutes=30))
    begin = datetime(2024, 4, 5, tzinfo=UTC)
    # Each electrode fires every 2 ms: of these the database has every second one, as an event lasts 3 ms.
    platform = twin(cultures=PulsedCulture(32, period=0.002))
    database = version1(platform).Database()
    platform.clock.sleep(1.0)
    platform.spikes(0.0, 1e12)
    platform.clock.sleep(1.0)  # events are the same, however often they were asked for before
    events = database.get_spike_event(begin, begin + timedelta(seconds=2), "fs300")
    gaps = events.groupby("channel")["Time"].diff().dropna().dt.total_seconds()
    assert gaps.min() == pytest.approx(0.004, abs=1e-6) == gaps.max()
    assert len(events) == len(platform.spikes(0.0, 1e12)[0]) / 2
    same = database.get_spike_event(begin.astimezone(zone), datetime(2024, 4, 5, 0, 0, 2), "fs300")
    assert same.equals(events)
    assert database.get_spike_count(begin, begin + timedelta(seconds=2), "fs300")["Spike per minutes"].sum() == len(
        events
    )
    at = events["Time"][events["channel"] == 9].iloc[30]
    raw = database.get_raw_spike(at - timedelta(milliseconds=1), at + timedelta(milliseconds=2), np.int64(9))
    assert len(raw) == 90
    assert len(database.get_raw_spike(at, at + timedelta(milliseconds=1), 9)) == 30
    assert database.get_raw_spike(at, at, 9).columns.tolist() == ["Time", "channel", "Amplitude"]
    early = begin - timedelta(days=1)
    for name, columns in (
        ("get_all_triggers", ["_time", "_value", "trigger", "up"]),
        ("get_impedance", ["Time", "channel", "impedance"]),
        ("door", ["Time", "value"]),
    ):
        empty = getattr(database, name)(early, begin)
        assert empty.columns.tolist() == columns
        assert len(empty) == 0
        assert str(empty[columns[0]].dt.tz) == "UTC"
    with pytest.raises(SubstrateError, match="before its start"):
        database.get_all_triggers(begin, early)
    with pytest.raises(SubstrateError, match="no electrode 128"):
        database.get_raw_spike(early, begin, 128)
    with pytest.raises(AttributeError, match="has no get_triggers; it has get_spike_event"):
        database.get_triggers(early, begin)


async def test_version_2_answers_each_request_and_says_that_it_has_no_pictures() -> None:
    with emulated(twin(), version=2):
        from neuroplatformv2.core.camera import CameraController
        from neuroplatformv2.core.intan import IntanController
        from neuroplatformv2.utils.enumerations import MEA
        from neuroplatformv2.utils.schemas import StimParam

        intan = IntanController()
        await intan._close()
        assert (await intan._send_stimparam([StimParam()])).status
        assert (await intan._upload_stimparam()).message == ""
        assert len(await CameraController(MEA.One)._last_capture()) == 0
        with pytest.raises(SubstrateError, match="no camera"):
            CameraController(MEA.One)._image_from(1)


def test_a_booking_is_for_its_holder_its_time_and_one_experiment() -> None:
    platform = twin(bookings=[BOOKING, Booking(token="THEIRS"), Booking(token="TOMORROW", start=9e9)])
    package = version1(platform)
    with pytest.raises(SubstrateError, match="no booking has this token"):
        package.Experiment("GUESSED")
    with pytest.raises(StimulusRejected, match="outside of an experiment"):
        package.Trigger().send(flags(0))
    with pytest.raises(SubstrateBusy, match="is not for this time"):
        package.Experiment("TOMORROW").start()
    ours, theirs = package.Experiment("OURS"), package.Experiment("THEIRS")
    assert ours.start()
    assert not theirs.start()
    ours.stop()
    assert theirs.start()


def test_trains_and_delays_are_played() -> None:
    platform, package = started()
    param = package.StimParam()
    param.nb_pulse, param.pulse_train_period, param.trigger_delay = 3, 20_000, 5_000
    package.IntanSofware().send_stimparam([param])
    now = platform.clock.now()
    package.Trigger().send(flags(0))
    platform.clock.sleep(1.0)
    spikes, _ = platform.spikes(now, now + 1.0)
    mine = spikes[spikes["channel"] == 0]["time"] - now
    assert mine == pytest.approx([0.01, 0.03, 0.05], abs=1e-4)


async def enter(version: int, **changed: object) -> NeuroplatformSubstrate:
    platform = changed.pop("platform", None) or twin(cultures=PulsedCulture(32, period=0.1))
    return NeuroplatformSubstrate(version=version, platform=platform, **changed)  # type: ignore[arg-type]


@pytest.mark.parametrize("version", [1, 2])
async def test_triggers_in_counts_out(version: int) -> None:
    platform = twin(cultures=PulsedCulture(32, period=1000.0))
    async with NeuroplatformSubstrate(version=version, platform=platform, triggers=4) as lab:
        assert [channel.levels for channel in lab.info.inputs] == [(0.0, 1.0)] * 4
        assert lab.info.parameters["electrodes"] == [0, 8, 16, 24]
        begun = platform.clock.now()
        response = await lab.stimulate(lab.info.stimulus([[1, 0, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0]]))
        assert platform.clock.now() - begun == pytest.approx(0.75)
        assert response.signal is not None
        assert response.signal.shape == (3, 1, 32)
        assert np.isfinite(response.signal).all()  # the silent trigger counts where nothing is driven
        assert [pulse[1] for pulse in platform.given] == [0, 24, 8]
        assert [pulse[2] for pulse in platform.given] == pytest.approx([-4e-6] * 3)
        assert np.diff([pulse[0] for pulse in platform.given]) == pytest.approx([0.0, 0.5])
        async with aclosing(lab.stream(lab.info.stimulus([0, 0, 1, 0]) for _ in range(5))) as responses:
            assert [each.sequence async for each in responses] == [1, 2, 3, 4, 5]
    assert platform.running is None
    assert not platform._loaded  # nothing stays armed


async def test_sixteen_triggers_leave_none_to_count_with() -> None:
    async with await enter(1, triggers=16) as lab:
        response = await lab.stimulate(lab.info.stimulus(np.eye(16)[[3]].repeat(2, axis=0) * [[1], [0]]))
        assert response.signal is not None
        assert np.isfinite(response.signal[0]).all()
        assert np.isnan(response.signal[1]).all()


async def test_the_adapter_refuses_what_tissue_may_not_have() -> None:
    platform = twin()
    with pytest.raises(StimulusRejected, match="has 20 uA"):
        async with NeuroplatformSubstrate(platform=platform, amplitude=20e-6):
            pass
    assert platform.running is None
    limits = PulseLimits(amplitude=10e-6, charge=2e-9, interval=1.0)
    async with NeuroplatformSubstrate(platform=platform, limits=limits) as lab:
        with pytest.raises(StimulusRejected, match="gets a pulse 250 ms after the one before; at least 1000 ms"):
            await lab.stimulate(Stimulus(np.eye(15)[[0, 0]], 0.25))
        with pytest.raises(StimulusRejected, match=r"allows only the levels 0\.0, 1\.0"):
            await lab.stimulate(Stimulus(0.5 * np.eye(15)[[0]], 0.25))
        assert platform.given == []
        await lab.stimulate(Stimulus(np.eye(15)[[0, 1, 2, 3, 0]], 0.25))


async def test_the_event_loop_is_not_blocked_and_cancelling_takes_the_rest_back() -> None:
    platform = twin()
    inside, go_on = threading.Event(), threading.Event()
    async with NeuroplatformSubstrate(platform=platform) as lab:
        waited = platform.clock.sleep

        def sleep(seconds: float) -> None:
            inside.set()
            assert go_on.wait(10)
            waited(seconds)

        platform.clock.sleep = sleep  # type: ignore[method-assign]
        task = asyncio.create_task(lab.stimulate(Stimulus(np.eye(15)[[0, 1, 2]], 0.25)))
        await asyncio.to_thread(inside.wait)  # the vendor's call blocks, and we are here
        task.cancel()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [pulse[1] for pulse in platform.given] == [0]
        assert lab._guard.passed == 1
        assert (await lab.stimulate(Stimulus(np.eye(15)[[5]], 0.25))).sequence == 0


async def test_without_the_package_a_booking_or_a_turn_entering_fails() -> None:
    with pytest.raises(SubstrateDisconnected, match="neuroplatform is not installed; it comes with access"):
        async with connect("neuroplatform://"):
            pass
    with pytest.raises(SubstrateDisconnected, match="neuroplatformv2 is not installed"):
        async with connect("neuroplatform://?version=2"):
            pass
    platform = twin(bookings=[BOOKING, Booking(token="THEIRS")])
    with pytest.raises(SubstrateError, match="no booking has this token"):
        async with NeuroplatformSubstrate("GUESSED", platform=platform):
            pass
    version1(platform).Experiment("THEIRS").start()
    with pytest.raises(SubstrateBusy, match="another experiment runs"):
        async with NeuroplatformSubstrate("OURS", platform=platform):
            pass


async def test_errors_of_the_vendors_package_say_whose_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    platform = twin()
    package = version1(platform)
    monkeypatch.setitem(sys.modules, "neuroplatform", package)  # as if it were installed
    monkeypatch.setattr(package.IntanSofware, "read_count", lambda self: 1 / 0)
    async with NeuroplatformSubstrate("OURS", log="none", triggers=3) as lab:
        lab._sdk._platform = platform  # so that it waits on the twin's clock
        with pytest.raises(SubstrateDisconnected, match="the platform's package raised ZeroDivisionError"):
            await lab.stimulate(lab.info.stimulus([1, 0, 0]))
    assert platform.running is None


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("neuroplatform://host", "names a host"),
        ("neuroplatform://?token=SECRET", "a token was given in a URI"),
        ("neuroplatform://?step=0.1", "a count takes 0\\.2 s"),
        ("neuroplatform://?triggers=17", "triggers 17"),
        ("neuroplatform://?electrodes=1,x", "allowed are numbers and ranges"),
        ("neuroplatform://?electrodes=1,1", "each once"),
    ],
)
def test_uris_that_name_no_platform_are_told(uri: str, said: str) -> None:
    with pytest.raises(UnknownSubstrate, match=said) as caught:
        connect(uri)
    assert "SECRET" not in str(caught.value)


def test_a_clock_that_is_real_is_real() -> None:
    clock = PlatformClock(simulated=False)
    assert abs(clock.now() - __import__("time").time()) < 10
    with pytest.raises(ValueError, match="non-negative"):
        PlatformClock().sleep(-1)


def test_arrays_have_32_electrodes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="array 0 has a culture of 8 electrodes"):
        twin(cultures=PulsedCulture(8))
    both = twin(cultures={0: PulsedCulture(32, period=0.1), 3: PulsedCulture(32, period=0.1)})
    now = both.clock.now()
    both.clock.sleep(1.0)
    spikes, _ = both.spikes(now, now + 1.0)
    assert (np.diff(spikes["time"]) >= 0).all()
    assert set(spikes["channel"]) == {*range(32), *range(96, 128)}


@pytest.mark.parametrize("version", [1, 2])
async def test_triggers_that_the_platform_tells_of_are_told_apart_from_those_asked_for(version: int) -> None:
    platform = twin()
    async with NeuroplatformSubstrate(platform=platform, version=version, triggers=4) as lab:
        with pytest.raises(SubstrateError, match="no stimulus yet"):
            await lab.confirmed()
        drive = np.array([[1, 0, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0]], dtype=float)
        await lab.stimulate(lab.info.stimulus(drive))
        assert np.array_equal(await lab.confirmed(), drive > 0)
        # A trigger that was sent, and never reached the generator, is not in the database.
        first = lab._sent[0][0]
        platform.triggers = [each for each in platform.triggers if (each[0] - first < 0.1) or each[1] != 0]
        expected = drive > 0
        expected[3, 0] = False
        assert np.array_equal(await lab.confirmed(), expected)
        await lab.stimulate(lab.info.stimulus(np.zeros((2, 4))))
        assert not (await lab.confirmed()).any()
