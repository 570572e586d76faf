"""Claims: exactly one process gets a point; that of a dead one is taken over once, that of a living one never."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from inmateria.desk import claims
from inmateria.desk.claims import Owner, claim_point, this_process

CLAIM_ALL = """
import sys
from pathlib import Path
from inmateria.desk.claims import claim_point, this_process
folder, owner = Path(sys.argv[1]), this_process()
print("ready", flush=True)
sys.stdin.readline()
for number in range(200):
    digest = f"{number:020x}"
    if claim_point(folder, digest, owner) is not None:
        print(digest)
print("done", flush=True)
sys.stdin.read()  # alive until all have tried
"""


def test_of_many_processes_exactly_one_gets_each_point(tmp_path: Path) -> None:
    digests = [f"{number:020x}" for number in range(200)]
    dead = Owner(host=this_process().host, pid=2**22 + 1, started="1")
    for digest in digests[::2]:  # half of them were claimed by processes that died, some by two
        (tmp_path / f"{digest}.0").write_bytes(msgspec.json.encode(dead))
    for digest in digests[::4]:
        (tmp_path / f"{digest}.1").write_bytes(msgspec.json.encode(dead))
    command = [sys.executable, "-c", CLAIM_ALL, str(tmp_path)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    taken: list[str] = []
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in processes:
            assert process.stdout is not None
            while (line := process.stdout.readline().strip()) != "done":
                assert line
                taken.append(line)
    finally:
        for process in processes:
            process.communicate("")
    assert sorted(taken) == digests


def test_a_point_of_a_living_process_is_not_taken_even_if_it_stands_still(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from inmateria.desk.claims import *; "
        "print(claim_point(Path(sys.argv[1]), 'd', this_process()) is not None, flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        other.send_signal(signal.SIGSTOP)
        os.utime(tmp_path / "d.0", (0, 0))  # no sign of life since 1970
        assert claim_point(tmp_path, "d", this_process()) is None
        other.kill()
        other.wait()
        claim = claim_point(tmp_path, "d", this_process())
        assert claim is not None
        assert claim.attempt == 1
        assert claim_point(tmp_path, "d", this_process()) is None
    finally:
        other.kill()
        other.communicate()


@pytest.mark.parametrize(("silent", "taken"), [(claims.SILENCE - 20, False), (claims.SILENCE + 20, True)])
def test_on_another_machine_silence_counts_by_the_clock_of_the_file_system(
    tmp_path: Path, silent: float, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "d.0").write_bytes(msgspec.json.encode(Owner(host="elsewhere", pid=1, started="1")))
    last = time.time() - silent
    os.utime(tmp_path / "d.0", (last, last))
    monkeypatch.setattr(time, "time", lambda: 0.0)  # this machine's clock is wrong
    assert (claim_point(tmp_path, "d", this_process()) is not None) == taken


def test_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "_BEAT", 0.01)
    claim = claim_point(tmp_path, "d", this_process())
    assert claim is not None
    os.utime(claim.path, (0, 0))
    with claim:
        until = time.monotonic() + 10
        while claim.path.stat().st_mtime == 0 and time.monotonic() < until:
            time.sleep(0.01)
    assert claim.path.stat().st_mtime > 0


def test_given_back_and_completed(tmp_path: Path) -> None:
    first = claim_point(tmp_path, "d", this_process())
    assert first is not None
    first.give_back()
    again = claim_point(tmp_path, "d", this_process())
    assert again is not None
    assert again.attempt == 0
    again.complete()
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_claim_counts_by_its_age(tmp_path: Path) -> None:
    (tmp_path / "d.0").write_bytes(b"{half")
    assert claim_point(tmp_path, "d", this_process()) is None
    os.utime(tmp_path / "d.0", (0, 0))
    assert claim_point(tmp_path, "d", this_process()) is not None
