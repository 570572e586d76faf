"""What a recording was made with: the software, and the user's script with the state of its git repository.

Neither the script's text nor its arguments are kept: both may hold passwords.
"""

import hashlib
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from inmateria import __version__

_PACKAGES = ("numpy", "scipy", "numba", "scikit-learn", "h5py", "neo", "paho-mqtt", "amqtt", "reservoirpy")


def software() -> dict[str, str]:
    """List the versions of Python, of the platform and of the packages that a recording depends on."""
    found = {"inmateria": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def script() -> dict[str, str | bool]:
    """Tell the name and SHA-256 of the script that runs, and the commit, branch and changes of its repository.

    Empty where there is no script (a shell or a notebook); without ``commit`` where it is in no repository.
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
    """Ask git; None where there is none, it takes too long, or it is no repository."""
    try:
        asked = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, timeout=5.0, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return asked.stdout.strip()
