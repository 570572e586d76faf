"""A log of pulses is read as it was written, or refused; never read as less than what was given."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inmateria.adapters.tissue.guard import PulseLimits, TissueGuard, biphasic, steady_time
from inmateria.adapters.tissue.pulse_log import PulseLog, canonical_host, log_name, log_path
from inmateria.substrate import StimulusRejected, SubstrateBusy, SubstrateError

ONE = biphasic(1000.0, 7, -1e-6, 1e-4)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "pulses.csv"
    with PulseLog(path) as log:
        log.append(biphasic(np.arange(20), np.arange(20) % 3, -1e-6, 1e-4))
        log.append(biphasic([18.0, 19.0], [0, 1], -1e-6, 1e-4), "withdrawn")
    return path


def edited(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda path: (path.write_bytes(change(path.read_bytes())), None)[1]


DAMAGE = {
    "a value edited": edited(lambda data: data.replace(b"pulse,5.0", b"pulse,5.1")),
    "a line deleted": edited(lambda data: b"".join(data.splitlines(keepends=True)[:5] + data.splitlines(True)[6:])),
    "a line doubled": edited(lambda data: b"".join(data.splitlines(True)[:6] + data.splitlines(True)[5:])),
    "a line appended": edited(lambda data: data + data.splitlines(True)[-1]),
    "lines swapped": edited(lambda data: b"".join(data.splitlines(True)[:5] + data.splitlines(True)[:4:-1])),
    "cut at a line": edited(lambda data: b"".join(data.splitlines(True)[:-3])),
    "cut within a line": edited(lambda data: data[:-30]),
    "cut by a byte": edited(lambda data: data[:-1]),
    "all pulses cut off": edited(lambda data: b"".join(data.splitlines(True)[:2])),
    "cut to nothing": edited(lambda data: b""),
    "another separator": edited(lambda data: data.replace(b",", b";")),
    "another separator in the lines": edited(
        lambda data: b"".join(data.splitlines(True)[:2]) + b"".join(data.splitlines(True)[2:]).replace(b",", b";")
    ),
    "Windows line ends": edited(lambda data: data.replace(b"\n", b"\r\n")),
    "a byte order mark": edited(lambda data: b"\xef\xbb\xbf" + data),
    "a byte that is not text": edited(lambda data: data[:400] + b"\xff" + data[401:]),
    "a NUL byte": edited(lambda data: data[:400] + b"\0" + data[401:]),
    "zeros at the end": edited(lambda data: data + bytes(512) + b"\n"),
    "another clock in the header": edited(lambda data: data.replace(b",unix,", b",steps,", 1)),
    "another size in the header": edited(lambda data: data.replace(b",0000", b",0001", 1)),
    "no header": edited(lambda data: b"".join(data.splitlines(True)[2:])),
    "other columns": edited(lambda data: data.replace(b"amplitude,duration", b"duration,amplitude", 1)),
    "a log of format 1": edited(
        lambda data: b"logged,event,time,electrode,amplitude,duration,second_amplitude,second_duration\n"
    ),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_log_that_is_not_as_it_was_written_is_refused_and_left_alone(
    path: Path, damage: Callable[[Path], None]
) -> None:
    damage(path)
    found = path.read_bytes()
    for open_it in (lambda: PulseLog(path).__enter__(), lambda: PulseLog(path).read()):
        with pytest.raises(SubstrateError, match=r"pulses\.csv (is|was|does|has)"):
            open_it()
    with pytest.raises(SubstrateError), TissueGuard(PulseLimits(), path):
        pass
    assert path.read_bytes() == found


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_changed_byte_is_ever_overlooked(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("log") / "pulses.csv"
    with PulseLog(path) as log:
        log.append(biphasic(np.arange(3), 7, -1e-6, 1e-4))
    whole = path.read_bytes()
    at = data.draw(st.integers(0, 10**6)) % len(whole)  # its length and bytes depend on the time: nothing drawn does
    path.write_bytes(whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :])
    with pytest.raises(SubstrateError):
        PulseLog(path).read()
    cut = data.draw(st.integers(0, 10**6)) % len(whole)
    path.write_bytes(whole[:cut])
    with pytest.raises(SubstrateError):
        PulseLog(path).read()


def test_the_error_names_the_line_and_what_to_do(path: Path) -> None:
    DAMAGE["a value edited"](path)
    with pytest.raises(SubstrateError, match=r"line 8 of the log of pulses .*was edited.*restore it from a copy"):
        PulseLog(path).read()


def replaced_by_a_new_one(path: Path) -> None:
    path.unlink()
    with PulseLog(path, "test"):
        pass


UNDER_ITS_CONTROLLER = {
    "deleted": lambda path: path.unlink(),
    "replaced by a copy": lambda path: (shutil.copy(path, f"{path}.new"), Path(f"{path}.new").replace(path)),
    "replaced by a new one": replaced_by_a_new_one,
    "cut": lambda path: os.truncate(path, 300),
    "written to": edited(lambda data: data + b"pulse\n"),
    "edited at its length": edited(lambda data: data.replace(b"pulse,30.0", b"pulse,20.0")),
}


@pytest.mark.parametrize("what", UNDER_ITS_CONTROLLER.values(), ids=UNDER_ITS_CONTROLLER.keys())
def test_a_log_that_is_changed_under_a_running_controller_stops_it(path: Path, what: Callable[[Path], object]) -> None:
    now = 30.0
    with TissueGuard(PulseLimits(), PulseLog(path.with_name("own.csv"), "test"), clock=lambda: now) as guard:
        assert guard.log is not None
        planned = biphasic([30.0, 40.0], 7, -1e-6, 1e-4)
        guard.admit(planned)
        own = guard.log.path
        what(own)
        if own.exists():  # later than the clock of a file system can tell apart
            os.utime(own, ns=(0, time.time_ns() + 10**9))
        for _ in range(2):  # and it stays refused
            with pytest.raises(SubstrateError, match=r"own\.csv"):
                guard.admit(biphasic(50.0, 7, -1e-6, 1e-4))
            with pytest.raises(SubstrateError, match=r"own\.csv"):
                guard.release(planned[:1])
            with pytest.raises(SubstrateError, match=r"own\.csv"):
                guard.withdraw(planned[1:])
        assert guard.passed == 2
        assert guard.dose() == pytest.approx(2e-10)


def test_a_log_that_was_only_touched_or_read_goes_on(path: Path) -> None:
    with PulseLog(path) as log:
        os.utime(path)
        PulseLog(path).read()
        log.append(ONE)
    assert PulseLog(path).read()["time"][-1] == 1000.0


def test_a_log_of_another_clock_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pulses.csv"
    with PulseLog(path, "frames") as log:
        log.append(ONE)
    with pytest.raises(SubstrateError, match="has the clock 'frames'; here times are on the clock 'unix'"):
        PulseLog(path).read()
    with (
        pytest.raises(SubstrateError, match="guard's clock is at 12 s"),
        TissueGuard(PulseLimits(), tmp_path / "other.csv", clock=lambda: 12.0),
    ):
        pass


def test_what_could_not_be_written_is_not_in_the_log_and_the_next_can(path: Path) -> None:
    """On a full disk: in a process that may write no file beyond a size."""
    code = f"""
import resource, signal
import numpy as np
from inmateria.adapters.tissue.guard import PulseLog, biphasic
from inmateria.substrate import SubstrateError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with PulseLog({str(path)!r}) as log:
    before = len(log.read())
    size = log.path.stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 500, resource.RLIM_INFINITY))
    try:
        log.append(biphasic(np.arange(100.0, 200.0), 7, -1e-6, 1e-4))
    except SubstrateError as error:
        assert "is the disk full?" in str(error), error
    else:
        raise AssertionError("it was written")
    assert log.path.stat().st_size == size
    assert len(log.read()) == before
    log.append(biphasic(100.0, 7, -1e-6, 1e-4))
    assert log.read()["time"][-1] == 100.0
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_process_killed_at_any_moment_leaves_a_log_that_holds_all_it_sent(tmp_path: Path) -> None:
    path = tmp_path / "pulses.csv"
    code = (
        "from inmateria.adapters.tissue.guard import PulseLog, biphasic\n"
        f"with PulseLog({str(path)!r}) as log:\n"
        "    for k in range(10**9):\n"
        "        log.append(biphasic([k, k + 0.25, k + 0.5], 7, -1e-6, 1e-4)); print(k, flush=True)\n"
    )
    for kill in range(3):
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(50 * (kill + 1)):
                process.stdout.readline()
            process.kill()
            sent = max([50 * (kill + 1) - 1, *map(int, process.stdout.read().split("\n")[:-1])])
        with PulseLog(path) as log:
            times = set(log.read()["time"].tolist())
        assert {k + part for k in range(sent + 1) for part in (0.0, 0.25, 0.5)} <= times
        path.unlink()


def test_withdrawn_dropped_and_moved_pulses_are_told_apart(tmp_path: Path) -> None:
    now = [0.0]
    with TissueGuard(PulseLimits(), PulseLog(tmp_path / "a.csv", "test"), clock=lambda: now[0]) as guard:
        assert guard.log is not None
        planned = biphasic([1.0, 1.01, 2.0, 3.0], 7, -1e-6, 1e-4)
        guard.admit(planned)
        now[0] = 1.5
        assert guard.release(planned[:2]).tolist() == [True, False]
        now[0] = 2.0
        assert guard.release(planned[2:3]).tolist() == [True]
        guard.withdraw(planned[3:])
        assert guard.log.read()["time"].tolist() == [1.5, 2.0]
        lines = [line.split(",")[:2] for line in guard.log.path.read_text().splitlines()[2:]]
    assert lines[4:] == [["pulse", "1.5"], ["withdrawn", "1.0"], ["dropped", "1.01"], ["withdrawn", "3.0"]]


@settings(max_examples=50, deadline=None)
@given(
    times=st.lists(st.floats(0, 1e4), min_size=1, max_size=60),
    since=st.floats(-1, 1.1e4),
    copies=st.sampled_from([1, 30]),
)
def test_only_the_lines_after_a_time_are_parsed_and_none_is_missed(
    times: list[float], since: float, copies: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("log") / "pulses.csv"
    pulses = biphasic(np.repeat(sorted(times), copies * 20), 7, -1e-6, 1e-4)
    with PulseLog(path) as log:
        log.append(pulses)
        assert np.array_equal(log.read(since), pulses[pulses["time"] > since])


def test_pulses_that_were_logged_out_of_order_are_all_found(tmp_path: Path) -> None:
    """A pulse planned for later is logged before one that is given late."""
    path = tmp_path / "pulses.csv"
    with PulseLog(path) as log:
        for start in (100.0, 50.0, 80.0):
            log.append(biphasic(start + 0.001 * np.arange(3000), 7, -1e-6, 1e-4))
        for since, expected in ((60.0, 6000), (90.0, 3000), (101.5, 1499), (200.0, 0), (40.0, 9000)):
            assert len(log.read(since)) == expected


def test_names_of_one_device_are_one_log() -> None:
    names = {log_name("intan", 5000, port, host=host) for port in ("a", "A") for host in (
        "localhost", "127.0.0.1", "LOCALHOST.", "::1", "[::1]", "127.1", "127.0.0.2", "::ffff:127.0.0.1",
        "0.0.0.0", "rig.localhost", socket.gethostname())}  # fmt: skip
    assert names == {"intan-localhost-5000-a"}
    assert log_name("intan", 5000, "A", host="Rig1.lab.") == log_name("intan", 5000, "A", host="rig1.LAB")
    assert canonical_host("FE80:0:0:0:0:0:0:1") == canonical_host("fe80::1")
    different = [("intan", 5000, "A"), ("intan", 5001, "A"), ("intan", 5000, "B"), ("cl1", 5000, "A")]
    assert len({log_name(kind, number, port, host="rig") for kind, number, port in different}) == 4
    assert log_name("cl1", "a/../b c") == "cl1-a-..-b-c"
    assert log_path("none", "x") is None
    assert log_path("here.csv", "x") == Path("here.csv")


def test_two_paths_to_one_file_are_one_log(path: Path) -> None:
    link = path.with_name("link.csv")
    link.symlink_to(path)
    with PulseLog(path), pytest.raises(SubstrateBusy), PulseLog(link):
        pass


def test_the_clock_of_a_guard_does_not_follow_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    assert steady_time() == pytest.approx(time.time(), abs=60)
    guard = TissueGuard(PulseLimits(dose=1e-9))
    guard.admit(biphasic(steady_time(), 7, -3e-6, 2e-4))
    monkeypatch.setattr(time, "time", lambda: 4e9)  # the system's clock is set forward
    assert guard.dose() == pytest.approx(0.6e-9)
    with pytest.raises(StimulusRejected, match="in any hour"):
        guard.admit(biphasic(steady_time() + 1, 7, -3e-6, 2e-4))
