from .catalogue import find_run, read_catalogue
from .comparison import Comparison, compare_runs
from .fitting import RecordedBlock, RecordingUnsuitable, fit_recordings
from .mlflow_export import export_to_mlflow
from .opened_run import OpenedRun, open_run
from .rerunning import Rerun, rerun
from .run_tables import runs_to_pandas, write_table
from .search_folder import SearchFolder, Trial
from .searching import SearchResult, search
from .summaries import RunSummary
from .surveying import SurveyEntry, SurveyResult, survey
from .sweep_folder import Failure, SweepFolder
from .sweeping import Progress, SweepResult, sweep

__all__ = [
    "Comparison",
    "Failure",
    "OpenedRun",
    "Progress",
    "RecordedBlock",
    "RecordingUnsuitable",
    "Rerun",
    "RunSummary",
    "SearchFolder",
    "SearchResult",
    "SurveyEntry",
    "SurveyResult",
    "SweepFolder",
    "SweepResult",
    "Trial",
    "compare_runs",
    "export_to_mlflow",
    "find_run",
    "fit_recordings",
    "open_run",
    "read_catalogue",
    "rerun",
    "runs_to_pandas",
    "search",
    "survey",
    "sweep",
    "write_table",
]
