from .controls import Control, controls_by_step, controls_by_trial
from .gains import Gain, gain_of
from .outcome import Curves, ExchangeStatistics, Outcome, Score
from .presenting import Presented, present_series, present_trials
from .runner import run_task
from .runs import Run, read_run
from .scoring import Comparison, score_classification, score_regression
from .task import ProgressCallback, Task, UnknownTask, UnsuitableSetting, UnsuitableSubstrate, find_task, task_names

__all__ = [
    "Comparison",
    "Control",
    "Curves",
    "ExchangeStatistics",
    "Gain",
    "Outcome",
    "Presented",
    "ProgressCallback",
    "Run",
    "Score",
    "Task",
    "UnknownTask",
    "UnsuitableSetting",
    "UnsuitableSubstrate",
    "controls_by_step",
    "controls_by_trial",
    "find_task",
    "gain_of",
    "present_series",
    "present_trials",
    "read_run",
    "run_task",
    "score_classification",
    "score_regression",
    "task_names",
]
