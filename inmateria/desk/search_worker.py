"""A worker of a search: claims trials of its folder one after another, proposes their settings, and runs them.

``python -m inmateria.desk.search_worker FOLDER`` is one. Any number of them, on any machines that share the folder,
divide the trials among themselves.
"""

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from inmateria.desk.claims import this_process
from inmateria.desk.search_folder import SearchFolder
from inmateria.desk.search_trials import require_optuna, run_trial
from inmateria.desk.worker import interrupted_by

__all__ = ["work_on_search"]

_LOOK = 1.0
"""Seconds between two looks at trials that other workers hold."""


def work_on_search(folder: SearchFolder, should_stop: Callable[[], bool] = lambda: False) -> int:
    """Run trials until none is left, also those whose process dies meanwhile; return how many this one ran.

    Parameters
    ----------
    folder : SearchFolder
    should_stop : callable
        Asked before each trial.

    Raises
    ------
    KeyboardInterrupt
        If it is interrupted; the trial that ran then is given back.
    """
    require_optuna()
    folder.require_this_version()
    owner, ran = this_process(), 0
    while not should_stop():
        over = folder.ended()
        left = [number for number in range(folder.search.trials) if number not in over]
        if not left:
            folder.tidy_all()
            break
        progress = False
        # Trials whose process died come last: one that kills its process does not stand in the way of the others.
        for number in sorted(left, key=lambda each: folder.was_claimed(folder.claim_name(each))):
            if should_stop():
                return ran
            if run_trial(folder, number, owner):
                ran, progress = ran + 1, True
        if not progress:
            time.sleep(_LOOK)
    return ran


def main(path: str) -> int:
    """Work on a folder until nothing is left; return the exit status."""
    with interrupted_by(signal.SIGINT, signal.SIGTERM):
        try:
            work_on_search(SearchFolder(Path(path)))
        except KeyboardInterrupt:
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
