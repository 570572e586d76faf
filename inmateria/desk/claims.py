"""Claims of points by processes that share a folder, on any number of machines, without a server or locks.

The claim of a point is a file made with O_EXCL, so that exactly one process gets it. Its name has a number: if the
process that holds the claim is dead, the next one takes the point by making the file with the next number. A claim is
never deleted to be taken over, so two processes that both see a dead one cannot both get the point.
"""

import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

import msgspec

__all__ = ["Claim", "HeldClaim", "Owner", "claim_point", "held_claims", "this_process"]

_BEAT = 5.0
"""Seconds between two signs of life of a claim."""
SILENCE = 60.0
"""Seconds without a sign of life after which the claim of a process on another machine is taken for dead."""


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """A process that holds a claim.

    Parameters
    ----------
    host : str
        Name of its machine, with the machine's last start and the process namespace: what makes `pid` unique.
    pid : int
    started : str
        When the process started, as the machine counts; empty where that cannot be known.
    """

    host: str
    pid: int
    started: str


def this_process() -> Owner:
    """Return this process as an owner of claims."""
    return Owner(host=_host(), pid=os.getpid(), started=_started(os.getpid()))


def _host() -> str:
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


def _started(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _is_alive(owner: Owner) -> bool:
    """Return whether a process of this machine is still there, and is the same one."""
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    try:
        state = Path(f"/proc/{owner.pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return True
    return state[0] != "Z" and (not owner.started or state[19] == owner.started)


class HeldClaim(msgspec.Struct, frozen=True, kw_only=True):
    """A claim as others see it.

    Parameters
    ----------
    digest : str
        Of the point.
    attempt : int
        How many claims of the same point there were before.
    owner : Owner or None
        None if it cannot be read.
    lives : bool
        Whether its process gives signs of life.
    """

    digest: str
    attempt: int
    owner: Owner | None
    lives: bool


def held_claims(folder: Path) -> list[HeldClaim]:
    """Return the last claim of each point in a folder, without writing to it; by digest.

    A process of this machine lives if it is there. One of another machine does if it gave a sign of life in the last
    minute, by this machine's clock.
    """
    last: dict[str, int] = {}
    with os.scandir(folder) as found:
        for each in found:
            digest, _, number = each.name.partition(".")
            if digest and number.isdigit():
                last[digest] = max(last.get(digest, 0), int(number))
    here = _host()
    held = []
    for digest, attempt in sorted(last.items()):
        path = folder / f"{digest}.{attempt}"
        try:
            owner: Owner | None = msgspec.json.decode(path.read_bytes(), type=Owner)
        except FileNotFoundError:
            continue  # completed or given back meanwhile
        except (msgspec.DecodeError, OSError):
            owner = None
        if owner is not None and owner.host == here:
            lives = _is_alive(owner)
        else:
            lives = time.time() - _modified(path) < SILENCE
        held.append(HeldClaim(digest=digest, attempt=attempt, owner=owner, lives=lives))
    return held


class Claim:
    """A claim that this process holds; a context manager that gives signs of life until it is left.

    Parameters
    ----------
    path : Path
        The claim's file.
    attempt : int
        How many claims of the same point there were before.
    """

    def __init__(self, path: Path, attempt: int) -> None:
        self.path, self.attempt = path, attempt
        self._left = threading.Event()
        self._beating = threading.Thread(target=self._beat, name=f"claim {path.name}", daemon=True)

    def __enter__(self) -> "Claim":
        self._beating.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._beating.join()

    def _beat(self) -> None:
        while not self._left.wait(_BEAT):
            with suppress(OSError):  # the folder may be out of reach for a while
                os.utime(self.path)

    def give_back(self) -> None:
        """Remove the claim, so that another process may make one. Claims of dead processes before it stay."""
        with suppress(OSError):
            self.path.unlink()

    def complete(self) -> None:
        """Remove all claims of the point, whose result is in its place."""
        for number in range(self.attempt, -1, -1):
            with suppress(OSError):
                self.path.with_suffix(f".{number}").unlink()


def claim_point(folder: Path, digest: str, owner: Owner) -> Claim | None:
    """Claim a point, or return None if a living process holds it.

    Parameters
    ----------
    folder : Path
        Folder of the claims.
    digest : str
        Of the point.
    owner : Owner
        This process.
    """
    attempt = 0
    while True:
        path = folder / f"{digest}.{attempt}"
        if _make(path, owner):
            return Claim(path, attempt)
        later = (folder / f"{digest}.{attempt + 1}").exists()
        if not later and _is_held(path, owner):
            return None
        attempt += 1


def _make(path: Path, owner: Owner) -> bool:
    """Make a claim's file with all that is in it, unless it is there."""
    draft = path.parent / f".{path.name}-{owner.pid}-{time.monotonic_ns()}"
    draft.write_bytes(msgspec.json.encode(owner))
    try:
        os.link(draft, path)  # atomic like O_EXCL, also over NFS, and never empty
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        return _make_exclusively(path, owner)
    finally:
        with suppress(OSError):
            draft.unlink()
    return True


def _make_exclusively(path: Path, owner: Owner) -> bool:
    try:
        with path.open("xb") as file:
            file.write(msgspec.json.encode(owner))
    except FileExistsError:
        return False
    return True


def _is_held(path: Path, owner: Owner) -> bool:
    """Return whether a claim is of a living process, or was removed meanwhile."""
    try:
        holder = msgspec.json.decode(path.read_bytes(), type=Owner)
        beaten = path.stat().st_mtime
    except FileNotFoundError:
        return True  # completed or given back: seen again at the next look
    except (msgspec.DecodeError, OSError):
        holder, beaten = None, _modified(path)
    if holder is not None and holder.host == owner.host:
        return _is_alive(holder)
    return _now_there(path.parent, owner) - beaten < SILENCE


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return float("inf")


def _now_there(folder: Path, owner: Owner) -> float:
    """Return the time by the clock of the file system, which may differ from this machine's."""
    path = folder / f".clock-{owner.pid}-{time.monotonic_ns()}"
    try:
        path.touch()
        return path.stat().st_mtime
    finally:
        with suppress(OSError):
            path.unlink()
