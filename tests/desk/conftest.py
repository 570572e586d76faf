"""Fixtures of the desk's tests: a small task and a device, found by this process and by workers."""

import os
import sys
from pathlib import Path

import pytest
from small_plugin import install


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install the small task for this process and those that it starts, and return an empty folder."""
    package, place = tmp_path / "package", tmp_path / "place"
    package.mkdir()
    place.mkdir()
    install(package)
    monkeypatch.syspath_prepend(package)
    before = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", f"{package}{os.pathsep}{before}" if before else str(package))
    for name in ("small_task", "one_device"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.chdir(place)
    return place
