"""A plugin of pytest: where a worker of pytest-xdist died, other tests were not run, and the status says so."""

import pytest

_DIED = pytest.StashKey[bool]()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object, error: object) -> None:
    """Note that a worker died."""
    if error:
        node.config.stash[_DIED] = True  # type: ignore[attr-defined]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """End with a status that stands for more than tests that failed: those are run once more, and no others."""
    if session.config.stash.get(_DIED, False):
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
