"""RHX's bytes are read however the network divides them; settings that the server would wrongly accept are refused."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inmateria.adapters.intan.protocol import (
    BLOCK,
    SPIKE_EVENT,
    ReplyParser,
    SpikeParser,
    StimSettings,
    WaveformParser,
    batches,
    encode_spikes,
    encode_waveform,
    microvolts,
    unwrapped,
)
from inmateria.adapters.tissue.stimulator_rounding import current_steps, duration_samples
from inmateria.substrate import FrameError, StimulusRejected


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[begin:end] for begin, end in pairwise(edges)]


cuts = st.lists(st.integers(0, 1 << 20), max_size=40)


@settings(deadline=None, max_examples=60)
@given(cuts=cuts, bands=st.integers(1, 5), blocks=st.integers(0, 4), first=st.integers(0, (1 << 32) - 1))
def test_waveforms_survive_any_cut(cuts: list[int], bands: int, blocks: int, first: int) -> None:
    values = np.random.default_rng(bands).integers(0, 1 << 16, (blocks * BLOCK, bands)).astype(np.uint16)
    parser = WaveformParser(bands)
    got = [parser.feed(piece) for piece in pieces(encode_waveform(first, values), cuts)]
    assert np.array_equal(np.concatenate([each[1] for each in got]), values)
    stamps = np.concatenate([each[0] for each in got])
    assert np.array_equal(stamps, (first + np.arange(len(values))) % (1 << 32))
    assert np.array_equal(unwrapped(stamps, first), first + np.arange(len(values)))


def test_a_block_is_laid_out_as_the_guide_says() -> None:
    # By hand: magic, then for each of 128 samples a timestamp and one value a band, all little-endian.
    data = bytes.fromhex("087af02e") + b"".join(
        (1000 + k).to_bytes(4, "little") + (32768 + k).to_bytes(2, "little") for k in range(128)
    )
    stamps, values = WaveformParser(1).feed(data)
    assert stamps.tolist() == list(range(1000, 1128))
    assert microvolts(values[:, 0]) == pytest.approx(0.195 * np.arange(128))


@settings(deadline=None, max_examples=60)
@given(
    cuts=cuts,
    events=st.lists(
        st.tuples(st.sampled_from([b"A-000", b"D-127"]), st.integers(0, (1 << 32) - 1), st.integers(0, 255))
    ),
)
def test_spikes_survive_any_cut(cuts: list[int], events: list[tuple[bytes, int, int]]) -> None:
    sent = np.array(events, dtype=SPIKE_EVENT)
    parser = SpikeParser()
    got = np.concatenate([parser.feed(piece) for piece in pieces(encode_spikes(sent), cuts)])
    assert np.array_equal(got, sent)
    assert len(encode_spikes(sent)) == 14 * len(sent)


@settings(deadline=None, max_examples=60)
@given(cuts=cuts, rate=st.sampled_from(["30000", "3", "30"]))
def test_replies_survive_any_cut_although_they_have_no_end(cuts: list[int], rate: str) -> None:
    text = (
        f"Return: SampleRateHertz {rate}Return: RunMode StopError - Unrecognized parameterReturn: RunMode Run"
        "Return: A-010.StimEnabled TrueReturn: Type ControllerStimRecordReturn: RunMode Run"
    )
    parser = ReplyParser()
    got = [answer for piece in pieces(text.encode(), cuts) for answer in parser.feed(piece)]
    assert got == [
        ({"sampleratehertz": rate}, "Stop", ""),
        ({}, "Run", "Error - Unrecognized parameter"),
        ({"a-010.stimenabled": "True", "type": "ControllerStimRecord"}, "Run", ""),
    ]


@pytest.mark.parametrize("make", [lambda: WaveformParser(2), SpikeParser, ReplyParser])
@settings(deadline=None, max_examples=40)
@given(data=st.binary(min_size=4, max_size=3000))
def test_noise_is_told_or_held_never_taken_for_data(make: type, data: bytes) -> None:
    try:
        got = make().feed(data)
    except FrameError:
        return
    assert not len(got[0] if isinstance(got, tuple) else got)


def test_commands_go_out_in_pieces_that_rhx_reads_whole() -> None:
    commands = [f"set a-{k:03d}.tcpdataoutputenabledspike true" for k in range(128)]
    sent = list(batches(commands))
    assert all(len(piece) <= 1000 for piece in sent)
    assert all(piece.endswith(b";get runmode;") for piece in sent)
    assert [each for piece in sent for each in piece.decode().split(";")[:-2]] == commands


@given(
    jump=st.integers(-(1 << 31) + 1, (1 << 31) - 1),
    near=st.integers(1 << 33, 1 << 40),
)
def test_timestamps_go_on_past_the_end_of_32_bits(jump: int, near: int) -> None:
    assert unwrapped((near + jump) % (1 << 32), near) == near + jump


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"first_phase_amplitude_micro_amps": 2551.0}, "FirstPhaseAmplitudeMicroAmps is 2551.0; RHX allows 0 to 2550"),
        ({"second_phase_duration_microseconds": -1.0}, "RHX allows 0 to 5000"),
        ({"pulse_train_period_microseconds": 199.0}, r"is less than the pulse lasts \(200 us\)"),
        ({"shape": "Triphasic", "pulse_train_period_microseconds": 299.0}, r"\(300 us\)"),
        ({"shape": "Monophasic"}, "Shape is 'Monophasic'; allowed are Biphasic"),
        ({"pre_stim_amp_settle_microseconds": 5.0}, "PostTriggerDelayMicroseconds is less"),
        ({"refractory_period_microseconds": 999.0}, "RefractoryPeriodMicroseconds is less"),
        ({"source": "DigitalIn01"}, "Source is"),
    ],
)
def test_what_the_server_would_take_in_silence_is_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(StimulusRejected, match=said):
        StimSettings(**wrong)  # type: ignore[arg-type]


def test_amplitudes_are_multiples_of_the_chips_step() -> None:
    StimSettings(first_phase_amplitude_micro_amps=2.5, second_phase_amplitude_micro_amps=1.3).check_step(0.1)
    with pytest.raises(StimulusRejected, match=r"is 2.55 uA; the chip gives multiples of 0.1 uA up to 25.5 uA"):
        StimSettings(first_phase_amplitude_micro_amps=2.55).check_step(0.1)
    with pytest.raises(StimulusRejected, match=r"multiples of 0.01 uA up to 2.55 uA"):
        StimSettings(first_phase_amplitude_micro_amps=2.56).check_step(0.01)


@pytest.mark.parametrize(("microseconds", "samples"), [(10, 0), (20, 1), (49, 1), (50, 2), (100, 3), (217, 7)])
def test_durations_are_rounded_to_samples_as_rhx_rounds_them(microseconds: float, samples: int) -> None:
    assert duration_samples(microseconds, 30_000) == samples


@pytest.mark.parametrize(("microamps", "steps"), [(0.0, 0), (0.49, 0), (0.5, 1), (1.5, 2), (2.5, 3), (2.4, 2)])
def test_currents_are_rounded_to_steps_as_rhx_rounds_them(microamps: float, steps: int) -> None:
    assert current_steps(microamps, 1.0) == steps


def test_only_what_changed_is_sent_and_then_uploaded() -> None:
    quiet = StimSettings()
    armed = StimSettings(stim_enabled=True, first_phase_amplitude_micro_amps=1.5, second_phase_amplitude_micro_amps=1.5)
    assert armed.commands("a-010", quiet) == [
        "set a-010.StimEnabled true",
        "set a-010.FirstPhaseAmplitudeMicroAmps 1.5",
        "set a-010.SecondPhaseAmplitudeMicroAmps 1.5",
        "execute uploadstimparameters a-010",
    ]
    assert armed.commands("a-010", armed) == []
    assert len(armed.commands("a-010")) == 22
