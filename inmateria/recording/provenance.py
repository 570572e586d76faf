"""Provenance of a recording: versions of software, and the user's script with the state of its git repository.

Neither the text of the script nor its arguments are stored: both may contain passwords.
"""

import hashlib
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from inmateria import __version__

_PACKAGES = ("numpy", "scipy", "numba", "scikit-learn", "h5py", "neo", "paho-mqtt", "amqtt", "reservoirpy")


def software() -> dict[str, str]:
    """Return the versions of Python, of the platform and of the packages that a recording depends on."""
    return dict(_software())


@cache
def _software() -> dict[str, str]:
    found = {"inmateria": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def script() -> dict[str, str | bool]:
    """Return name and SHA-256 of the running script, and the commit, branch and state of its repository.

    Empty without a script (in a shell or a notebook); without ``commit`` if it is not in a repository.
    """
    path = getattr(sys.modules.get("__main__"), "__file__", None)
    if path is None or not Path(path).is_file():
        return {}
    file = Path(path).resolve()
    told: dict[str, str | bool] = {"name": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    root = _git(file.parent, "rev-parse", "--show-toplevel")
    commit = _git(file.parent, "rev-parse", "HEAD")
    if root and commit:
        told["name"] = file.relative_to(Path(root).resolve()).as_posix()
        told["commit"] = commit
        told["branch"] = _git(file.parent, "rev-parse", "--abbrev-ref", "HEAD") or ""
        told["changed"] = bool(_git(file.parent, "status", "--porcelain", "--untracked-files=no"))
        told["committed"] = bool(_git(file.parent, "ls-files", file.name))
    return told


def _git(folder: Path, *words: str) -> str | None:
    """Return the output of git, or None if it is missing, takes too long, or this is not a repository."""
    try:
        asked = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, timeout=5.0, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return asked.stdout.strip()
