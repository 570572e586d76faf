"""The firmware's core against the protocol's page: sessions, numbers, limits, watchdog, and a model of it all."""

import random
import shutil
import struct
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_board import HIGHEST, LOWEST, READING_BYTES, REST, SLOT_BYTES, SLOTS, STEP_BYTES, NativeBoard

from inmateria.adapters.boards.protocol import (
    BoardDescription,
    ChannelDescription,
    End,
    Frame,
    FrameParser,
    FrameType,
    Status,
    StepsAnswer,
    encode_close,
    encode_describe,
    encode_open,
    encode_status,
    encode_steps,
)

if not shutil.which("make") or not shutil.which("cc"):
    pytest.skip("make and a C compiler are not installed", allow_module_level=True)

ANSWER = FrameType.ANSWER
PERIOD = 500


@pytest.fixture(scope="module")
def shared() -> NativeBoard:
    return NativeBoard()


@pytest.fixture
def board(shared: NativeBoard) -> NativeBoard:
    shared.power_up()
    shared.applied()
    return shared


def ask(board: NativeBoard, *frames: bytes, ticks: int = 0) -> list[Frame]:
    for frame in frames:
        board.feed(frame)
        board.run(0)
    board.run(ticks)
    return list(FrameParser().feed(board.take()))


def drive(k: int) -> bytes:
    """One step's drive, which the readings repeat: a in 10 to 250, b in 0 and 1, c in 0 to 4095."""
    return struct.pack("<BBH", 10 + k % 241, k & 1, 7 * k % 4096)


def reading(levels: bytes) -> bytes:
    return bytes((levels[0], levels[3] & 3, levels[1]))


def opened(board: NativeBoard, session: int = 77, watchdog: int = 1000) -> Status:
    (answer,) = ask(board, encode_open(session, 5, watchdog))
    assert (answer.type, answer.session, answer.number) == (FrameType.OPEN | ANSWER, session, 5)
    board.applied()
    return Status.decode(answer.payload)


def test_a_frame_is_cobs_and_the_crc_of_zlib_as_an_independent_encoder_writes_it() -> None:
    raw = struct.pack("<BHHHBI", 3, 77, 1, 0, 1, 500) + b"\x01\x00\x02\x03"
    raw += struct.pack("<I", zlib.crc32(raw))
    encoded, run = bytearray(), bytearray()  # byte by byte, as in the paper (Cheshire and Baker, 1999)
    for byte in [*raw, 0]:
        if byte:
            run.append(byte)
        else:
            encoded += bytes([len(run) + 1]) + run
            run.clear()
    assert encode_steps(77, 1, 0, True, 500, b"\x01\x00\x02\x03") == bytes(encoded) + b"\0"


def test_a_board_describes_itself_and_every_channel_without_a_session(board: NativeBoard) -> None:
    (answer,) = ask(board, encode_describe(9, 255))
    about = BoardDescription.decode(answer.payload)
    assert (about.name, about.id, about.outputs, about.inputs) == ("native", "native-1", 3, 2)
    assert (about.slots, about.slot_bytes, about.ticks_per_second) == (SLOTS, SLOT_BYTES, 1_000_000)
    channels = [ChannelDescription.decode(ask(board, encode_describe(k, k))[0].payload) for k in range(5)]
    assert [each.name for each in channels] == ["a", "b", "c", "in", "cmp"]
    assert [each.unit for each in channels] == ["V", "1", "V", "V", "1"]
    assert tuple(each.lowest for each in channels[:3]) == LOWEST
    assert tuple(each.highest for each in channels[:3]) == HIGHEST
    assert channels[2].value(2048) == pytest.approx(10 / 4095)
    assert ask(board, encode_describe(1, 5)) == []  # there is no such channel


def test_steps_begin_at_equal_intervals_and_are_answered_with_their_readings(board: NativeBoard) -> None:
    opened(board)
    frames = [encode_steps(77, n, 0, n == 0, PERIOD, drive(2 * n) + drive(2 * n + 1)) for n in range(3)]
    answers = ask(board, *frames, ticks=6 * PERIOD)
    applied = board.applied()
    assert [levels for _, levels in applied] == [drive(k) for k in range(6)]
    assert [at - applied[0][0] for at, _ in applied] == [PERIOD * k for k in range(6)]
    assert [answer.number for answer in answers] == [0, 1, 2]
    for n, answer in enumerate(answers):
        got = StepsAnswer.decode(answer.payload)
        assert not got.late
        assert got.start == applied[2 * n][0]
        assert got.readings == reading(drive(2 * n)) + reading(drive(2 * n + 1))


def test_a_command_sent_again_is_answered_again_and_not_applied_again(board: NativeBoard) -> None:
    opened(board)
    frame = encode_steps(77, 0, 0, True, PERIOD, drive(3))
    first = ask(board, frame, frame, ticks=PERIOD)
    again = ask(board, frame, ticks=10 * PERIOD)
    assert [each.type for each in first] == [FrameType.STATUS | ANSWER, FrameType.STEPS | ANSWER]
    assert again == first[-1:]
    assert ask(board, encode_status(77, 1, 1), frame, ticks=PERIOD)[0].type == FrameType.STATUS | ANSWER
    assert [levels for _, levels in board.applied()] == [drive(3)]  # acknowledged: not even answered


def test_commands_out_of_order_wait_for_those_before_and_a_gap_is_told_at_once(board: NativeBoard) -> None:
    opened(board)
    (gap,) = ask(board, encode_steps(77, 1, 0, False, PERIOD, drive(1)), ticks=3 * PERIOD)
    assert (gap.type, gap.number, Status.decode(gap.payload).held) == (FrameType.STATUS | ANSWER, 1, 0b10)
    assert board.applied() == []
    answers = ask(board, encode_steps(77, 0, 0, True, PERIOD, drive(0)), ticks=2 * PERIOD)
    assert [each.number for each in answers] == [0, 1]
    assert [levels for _, levels in board.applied()] == [drive(0), drive(1)]


def test_a_number_beyond_the_window_is_not_taken(board: NativeBoard) -> None:
    opened(board)
    assert ask(board, encode_steps(77, SLOTS, 0, True, PERIOD, drive(1)), ticks=PERIOD) == []
    assert Status.decode(ask(board, encode_status(77, 0, 0))[0].payload).held == 0


def test_a_step_that_comes_after_its_time_is_late_and_says_so(board: NativeBoard) -> None:
    opened(board)
    ask(board, encode_steps(77, 0, 0, True, PERIOD, drive(0)), ticks=3 * PERIOD)
    (late,) = ask(board, encode_steps(77, 1, 1, False, PERIOD, drive(1)), ticks=PERIOD)
    assert StepsAnswer.decode(late.payload).late
    ask(board, encode_steps(77, 2, 2, True, PERIOD, drive(1)), ticks=3 * PERIOD)  # the first of a stimulus: not late
    assert Status.decode(ask(board, encode_status(77, 0, 3))[0].payload).late == 1


@pytest.mark.parametrize(
    ("period", "levels"),
    [
        (PERIOD, struct.pack("<BBH", 9, 0, 0)),
        (PERIOD, struct.pack("<BBH", 251, 0, 0)),
        (PERIOD, struct.pack("<BBH", 10, 2, 0)),
        (PERIOD, struct.pack("<BBH", 10, 0, 4096)),
        (PERIOD, drive(0) + struct.pack("<BBH", 9, 0, 0)),
        (99, drive(0)),
        (1 << 31, drive(0)),
        (PERIOD, drive(0)[:3]),
        (PERIOD, b""),
    ],
)
def test_a_command_beyond_the_boards_limits_ends_the_session_and_nothing_of_it_is_applied(
    board: NativeBoard, period: int, levels: bytes
) -> None:
    opened(board)
    (refusal,) = ask(board, encode_steps(77, 0, 0, True, period, levels), ticks=10 * PERIOD)
    status = Status.decode(refusal.payload)
    assert (refusal.type, status.end, status.refused, status.done) == (FrameType.NO_SESSION, End.REFUSED, 0, 0)
    assert {levels for _, levels in board.applied()} == {REST}
    (after,) = ask(board, encode_steps(77, 0, 0, True, PERIOD, drive(0)), ticks=10 * PERIOD)
    assert after.type == FrameType.NO_SESSION
    assert board.applied() == []


def test_a_silent_host_brings_the_outputs_to_rest_and_what_is_queued_is_not_applied(board: NativeBoard) -> None:
    opened(board, watchdog=10)
    ask(board, *(encode_steps(77, n, 0, n == 0, 4000, drive(n)) for n in range(4)), ticks=9_000)
    assert [levels for _, levels in board.applied()] == [drive(0), drive(1), drive(2)]
    board.run(40_000)
    applied = board.applied()
    assert {levels for _, levels in applied} == {REST}
    assert 10_000 < applied[0][0] <= 12_000  # when the timer comes to begin the next step
    status = Status.decode(ask(board, encode_status(77, 0, 0))[0].payload)
    assert (status.end, status.begun, status.done) == (End.WATCHDOG, 3, 3)


@pytest.mark.parametrize("broken", ["main loop", "timer"])
def test_either_the_main_loop_or_the_timer_brings_the_outputs_to_rest(board: NativeBoard, broken: str) -> None:
    opened(board, watchdog=10)
    ask(
        board,
        encode_steps(77, 0, 0, True, PERIOD, drive(1)),
        encode_steps(77, 1, 0, False, 40_000, drive(2)),
        ticks=PERIOD,
    )
    assert [levels for _, levels in board.applied()] == [drive(1), drive(2)]
    if broken == "timer":
        board.lose_alarms()
    board.run(50_000, polls=0 if broken == "main loop" else 30)
    applied = board.applied()
    assert {levels for _, levels in applied} == {REST}
    assert 10_000 < applied[0][0] <= 60_000  # it is looked at least every 50 ms


def test_a_command_that_comes_as_the_watchdog_ends_the_session_is_not_applied(board: NativeBoard) -> None:
    """The timer finds the silence while the main loop is about to take the frame."""
    opened(board, watchdog=10)
    board.feed(encode_steps(77, 0, 0, True, PERIOD, drive(1)))
    board.interrupt(20_000)
    board.run(0, polls=1)
    board.run(3 * PERIOD, polls=0)
    board.run(3 * PERIOD)
    assert {levels for _, levels in board.applied()} == {REST}
    assert Status.decode(ask(board, encode_status(77, 0, 0))[-1].payload).end == End.WATCHDOG


@pytest.mark.parametrize("flood", ["noise", "no end", "zeros", "another session", "questions", "damaged frames"])
def test_only_whole_frames_of_its_session_keep_a_board_going(board: NativeBoard, flood: str) -> None:
    """The line is never silent, and yet its host is."""
    own = encode_status(77, 3, 1)
    said = {
        "noise": random.Random(0).randbytes(200),
        "no end": b"\x07" * 200,
        "zeros": bytes(200),
        "another session": encode_steps(78, 1, 1, False, PERIOD, drive(3))
        + encode_open(78, 1, 1000)
        + encode_close(78, 2),
        "questions": encode_describe(1, 255) + encode_describe(1, 0),
        "damaged frames": b"".join(damaged(own[:-1], "flip", k, 1 + k) + b"\0" for k in range(20)),
    }[flood]
    opened(board, watchdog=10)
    ask(board, encode_steps(77, 0, 0, True, PERIOD, drive(1)), ticks=PERIOD)
    assert [levels for _, levels in board.applied()] == [drive(1)]
    for k in range(200):
        board.feed(said)
        board.run(100)
        if k == 80:
            assert board.applied() == []  # 8 ms: not yet
    applied = board.applied()
    assert {levels for _, levels in applied} == {REST}
    assert 10_000 < applied[0][0] < 20_000


def test_a_host_that_speaks_all_the_time_keeps_its_session(board: NativeBoard) -> None:
    opened(board, watchdog=10)
    ask(board, encode_steps(77, 0, 0, True, PERIOD, drive(1)), ticks=PERIOD)
    board.applied()
    for _ in range(300):
        board.feed(encode_status(77, 3, 1))
        board.run(100)
    assert board.applied() == []


def test_after_a_reset_the_board_says_how_far_the_session_came(board: NativeBoard) -> None:
    opened(board)
    ask(board, *(encode_steps(77, n, 0, n == 0, PERIOD, drive(n)) for n in range(4)), ticks=PERIOD)
    board.power_up(keep_memory=True)
    assert board.applied()[0][1] == REST
    (answer,) = ask(board, encode_steps(77, 3, 1, False, PERIOD, drive(3)), ticks=10 * PERIOD)
    status = Status.decode(answer.payload)
    assert (answer.type, answer.session) == (FrameType.NO_SESSION, 77)
    assert (status.end, status.begun, status.done) == (End.RESET, 2, 2)
    board.power_up(keep_memory=False)
    (answer,) = ask(board, encode_status(77, 0, 0))
    assert (answer.session, Status.decode(answer.payload).end) == (0, End.NONE)


def test_another_session_is_told_that_the_board_is_busy_and_disturbs_nothing(board: NativeBoard) -> None:
    opened(board)
    board.feed(encode_steps(77, 0, 0, True, PERIOD, drive(0)))
    (busy,) = ask(board, encode_open(78, 1, 1000))
    assert (busy.type, Status.decode(busy.payload).end) == (FrameType.NO_SESSION, End.BUSY)
    (foreign,) = ask(board, encode_steps(78, 1, 0, True, PERIOD, drive(9)))
    assert Status.decode(foreign.payload).end == End.BUSY
    ask(board, ticks=PERIOD)
    assert [levels for _, levels in board.applied()] == [drive(0)]
    closed = ask(board, encode_close(77, 2), encode_close(77, 2))
    assert [each.type for each in closed] == [FrameType.CLOSE | ANSWER] * 2
    assert opened(board, 78).done == 0


def test_opening_twice_with_one_number_is_opening_once(board: NativeBoard) -> None:
    opened(board)
    ask(board, encode_steps(77, 0, 0, True, PERIOD, drive(0)), ticks=PERIOD)
    assert opened(board).done == 1


def test_the_clock_may_wrap_in_the_middle_of_a_stimulus(shared: NativeBoard) -> None:
    shared.power_up((1 << 32) - 2 * PERIOD)
    opened(shared)
    answers = ask(shared, *(encode_steps(77, n, 0, n == 0, PERIOD, drive(n)) for n in range(4)), ticks=4 * PERIOD)
    starts = [StepsAnswer.decode(each.payload).start for each in answers]
    assert [(start - starts[0]) % (1 << 32) for start in starts] == [PERIOD * k for k in range(4)]
    assert max(starts) > 1 << 31
    assert min(starts) < 1 << 31


class Model:
    """What the protocol's page says, in Python: which steps are applied, and what has to be answered."""

    def __init__(self) -> None:
        self.session = 0
        self.base = self.current = 0
        self.slots: dict[int, list[bytes]] = {}
        self.applied: list[bytes] = []
        self.answers: dict[int, bytes] = {}

    def steps(self, session: int, number: int, base: int, steps: list[bytes]) -> None:
        if not self.session or session != self.session:
            return
        if base - self.base <= SLOTS:
            self.base = max(self.base, min(base, self.current))
        if not self.base <= number < self.base + SLOTS or number in self.slots:
            return
        size = len(steps) * max(STEP_BYTES, READING_BYTES)
        if not steps or size > SLOT_BYTES or not all(10 <= each[0] <= 250 and each[1] < 2 for each in steps):
            self.session = 0
            return
        self.slots[number] = steps

    def run(self) -> None:
        """Apply all that can be."""
        while self.session and self.current in self.slots:
            steps = self.slots[self.current]
            self.applied += steps
            self.answers[self.current] = b"".join(reading(each) for each in steps)
            self.current += 1


@st.composite
def events(draw: st.DrawFn) -> list[tuple[str, object]]:
    step = st.builds(lambda a, b, c: struct.pack("<BBH", a, b, c),
                     st.one_of(st.integers(10, 250), st.sampled_from([10, 250])),
                     st.sampled_from([0, 1]), st.integers(0, 4095))  # fmt: skip
    wild = st.builds(lambda a: struct.pack("<BBH", a, 0, 0), st.sampled_from([0, 9, 251, 255]))
    steps = st.tuples(st.sampled_from([77, 77, 77, 77, 78]), st.integers(-2, 6), st.integers(0, 2),
                      st.lists(step, min_size=1, max_size=4))  # fmt: skip
    damage = st.tuples(st.sampled_from(["flip", "cut", "insert", "none"]), st.integers(0, 10_000), st.integers(1, 255))
    one = st.one_of(
        st.tuples(st.just("steps"), st.tuples(steps, damage)),
        st.tuples(st.just("steps"), st.tuples(steps, st.just(("none", 0, 0)))),
        st.tuples(st.just("run"), st.integers(0, 5 * PERIOD)),
        st.tuples(st.just("noise"), st.binary(max_size=400)),
        st.tuples(st.just("again"), st.integers(0, 30)),
        st.tuples(st.just("busy"), st.booleans()),
    )
    listed = draw(st.lists(one, max_size=40))
    if draw(st.integers(0, 9)) == 0:
        listed.append(("steps", ((77, 0, 0, [draw(wild)]), ("none", 0, 0))))
    return listed


def damaged(frame: bytes, how: str, at: int, by: int) -> bytes:
    at %= len(frame)
    if how == "flip":
        return frame[:at] + bytes((frame[at] ^ by,)) + frame[at + 1 :]
    if how == "cut":
        return frame[:at] + frame[at + 1 + by % 8 :]
    if how == "insert":
        return frame[:at] + bytes((by,)) + frame[at:]
    return frame


@settings(max_examples=150)
@given(events())
def test_whatever_comes_over_the_line_the_board_is_its_model(shared: NativeBoard, listed: list[tuple]) -> None:
    """Flipped, cut, inserted, duplicated, out of order, of another session: the board applies what the model does."""
    shared.power_up()
    opened(shared)
    model, sent = Model(), []
    model.session = 77
    parser, answers = FrameParser(), []

    def settle(ticks: int) -> Iterator[Frame]:
        shared.run(ticks)
        return parser.feed(shared.take())

    for what, how in listed:
        if what == "steps":
            (session, ahead, behind, steps), harm = how
            number = max(0, model.current + ahead)
            base = max(0, model.current - behind)
            frame = encode_steps(session, number, base, True, PERIOD, b"".join(steps))
            harmed = damaged(frame, *harm)
            sent.append((frame, session, number, base, steps))
            shared.feed(harmed)
            if frame[:-1] in harmed.split(b"\0"):  # the damage is beside it
                model.steps(session, number, base, steps)
        elif what == "again" and sent:
            frame, session, number, base, steps = sent[how % len(sent)]
            shared.feed(b"\0" + frame)
            model.steps(session, number, base, steps)
        elif what == "noise":
            shared.feed(how.replace(b"\0", b"\1") + b"\0")
        elif what == "busy":
            shared.busy(how)
        shared.feed(b"\0")  # so that damage ends here, as it does at the next frame
        # The model applies at once what it can: the board is given the time to.
        answers += settle(20 * PERIOD)
        model.run()
    shared.busy(False)
    answers += settle(20 * PERIOD)
    got = [levels for _, levels in shared.applied()]
    if not model.session:
        assert got[-1] == REST
        got = [levels for levels in got if levels != REST]
        assert got == [levels for levels in model.applied if levels != REST]
        return
    assert got == model.applied
    for each in answers:
        if each.type == FrameType.STEPS | ANSWER:
            assert StepsAnswer.decode(each.payload).readings == model.answers[each.number]
    assert {each.number for each in answers if each.type == FrameType.STEPS | ANSWER} >= set(
        range(model.base, model.current)
    )
