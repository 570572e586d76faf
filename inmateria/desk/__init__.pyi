from .catalogue import find_run, read_catalogue
from .comparison import Comparison, compare_runs
from .rerunning import Rerun, rerun
from .run_tables import runs_to_pandas, write_table
from .search_folder import SearchFolder, Trial
from .searching import SearchResult, search
from .summaries import Gain, RunSummary
from .sweep_folder import Failure, SweepFolder
from .sweeping import Progress, SweepResult, sweep

__all__ = [
    "Comparison",
    "Failure",
    "Gain",
    "Progress",
    "Rerun",
    "RunSummary",
    "SearchFolder",
    "SearchResult",
    "SweepFolder",
    "SweepResult",
    "Trial",
    "compare_runs",
    "find_run",
    "read_catalogue",
    "rerun",
    "runs_to_pandas",
    "search",
    "sweep",
    "write_table",
]
