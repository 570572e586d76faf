"""The emulator answers, stimulates, filters and writes as RHX does: held to RHX's documents, to scipy and to neo."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from neo.rawio import IntanRawIO
from scipy import signal
from test_intan import Sines, drive, emulated, given, reach, sines

from inmateria.adapters.intan.bands import BandFilter
from inmateria.adapters.intan.confirmation import Confirmation, PulseOnsets
from inmateria.adapters.intan.emulator import IntanEmulator
from inmateria.adapters.intan.protocol import encode_waveform
from inmateria.adapters.intan.whole_writes import WholeWrites
from inmateria.recording import RecordedSubstrate, open_recording
from inmateria.substrate import SubstrateDisconnected, SubstrateError

RATE = 30_000


class Client:
    """Talks to an emulator as a script does: a command, a reply of unknown length, blocks of bytes."""

    def __init__(self, streams: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> None:
        (self._reader, self._writer), self._waves, self._spikes = streams

    async def ask(self, *commands: str) -> str:
        self._writer.write((";".join([*commands, "get version"])).encode())
        said = b""
        while b"Return: Version" not in said:
            said += await self._reader.read(4096)
        return said.decode("latin-1").partition("Return: Version")[0]

    async def words(self, bands: int, blocks: int) -> tuple[np.ndarray, np.ndarray]:
        """Return timestamps and words, each of so many blocks of 128."""
        raw = await self._waves[0].readexactly(blocks * (4 + 128 * (4 + 2 * bands)))
        row = np.dtype([("at", "<u4"), ("words", "<u2", (bands,))])
        table = np.frombuffer(raw, dtype=[("magic", "<u4"), ("rows", row, (128,))])
        assert (table["magic"] == 0x2EF07A08).all()
        rows = table["rows"].reshape(-1)
        return rows["at"].astype(np.int64), rows["words"]


@asynccontextmanager
async def client(twin: IntanEmulator) -> AsyncIterator[Client]:
    streams = [await asyncio.open_connection("127.0.0.1", port) for port in twin._ports]
    try:
        yield Client(streams)
    finally:
        for _, writer in streams:
            writer.close()


async def test_values_are_checked_and_answered_as_by_rhx() -> None:
    async with emulated() as twin, client(twin) as rhx:
        for command, answer in (
            ("get a-003.source", "Return: Source DigitalIn01"),
            ("get a-003.numberofstimpulses", "Return: NumberOfStimPulses 2"),
            ("get a-003.interphasedelaymicroseconds", "Return: InterphaseDelayMicroseconds 100"),
            ("get A-003.NativeChannelName", "Return: NativeChannelName A-003"),
            ("get uploadinprogress", "Return: UploadInProgress False"),
            ("get type", "Return: Type ControllerStimRecord"),
            ("get runmode", "Return: RunMode Stop"),
            ("get currenttimestamp", "Return: -1"),
            ("get a-031.source", "Error - Unrecognized parameter"),
            ("set a-000.firstphaseamplitudemicroamps 12.5", ""),
            ("get a-000.firstphaseamplitudemicroamps", "Return: FirstPhaseAmplitudeMicroAmps 12.5"),
            (
                "set a-000.firstphaseamplitudemicroamps 2550.1",
                "Error - Invalid value for FirstPhaseAmplitudeMicroAmps command. Acceptable: [ 0 , 2550 ]",
            ),
            (
                "set a-000.firstphaseamplitudemicroamps lots",
                "Error - Invalid value for FirstPhaseAmplitudeMicroAmps command. Acceptable: [ 0 , 2550 ]",
            ),
            (
                "set tcpnumberdatablocksperwrite 0",
                "Error - Invalid value for TCPNumberDataBlocksPerWrite command. Acceptable: [ 1 , 100 ]",
            ),
            (
                "set a-000.polarity sideways",
                "Error - Invalid value for Polarity command. Acceptable: NegativeFirst;PositiveFirst;",
            ),
            ("set a-000.stimenabled maybe", "Error - Invalid value for StimEnabled command. Acceptable: True;False"),
            (
                "set a-000.numberofstimpulses 2.5",
                "Error - Invalid value for NumberOfStimPulses command. Acceptable: [ 0 , 256 ]",
            ),
            ("set sampleratehertz 20000", "Error - SampleRateHertz cannot be changed once software has started."),
            ("get a-000.firstphaseamplitudemicroamps", "Return: FirstPhaseAmplitudeMicroAmps 12.5"),
            ("set runmode stop", "Error - Board must be running in order to stop"),
            ("set runmode dance", "Error - Invalid value for SetRunMode command"),
            (
                "set runmode record",
                "Error - Filename.BaseFilename and Filename.Path must both be specified before recording can occur",
            ),
            ("set filename.path /tmp/two words", ""),
            ("get filename.path", "Return: Filename.path /tmp/two words"),
            ("execute manualstimtriggerpulse f9", "Error - Unrecognized key f9; allowed are F1 to F8"),
            ("execute dance", "Error - Unrecognized action"),
            ("dance", "Error - Unrecognized command"),
            ("set runmode trigger", "Error - RunMode Trigger is not emulated; the emulator has Run, Record and Stop"),
            ("set notchfilterfreqhertz 50", "Error - NotchFilterFreqHertz 50 is not emulated; the emulator has None"),
            ("execute measureimpedance", "Error - measureimpedance is not emulated"),
            ("set runmode run", ""),
            ("get runmode", "Return: RunMode Run"),
            ("set runmode record", "Error - Board must be stopped in order to start recording"),
            (
                "set tcpnumberdatablocksperwrite 2",
                "Error - TCPNumberDataBlocksPerWrite cannot be set while controller is running.",
            ),
            (
                "execute uploadstimparameters",
                "Error - UploadStimParameters cannot be executed while the board is running",
            ),
            ("execute uploadstimparameters a-000", ""),
            ("set runmode stop", ""),
        ):  # fmt: skip
            assert await rhx.ask(command) == answer, command
    async with emulated(version="3.0.6") as twin, client(twin) as rhx:
        assert await rhx.ask("get type") == "Return: Type ControllerStimRecordUSB2"


async def test_the_bands_are_the_signal_its_two_halves_and_the_stimulators() -> None:
    async with emulated(culture=Sines(8), speed=2, resistance=1e5) as twin, client(twin) as rhx:
        names = ("", "low", "high", "dc", "stim")
        said = await rhx.ask(
            "set tcpnumberdatablocksperwrite 5",
            *(f"set a-003.tcpdataoutputenabled{name} true" for name in names),
            "set a-003.source keypressf2",
            "set a-003.stimenabled true",
            "set a-003.firstphaseamplitudemicroamps 5.04",
            "set a-003.firstphasedurationmicroseconds 190",
        )
        assert said == ""
        said = await rhx.ask(
            "set a-003.secondphaseamplitudemicroamps 2.5",
            "set a-003.secondphasedurationmicroseconds 410",
            "execute uploadstimparameters a-003",
            "set runmode run",
        )
        assert said == ""
        at, words = await rhx.words(5, 100)
        await rhx.ask("execute manualstimtriggerpulse f2")
        more, later = await rhx.words(5, 100)
        assert await rhx.ask("set runmode stop") == ""
    at, words = np.concatenate([at, more]), np.concatenate([words, later])
    assert (np.diff(at) == 1).all()
    microvolts = 0.195 * (words[:, :3].astype(float) - 32768)
    assert np.abs(microvolts[:, 0] - 1e6 * sines(at / RATE, np.array(3))).max() < 0.1
    for column, kind in ((1, "lowpass"), (2, "highpass")):
        section = signal.bessel(2, 250, kind, norm="mag", fs=RATE, output="sos")
        begin = signal.sosfilt_zi(section) * microvolts[0, 0]
        expected, _ = signal.sosfilt(section, microvolts[:, 0], zi=begin)
        assert np.abs(microvolts[:, column] - expected).max() < 0.3  # half a bit, twice, and RHX's four digits
    # 190 us are 5.7 samples and 410 us 12.3; 5.04 uA are 50 steps of 0.1 uA and 2.5 uA are 25.
    current = np.where(words[:, 4] & 0x100, -1, 1) * (words[:, 4] & 0xFF).astype(int)
    (first,) = np.flatnonzero((current[1:] != 0) & (current[:-1] == 0)) + 1
    assert current[first : first + 19].tolist() == [-50] * 6 + [25] * 12 + [0]
    settling = np.flatnonzero(words[:, 4] & (1 << 13))
    assert (settling[0], settling[-1]) == (first, first + 18 + 30 - 1)  # 1 ms after the end by default
    volts = -0.01923 * (words[:, 3].astype(float) - 512)
    assert np.abs(volts - 1e5 * 1e-7 * current).max() < 0.01
    assert [tuple(np.round(pulse[1:], 9)) for pulse in twin.pulses] == [(3, -5e-6, 2e-4, 2.5e-6, 4e-4)]
    assert round(twin.pulses[0][0] * RATE) == at[first]


def test_the_filters_are_scipys() -> None:
    """RHX has its own table of second-order sections; scipy computes them."""
    noise = np.random.default_rng(0).normal(size=(3000, 2))
    for kind, make in (("Bessel", signal.bessel), ("Butterworth", signal.butter)):
        for highpass in (False, True):
            # RHX moves a Bessel filter's cutoff before it bends it for the rate, which differs at some kilohertz.
            for cutoff in (10.0, 250.0) if kind == "Bessel" else (10.0, 250.0, 5000.0):
                ours = BandFilter(kind, highpass, cutoff, RATE)
                got = np.concatenate([ours(noise[:700]), ours(noise[700:])])
                named = {"norm": "mag"} if kind == "Bessel" else {}
                b, a = make(2, cutoff, "highpass" if highpass else "lowpass", fs=RATE, **named)
                expected, _ = signal.lfilter(b, a, noise, axis=0, zi=np.outer(signal.lfilter_zi(b, a), noise[0]))
                assert np.abs(got - expected).max() < 2e-3, (kind, highpass, cutoff)


async def test_a_train_an_interphase_delay_and_three_phases_are_stimulated_as_they_were_set(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with emulated() as twin, client(twin) as rhx:
        common = [
            "stimenabled true",
            "source keypressf1",
            "firstphaseamplitudemicroamps 1",
            "secondphaseamplitudemicroamps 1",
        ]
        for name, more in (
            ("a-001", ["pulseortrain pulsetrain", "numberofstimpulses 3", "pulsetrainperiodmicroseconds 2000"]),
            (
                "a-002",
                ["shape biphasicwithinterphasedelay", "interphasedelaymicroseconds 200", "polarity positivefirst"],
            ),
            ("a-003", ["shape triphasic", "posttriggerdelaymicroseconds 1000"]),
        ):
            said = await rhx.ask(*(f"set {name}.{each}" for each in common))
            said += await rhx.ask(*(f"set {name}.{each}" for each in more), f"set {name}.tcpdataoutputenabledstim true")
            assert said == ""
        await rhx.ask("execute uploadstimparameters", "set tcpnumberdatablocksperwrite 1", "set runmode run")
        await rhx.words(3, 5)
        await rhx.ask("execute manualstimtriggerpulse f1")
        _, words = await rhx.words(3, 40)
        await rhx.ask("set runmode stop")
    current = np.where(words & 0x100, -1, 1) * (words & 0xFF).astype(int)
    start = int(np.flatnonzero(current.any(axis=1))[0])
    train, delayed, three = current[start : start + 200].T
    pulse = [-10] * 3 + [10] * 3
    assert train.tolist() == (pulse + [0] * 54) * 3 + [0] * 20
    assert delayed.tolist()[:13] == [10] * 3 + [0] * 6 + [-10] * 3 + [0]
    assert three.tolist()[:40] == [0] * 30 + [-10] * 3 + [10] * 3 + [-10] * 3 + [0]
    assert twin.not_simulated == 1
    assert "then a third phase is given, and not answered" in caplog.text
    assert len(twin.pulses) == 5


async def test_a_trigger_within_the_refractory_period_is_not_taken() -> None:
    async with emulated(speed=1) as twin, client(twin) as rhx:
        await rhx.ask(
            *(
                f"set a-001.{each}"
                for each in ("stimenabled true", "source keypressf1", "firstphaseamplitudemicroamps 1")
            ),
            "set a-001.secondphaseamplitudemicroamps 1",
            "set a-001.refractoryperiodmicroseconds 1000000",
            "execute uploadstimparameters a-001",
            "set runmode run",
            *["execute manualstimtriggerpulse f1"] * 3,
        )
        await given(twin, 1)
        assert twin.board.stimulators.ignored == 2


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("firstphaseamplitudemicroamps 2550", "a pulse of -25.5 uA"),
        ("firstphasedurationmicroseconds 0", "a pulse of -1 uA for 0 us"),
        ("secondphaseamplitudemicroamps 0", "then 0 uA for 100 us"),
        ("numberofstimpulses 0", ""),
    ],
)
async def test_what_the_culture_does_not_simulate_never_ends_the_board(
    wrong: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with emulated() as twin, client(twin) as rhx:
        await rhx.ask(
            *(
                f"set a-001.{each}"
                for each in ("stimenabled true", "source keypressf1", "firstphaseamplitudemicroamps 1")
            ),
            "set a-001.secondphaseamplitudemicroamps 1",
            f"set a-001.{wrong}",
            "set a-002.tcpdataoutputenabled true",
            "execute uploadstimparameters a-001",
            "set runmode run",
            "execute manualstimtriggerpulse f1",
        )
        await given(twin, 1)
        before, _ = await rhx.words(1, 10)
        after, _ = await rhx.words(1, 10)
        assert after[0] == before[-1] + 1
        assert said in caplog.text
        assert twin.not_simulated == bool(said)


async def test_a_recording_is_a_file_that_neo_reads(tmp_path: Path) -> None:
    async with emulated(culture=Sines(40)) as twin, client(twin) as rhx:
        said = await rhx.ask(
            f"set filename.path {tmp_path}", "set filename.basefilename my run", "set savedcamplifierwaveforms true",
            "set note1 a note", "set b-001.source keypressf1", "set b-001.stimenabled true",
            "set b-001.firstphaseamplitudemicroamps 2", "set b-001.secondphaseamplitudemicroamps 2",
        )  # fmt: skip
        said += await rhx.ask("execute uploadstimparameters", "set runmode record", "get runmode")
        assert said == "Return: RunMode Record"
        await asyncio.sleep(0.1)
        await rhx.ask("execute manualstimtriggerpulse f1")
        await given(twin, 1)
        async with asyncio.timeout(20):
            while twin._twin.now < 0.3:  # noqa: ASYNC110 (the twin gives no notice)
                await asyncio.sleep(0.01)
        await rhx.ask("set runmode stop")
        async with asyncio.timeout(20):
            while twin.board._recording is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    (path,) = tmp_path.glob("my run_??????_??????/my run_??????_??????.rhs")  # noqa: ASYNC240
    reader = IntanRawIO(str(path))
    reader.parse_header()
    assert reader.header["signal_streams"]["name"].tolist() == [
        "RHS2000 amplifier channel", "DC Amplifier channel", "Stim channel",
    ]  # fmt: skip
    names = reader.header["signal_channels"]["name"][:40].tolist()
    assert names == [f"A-{k:03d}" for k in range(32)] + [f"B-{k:03d}" for k in range(8)]

    def stream(number: int) -> np.ndarray:
        raw = reader.get_analogsignal_chunk(0, 0, stream_index=number)
        return reader.rescale_signal_raw_to_float(raw, dtype="float64", stream_index=number)

    stamps = reader.get_intan_timestamps()
    expected = 1e6 * sines(stamps[:, np.newaxis] / RATE, np.arange(40))
    assert np.abs(stream(0) - expected).max() < 0.1
    current = stream(2)
    rows, electrodes = np.nonzero(current)
    assert set(electrodes.tolist()) == {33}
    assert current[rows, 33] == pytest.approx([-2e-6] * 3 + [2e-6] * 3, rel=1e-6)
    assert stamps[rows[0]] == round(twin.pulses[0][0] * RATE)


async def test_files_that_cannot_be_made_are_told(tmp_path: Path) -> None:
    async with emulated() as twin, client(twin) as rhx:
        await rhx.ask(f"set filename.path {tmp_path / 'missing'}", "set filename.basefilename x")
        assert "Error - the recording cannot be made" in await rhx.ask("set runmode record")
        assert await rhx.ask("get runmode") == "Return: RunMode Stop"


async def test_a_client_that_does_not_read_does_not_stop_the_clock() -> None:
    async with emulated(speed=20) as twin, client(twin) as rhx:
        await rhx.ask(*(f"set a-00{k}.tcpdataoutputenabled true" for k in range(8)), "set runmode run")
        async with asyncio.timeout(30):
            while twin._twin.now < 3.0:  # noqa: ASYNC110 (the twin gives no notice)
                await asyncio.sleep(0.05)
        await rhx.ask("set runmode stop")
        at, _ = await rhx.words(8, 700)
        assert (np.diff(at) == 1).all()


async def test_pulses_are_read_back_from_the_stimulation_band(tmp_path: Path) -> None:
    path = tmp_path / "pulses.h5"
    async with emulated() as twin, RecordedSubstrate(reach(twin), path) as intan:
        await intan.stimulate(intan.info.stimulus(drive(6, (1, 3, 1.5), (1, 4, 1.0), (4, 5, 2.0)), 0.02))
        await intan.stimulate(intan.info.stimulus(drive(2), 0.02))
        await given(twin, 3)
    with open_recording(path) as recording:
        notes = [note for note in recording.notes if note.label.startswith("pulse")]
    assert {note.label for note in notes} == {"pulses given"}
    told = sorted(
        (when, name)
        for note in notes
        for when, name in zip(note.details["times"], note.details["electrodes"], strict=True)
    )
    assert [name for _, name in told] == ["A-003", "A-004", "A-005"]
    assert [when for when, _ in told] == pytest.approx([pulse[0] for pulse in twin.pulses], abs=0.5 / RATE)


async def test_a_pulse_that_is_not_given_and_one_of_another_are_told(caplog: pytest.LogCaptureFixture) -> None:
    async with emulated() as twin, reach(twin) as intan:
        obey = twin._obey
        twin._obey = lambda command: "" if "trigger" in command else obey(command)  # type: ignore[method-assign]
        await intan.stimulate(intan.info.stimulus(drive(2, (0, 2, 1.0)), 0.02))
        twin._obey = obey  # type: ignore[method-assign]
        await intan.stimulate(intan.info.stimulus(drive(40), 0.02))
        (note,) = intan.take_notes()
        assert (note.label, note.details) == ("pulse not given", {"electrode": "A-002"})
        assert "a pulse on A-002 was triggered and not given" in caplog.text
        # The key is pressed in RHX's window while A-006 is armed.
        await intan._link.tell(
            "set a-006.source keypressf1", "set a-006.stimenabled true", "execute uploadstimparameters a-006"
        )
        twin._obey("execute manualstimtriggerpulse f1")
        notes = []
        async with asyncio.timeout(60):
            while not notes:  # until what was read reaches the pulse, which a busy machine may be behind
                await intan.stimulate(intan.info.stimulus(drive(4), 0.02))
                notes += intan.take_notes()
        assert [(note.label, note.details) for note in notes] == [("pulse of another", {"electrode": "A-006"})]


@pytest.mark.parametrize("voltage", [False, True])
async def test_17_ms_that_are_lost_are_nan_and_marked(voltage: bool, tmp_path: Path) -> None:
    path = tmp_path / "gap.h5"
    async with (
        emulated(culture=Sines(8), speed=2) as twin,
        RecordedSubstrate(reach(twin, voltage=voltage), path) as intan,
    ):
        await intan.stimulate(intan.info.stimulus(drive(1), 0.02))
        send, lost = twin._send, []

        def lose(writers: set[asyncio.StreamWriter], data: bytes) -> None:
            if writers is twin._waveforms and len(lost) < 4:  # 4 blocks of 128 samples
                lost.append(twin.board.timestamp - 128)
                return
            send(writers, data)

        twin._send = lose  # type: ignore[method-assign]
        response = await intan.stimulate(intan.info.stimulus(drive(10), 0.02))
    with open_recording(path) as recording:
        (gap,) = [note for note in recording.notes if note.label == "gap"]
        kept = recording.exchange(1).response
    assert (gap.device, gap.duration) == pytest.approx((lost[0] / RATE, 512 / RATE))
    assert gap.details == {"samples": 512, "channels": "all"}
    if voltage:
        assert response.signal is not None
        flat = response.signal.reshape(-1, 8)
        missing = np.flatnonzero(np.isnan(flat[:, 0]))
        assert missing.tolist() == list(range(missing[0], missing[0] + 512))
        assert missing[0] == lost[0] - round(response.start * RATE)
        assert np.isfinite(np.delete(flat, missing, axis=0)).all()
        assert kept.signal is not None
        assert np.array_equal(kept.signal, response.signal, equal_nan=True)


async def test_a_clock_that_goes_back_is_an_error() -> None:
    async with emulated() as twin:
        with suppress(SubstrateError):
            async with reach(twin) as intan:
                await intan.stimulate(intan.info.stimulus(drive(5), 0.02))
                twin._send(twin._waveforms, encode_waveform(0, np.zeros((128, 8), dtype=np.uint16)))
                with pytest.raises(SubstrateDisconnected, match=r"went back by \d+ samples, to timestamp 0"):
                    await intan.stimulate(intan.info.stimulus(drive(50), 0.02))


def test_beginnings_are_found_across_blocks_and_matched_in_order() -> None:
    rng = np.random.default_rng(1)
    words = np.zeros((1000, 3), dtype=np.uint16)
    truth = []
    for electrode in range(3):
        for start in np.cumsum(rng.integers(40, 90, 10)).tolist():
            words[start : start + 6, electrode] = [0x105] * 3 + [5] * 3
            truth.append((start, electrode, True))
    words |= np.where(rng.random(words.shape) < 0.3, 1 << 13, 0).astype(np.uint16)  # amplifiers that settle
    finder, found = PulseOnsets(3), []
    for begin in range(0, 1000, 7):
        found += [(begin + row, electrode, sign) for row, electrode, sign in finder.find(words[begin : begin + 7])]
    assert sorted(found) == sorted(truth)
    confirmation = Confirmation(100)
    confirmation.triggered([0, 1], 10)
    confirmation.began(0, 30)
    confirmation.began(2, 40)
    pulses, others = confirmation.take(100)
    assert ([(each.electrode, each.began) for each in pulses], others) == ([(0, 30)], [(2, 40)])
    pulses, others = confirmation.take(111)
    assert [(each.electrode, each.triggered, each.began) for each in pulses] == [(1, 10, None)]
    assert others == []


async def test_a_client_that_reads_once_gets_whole_writes() -> None:
    held: list[WholeWrites] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writes = WholeWrites(writer)
        held.append(writes)
        for k in range(40):
            writes.put(bytes([k]) * 7720)
        await reader.read(1)
        writes.close()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setblocking(False)
        await loop.sock_connect(client, server.sockets[0].getsockname())
        await asyncio.sleep(0.3)
        found = bytearray()
        while len(found) < 40 * 7720:
            data = await loop.sock_recv(client, 400_000)
            assert len(data) % 7720 == 0
            found += data
            await asyncio.sleep(0.1)
        assert found == b"".join(bytes([k]) * 7720 for k in range(40))
        assert held[0].unread == 0
    server.close()
    await server.wait_closed()
