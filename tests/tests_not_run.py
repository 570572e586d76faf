"""A plugin of pytest: where tests that were collected were not run, the status is not that of tests that failed."""

import pytest

_COLLECTED, _RUN, _BROKEN = pytest.StashKey[set[str]](), pytest.StashKey[set[str]](), pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    """Begin with none."""
    config.stash[_COLLECTED], config.stash[_RUN], config.stash[_BROKEN] = set(), set(), False


def pytest_collection_finish(session: pytest.Session) -> None:
    """Note the tests that this process is to run."""
    session.config.stash[_COLLECTED].update(item.nodeid for item in session.items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: object, ids: list[str]) -> None:
    """Note the tests that workers are to run."""
    node.config.stash[_COLLECTED].update(ids)  # type: ignore[attr-defined]


class _Counter:
    """Notes what happens, in the process that gives the status."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note that something could not be collected."""
        if report.failed:
            self._config.stash[_BROKEN] = True

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Note that a test has ended."""
        self._config.stash[_RUN].add(nodeid)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Count from now on; workers of pytest-xdist run a part each, and do not."""
    if not hasattr(session.config, "workerinput"):
        session.config.pluginmanager.register(_Counter(session.config))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """End with another status than that of tests that failed, which are run once more, and no others."""
    config = session.config
    if hasattr(config, "workerinput") or config.option.collectonly or session.exitstatus not in (0, 1):
        return
    if config.stash[_BROKEN] or any(each not in config.stash[_RUN] for each in config.stash[_COLLECTED]):
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
