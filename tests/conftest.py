"""Fixtures for every test: nothing may be left behind, and a real broker where one is wanted."""

import logging
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import lsl_alone
import pytest
import pytest_asyncio
from brokers import Mosquitto
from commands_here import RunCommand
from hypothesis import settings

from inmateria.cli import main
from inmateria.testing import assert_no_leaked_tasks

lsl_alone.use()  # before anything loads liblsl
settings.register_profile("no clock", deadline=None)  # no test fails on a clock
settings.load_profile("no clock")

pytest_plugins = ["tests_not_run"]

LONGEST = (
    "tests/test_cli.py",
    "tests/protocols/test_every_task.py",
    "tests/recording/test_export.py",
    "tests/adapters/test_cortical.py",
    "docs/desk.md",
    "tests/desk/test_sweeping.py",
    "tests/desk/test_searching.py",
    "tests/devices/test_calibration.py",
    "tests/test_report.py",
    "tests/reservoir/test_readouts.py",
    "tests/test_contributing.py",
    "docs/tutorials/a_sweep.md",
    "tests/adapters/test_tissue_by_model.py",
    "tests/adapters/test_mqtt_under_fire.py",
    "tests/protocols/test_neural_protocols.py",
    "tests/recording/test_damage.py",
    "tests/protocols/test_series_tasks.py",
    "tests/protocols/test_periodic_signal.py",
    "tests/protocols/test_memory_and_nonlinearity.py",
    "tests/protocols/test_stack_task.py",
    "tests/adapters/test_mqtt_observer.py",
    "tests/live/test_page.py",
    "tests/live/test_run_source.py",
    "tests/live/test_serving.py",
    "tests/recording/test_crashes.py",
    "tests/simulators/test_identity.py",
    "tests/firmware/test_cortex_m3.py",
    "tests/test_platform_scripts.py",
    "tests/test_examples.py",
)
"""Files that take longest, the longest first: a worker that began one of them last would keep the others waiting."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest; `make test` tells xdist to keep this order."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(LONGEST)))


@pytest_asyncio.fixture(autouse=True)
async def no_tasks_left() -> AsyncIterator[None]:
    """Fail a test that leaves asyncio tasks behind."""
    async with assert_no_leaked_tasks():
        yield


@pytest.fixture(autouse=True)
def log_as_a_library_makes_it() -> None:
    """Begin each test with a log without handlers of ours, which the command line adds and a test may leave behind."""
    logger = logging.getLogger("inmateria")
    logger.handlers[:], logger.propagate = [], True
    logger.setLevel(logging.NOTSET)


@pytest.fixture(autouse=True)
def no_threads_or_children_left() -> Iterator[None]:
    """Fail a test that leaves threads or child processes behind."""
    threads, children = set(threading.enumerate()), _children()
    yield
    for thread in set(threading.enumerate()) - threads:
        # Workers of an event loop's own pool end with that loop, which pytest closes after the test.
        if not thread.name.startswith("asyncio_"):
            thread.join(2.0)
            assert not thread.is_alive(), f"thread left behind: {thread}"
    left = _children() - children
    assert not left, f"child processes left behind: {left}"


def _children() -> set[int]:
    """List our running child processes; on systems without /proc there is nothing to see."""
    found = set()
    for listing in Path("/proc/self/task").glob("*/children"):
        try:
            for child in listing.read_text().split():
                if Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                    found.add(int(child))
        except OSError:  # it ended while we looked
            continue
    return found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that is skipped in continuous integration, for whatever is missing there."""
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        _, _, reason = report.longrepr if isinstance(report.longrepr, tuple) else ("", 0, str(report.longrepr))
        missing_data = "INMATERIA_DATA" in reason and not Path(os.environ.get("INMATERIA_DATA", "nowhere")).is_dir()
        if not missing_data and not any(word in reason for word in _MAY_BE_SKIPPED):
            report.outcome, report.longrepr = "failed", f"skipped, though CI is set: {reason}"
    return report


_MAY_BE_SKIPPED = (
    "SCIPY_ARRAY_API",  # scikit-learn's own check of arrays that are not numpy's
    "array_api",
    "Python 3.12",  # which cl-sdk needs
    "which this processor lacks",  # instructions, which nothing installs
)


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path)
    yield broker
    broker.kill()


@pytest.fixture
def inmateria_here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[RunCommand]:
    """Run a command in this process and in the test's folder, where what it imports was imported already."""
    logger = logging.getLogger("inmateria")
    before = logger.level, logger.propagate, list(logger.handlers)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["inmateria", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return subprocess.CompletedProcess(list(arguments), int(ended.value.code or 0), out, err)

    yield run
    logger.level, logger.propagate, logger.handlers[:] = before
