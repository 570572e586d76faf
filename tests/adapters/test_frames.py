"""Frames come back as they went, and whatever is not a frame is refused without harm."""

import random
import struct
from zlib import crc32

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from inmateria.adapters.mqtt.wire.frames import Header, Kind, decode, encode, integers, response_of, stimulus_of
from inmateria.adapters.mqtt.wire.link import MOST_MESSAGE
from inmateria.adapters.mqtt.wire.parts import PartAssembler, in_parts
from inmateria.substrate import SPIKE, Channel, FrameError, ResponseMismatch, StimulusRejected, SubstrateInfo

INFO = SubstrateInfo(
    id="two", kind="test", step=0.01, sampling_rate=100.0, inputs=(Channel(name="i", unit="V", low=-1, high=1),),
    outputs=(Channel(name="a", unit="V", low=-1, high=1), Channel(name="b", unit="uA", low=-1, high=1)),
)  # fmt: skip


def header(**fields: object) -> Header:
    return Header(kind=Kind.RESPONSE, session="abc", **fields)  # type: ignore[arg-type]


def framed(head: bytes, body: bytes = b"", *, major: int = 1, covers: int = 1) -> bytes:
    """Put a frame together by the page: docs/wire.md."""
    prefix = struct.pack("<2sBBI", b"IM", major, covers, len(head))
    return prefix + struct.pack("<I", crc32(prefix + head + (body if covers else b""))) + head + body


@given(
    st.one_of(
        st.none(),
        arrays(np.float64, array_shapes(min_dims=1, max_dims=3), elements=st.floats(allow_nan=True)),
        arrays(np.float32, array_shapes(min_dims=1, max_dims=3), elements=st.floats(width=32)),
    ),
    st.one_of(st.none(), st.lists(st.tuples(st.floats(allow_nan=False), st.integers(0, 2**32 - 1)))),
    st.integers(0, 2**53),
)
def test_a_frame_comes_back_as_it_went(array: np.ndarray | None, spikes: list | None, sequence: int) -> None:
    train = None if spikes is None else np.array(spikes, dtype=SPIKE)
    frame = decode(encode(header(sequence=sequence, start=1.5, epoch="e"), array, train))
    assert (frame.header.sequence, frame.header.start, frame.header.epoch) == (sequence, 1.5, "e")
    if array is None:
        assert frame.array is None
    else:
        assert frame.array is not None
        assert frame.array.dtype == array.dtype
        assert np.array_equal(frame.array, array, equal_nan=True)
    assert (frame.spikes is None) == (train is None)
    if train is not None:
        assert np.array_equal(frame.spikes, train)


def test_the_bytes_are_those_of_the_page() -> None:
    data = encode(Header(kind=Kind.STIMULUS, session="s", sequence=7, step=0.5), np.array([[1.0, 2.0]]))
    magic, major, covers, length, check = struct.unpack("<2sBBII", data[:12])
    assert (magic, major, covers, check) == (b"IM", 1, 1, crc32(data[:8] + data[12:]))
    assert msgspec.msgpack.decode(data[12 : 12 + length]) == {
        "kind": "stimulus",
        "session": "s",
        "sequence": 7,
        "step": 0.5,
        "dtype": "<f8",
        "shape": [1, 2],
    }
    assert data[12 + length :] == struct.pack("<2d", 1.0, 2.0)


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(FrameError):
        decode(data)


@given(st.data())
def test_a_damaged_frame_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    whole = encode(header(sequence=3), np.ones((2, 3, 4)), np.zeros(2, dtype=SPIKE))
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    try:
        frame = decode(cut)
    except FrameError:
        return
    numbers = 0 if frame.array is None else frame.array.nbytes
    assert numbers + (0 if frame.spikes is None else frame.spikes.nbytes) <= len(cut)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"dtype": "<f8", "shape": [1 << 40, 1 << 40]}, "announces"),
        ({"dtype": "<f8", "shape": [-1, 4]}, "axes of at least 1"),
        ({"dtype": "<f8", "shape": [1, 1, 1, 1]}, "1 to 3 axes|one to 3 axes"),
        ({"dtype": "|O", "shape": [1]}, "dtype '|O'"),
        ({"spikes": 1 << 40}, "spikes"),
        ({"kind": "explode"}, "cannot be read"),
    ],
)
def test_a_hostile_header_is_refused_before_anything_is_allocated(fields: dict[str, object], says: str) -> None:
    head = msgspec.msgpack.encode({"kind": "response", "session": "s", **fields})
    with pytest.raises(FrameError, match=says):
        decode(framed(head))


def test_another_major_version_is_refused_and_unknown_keys_are_not() -> None:
    head = msgspec.msgpack.encode({"kind": "done", "session": "s", "colour": "blue"})
    assert decode(framed(head)).header.kind is Kind.DONE
    with pytest.raises(FrameError, match="major version 2; version 1 is known"):
        decode(framed(head, major=2))


def test_frames_without_what_they_should_carry_are_refused() -> None:
    with pytest.raises(StimulusRejected, match="shape"):
        stimulus_of(decode(encode(header())))
    with pytest.raises(FrameError, match="no response"):
        response_of(decode(encode(header())), INFO)


@given(st.integers(0, 11), st.integers(0, 7), st.booleans())
def test_one_flipped_bit_anywhere_is_noticed(place: int, bit: int, body: bool) -> None:
    data = bytearray(encode(Header(kind=Kind.STIMULUS, session="s"), np.ones((1, 3))))
    data[len(data) - 1 - place if body else place] ^= 1 << bit
    with pytest.raises(FrameError):
        decode(bytes(data))


@given(st.integers(0, 2), st.integers(0, 5025), st.integers(0, 7))
def test_one_flipped_bit_of_a_body_that_is_only_summed_is_noticed(spikes: int, place: int, bit: int) -> None:
    signal = np.arange(2501, dtype="<i2").reshape(1, 1, 2501)  # 5,002 bytes, so the last word of it is not full
    train = np.ones(spikes, dtype=SPIKE)
    data = bytearray(encode(header(scale=(1.0,)), signal, train, whole=False))
    assert decode(bytes(data)).array is not None
    data[len(data) - 1 - min(place, 5001 + 12 * spikes)] ^= 1 << bit
    with pytest.raises(FrameError, match="sum of the numbers"):
        decode(bytes(data))


def test_the_sum_is_that_of_the_page() -> None:
    signal, train = np.linspace(-1, 1, 1025, dtype="<f4").reshape(1, 5, 205), np.ones(1, dtype=SPIKE)
    data = encode(header(), signal, train, whole=False)
    assert data[3] == 0
    length = struct.unpack_from("<I", data, 4)[0]
    words = b"".join(each.tobytes() + bytes(-each.nbytes % 8) for each in (signal, train))
    said = msgspec.msgpack.decode(data[12 : 12 + length])["checksum"]
    assert said == sum(struct.unpack(f"<{len(words) // 8}Q", words)) % 2**64


def test_a_small_frame_is_covered_by_its_crc_whoever_asks_for_less() -> None:
    assert encode(header(), np.ones((1, 2, 3)), whole=False)[3] == 1


@pytest.mark.parametrize("session", ["s" * n for n in range(1, 9)])
def test_the_body_of_a_large_frame_is_aligned(session: str) -> None:
    signal = np.arange(512.0).reshape(1, 8, 64)
    data = encode(Header(kind=Kind.RESPONSE, session=session), signal, whole=False)
    assert (len(data) - signal.nbytes) % 8 == 0
    assert np.array_equal(response_of(decode(data), INFO).signal, signal)  # type: ignore[arg-type]


def test_a_checksum_may_leave_out_the_numbers_of_a_response_and_never_those_of_a_stimulus() -> None:
    head = msgspec.msgpack.encode({"kind": "response", "session": "s", "dtype": "<f4", "shape": [1, 1, 1]})
    assert decode(framed(head, b"abcd", covers=0)).array is not None  # by somebody who sums nothing
    data = bytearray(encode(header(), np.ones((1, 2, 300)), whole=False))
    data[14] ^= 1  # in the header
    with pytest.raises(FrameError, match="checksum"):
        decode(bytes(data))
    with pytest.raises(FrameError, match="leaves its numbers out"):
        decode(encode(Header(kind=Kind.STIMULUS, session="s"), np.ones((1, 600)), whole=False))


@given(
    arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 3), st.just(2)), elements=st.floats(-7, 12)),
    st.booleans(),
)
def test_integers_come_back_within_half_a_step_and_what_was_not_read_as_nan(values: np.ndarray, hole: bool) -> None:
    scale, offset = np.array([1e-3, 2e-3]), np.array([0.5, -1.0])
    if hole:
        values[0, 0, 0] = np.nan
    whole_numbers, clipped = integers(values, scale, offset)
    assert clipped == 0
    assert whole_numbers.dtype == np.dtype("<i2")
    made = header(scale=tuple(scale.tolist()), offset=tuple(offset.tolist()))
    back = response_of(decode(encode(made, whole_numbers)), INFO).signal
    assert back is not None
    assert back.dtype == np.float64
    assert np.array_equal(np.isnan(back), np.isnan(values))
    assert np.nanmax(np.abs(back - values) / scale, initial=0.0) <= 0.5 + 1e-9


def test_what_integers_cannot_say_is_clipped_and_counted() -> None:
    whole_numbers, clipped = integers(np.array([[[-1e9, 0.0, 1e9]]]), np.array([1.0]), np.array([0.0]))
    assert whole_numbers.tolist() == [[[-32767, 0, 32767]]]
    assert clipped == 2


@pytest.mark.parametrize("scale", [(), (1.0, 2.0), (float("inf"),), (float("nan"),)])
def test_integers_without_a_scale_that_fits_are_refused(scale: tuple[float, ...]) -> None:
    data = encode(header(scale=scale), np.ones((1, 1, 3), dtype="<i2"))
    with pytest.raises(FrameError, match="one finite number, or one a column"):
        response_of(decode(data), INFO)


@pytest.mark.parametrize(
    ("units", "wanted"),
    [
        ((), [[1.25, 3.0]]), (("V", "uA"), [[1.25, 3.0]]), (("mV", "uA"), [[0.00125, 3.0]]),
        (("kV", "A"), [[1250.0, 3e6]]),        (("uV", "nA"), [[1.25 / 1e6, 3.0 / 1e3]]),
    ],
)  # fmt: skip
def test_a_response_in_units_that_differ_by_a_prefix_is_converted_exactly(
    units: tuple[str, ...], wanted: list[list[float]]
) -> None:
    frame = decode(encode(header(units=units), np.array([[[1.25, 3.0]]])))
    signal = response_of(frame, INFO).signal
    assert signal is not None
    assert signal[0].tolist() == wanted


@pytest.mark.parametrize(
    "units", [("A", "uA"), ("V", "V"), ("V",), ("V", "uA", "V"), ("V/s", "uA"), ("nonsense", "uA"), ("", "")]
)
def test_a_response_in_units_that_are_not_those_of_info_is_refused(units: tuple[str, ...]) -> None:
    frame = decode(encode(header(units=units), np.array([[[1.25, 3.0]]])))
    with pytest.raises(ResponseMismatch, match="units"):
        response_of(frame, INFO)


@given(st.integers(1, 60_000), st.integers(3_000, 20_000), st.randoms(use_true_random=False))
def test_a_frame_sent_in_parts_comes_back_in_whatever_order_and_however_often_they_come(
    size: int, largest: int, chance: random.Random
) -> None:
    given_drive = np.arange(size, dtype=np.float64).reshape(-1, 1)
    data = encode(Header(kind=Kind.STIMULUS, session="abc", sequence=7, grant="g", step=0.5), given_drive)
    messages = list(in_parts(data, largest))
    assert all(len(each) <= largest for each in messages)
    if len(data) <= largest:
        assert messages == [data]
        return
    order = [*messages, *chance.sample(messages, min(3, len(messages)))]
    chance.shuffle(order)
    parts, whole = PartAssembler(), []
    seen: set[bytes] = set()
    for each in order:
        part = decode(each)
        assert (part.header.kind, part.header.session, part.header.sequence, part.header.grant) == (
            "part",
            "abc",
            7,
            "g",
        )
        joined = parts.add(part)
        seen.add(each)
        if joined is not None:
            assert len(seen) == len(messages)
            whole.append(joined)
    assert whole
    assert np.array_equal(stimulus_of(whole[0]).drive, given_drive)


def test_parts_that_make_no_frame_of_their_own_session_are_refused() -> None:
    data = encode(header(sequence=7, grant="g"), np.zeros((2000, 1, 2)))
    for told in ({"session": "other", "sequence": 7, "grant": "g"}, {"session": "abc", "sequence": 8, "grant": "g"},
                 {"session": "abc", "sequence": 7, "grant": "h"}):  # fmt: skip
        piece = Header(kind=Kind.PART, part=(0, 1), **told)  # type: ignore[arg-type]
        with pytest.raises(FrameError, match="another session, grant or number"):
            PartAssembler().add(decode(encode(piece, np.frombuffer(data, np.uint8))))


@pytest.mark.parametrize("part", [(), (0,), (0, 0), (1, 1), (-1, 2), (0, 1 << 30), (0, 1, 2)])
def test_parts_with_impossible_numbers_are_refused(part: tuple[int, ...]) -> None:
    piece = Header(kind=Kind.PART, session="abc", part=part)
    with pytest.raises(FrameError, match="a part has the number"):
        PartAssembler().add(decode(encode(piece, np.zeros(10, np.uint8))))


def test_parts_that_never_become_whole_fill_no_memory() -> None:
    parts = PartAssembler()
    for sequence in range(400):
        piece = Header(kind=Kind.PART, session="abc", sequence=sequence, part=(0, 2))
        assert parts.add(decode(encode(piece, np.zeros(1 << 20, np.uint8)))) is None
        held = sum(len(each) for pieces in parts._pieces.values() for each in pieces.values())
        assert held == parts._size <= MOST_MESSAGE
