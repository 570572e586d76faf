from .checks import Check
from .leaks import LeakedTasks, assert_no_leaked_tasks
from .readouts import check_readout, readout_checks
from .simulators import check_simulator, simulator_checks
from .substrates import check_entered_substrate, check_substrate, small_stimuli, substrate_checks
from .tasks import check_task

__all__ = [
    "Check",
    "LeakedTasks",
    "assert_no_leaked_tasks",
    "check_entered_substrate",
    "check_readout",
    "check_simulator",
    "check_substrate",
    "check_task",
    "readout_checks",
    "simulator_checks",
    "small_stimuli",
    "substrate_checks",
]
