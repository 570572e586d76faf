"""A run opened for analysis: its scores and exchanges as data frames, and what was recorded as an xarray dataset."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inmateria.desk.catalogue import find_run
from inmateria.notebook_html import notebook_html
from inmateria.one_line import one_line
from inmateria.protocols.runs import Run, RunFolderError, read_run, shown_on
from inmateria.recording.reading import Recording, open_recording

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["OpenedRun", "open_run"]

_MOST_SCORES = 8


@dataclass(frozen=True, eq=False)
class OpenedRun:
    """A run, with what it recorded; see `open_run`.

    Parameters
    ----------
    folder : Path
        The run folder.
    run : Run
        Settings, substrate and outcome.
    recordings : tuple of Path
        Its recordings: none if the run kept nothing, several if it was on several substrates.
    """

    folder: Path
    run: Run
    recordings: tuple[Path, ...]

    __repr__ = one_line

    def _repr_html_(self) -> str:
        run, outcome = self.run, self.run.outcome
        facts: dict[str, Any] = {
            "on": f"{shown_on(run)} ({run.substrate.kind})",
            "created": run.created,
            "took": None if run.seconds is None else f"{run.seconds:.1f} s",
            "settings": ", ".join(f"{name}={value}" for name, value in run.settings.items()),
            "folder": self.folder,
            "recordings": len(self.recordings) or "none",
        }
        if outcome.scores:
            facts[outcome.metric] = f"chance {outcome.chance:.3g}"
        for score in outcome.scores[:_MOST_SCORES]:
            spread = f" ± {np.std(score.splits):.3f}" if len(score.splits) > 1 else ""
            facts[f"{score.on}, {score.readout}"] = f"{score.score:.3f}{spread}{' (control)' if score.control else ''}"
        if len(outcome.scores) > _MOST_SCORES:
            facts["further scores"] = len(outcome.scores) - _MOST_SCORES
        return notebook_html(f"Run of {run.task}", facts)

    def scores(self) -> "pd.DataFrame":
        """Return a row for each split of each score: ``on``, ``readout``, ``control``, ``features``, ``split``, ...

        The last columns are ``score``, and ``error``, which is NaN if the task states none.
        """
        rows = [
            {
                "on": score.on, "readout": score.readout, "control": score.control, "features": score.features,
                "split": split, "score": value,
                "error": score.errors[split] if split < len(score.errors) else float("nan"),
            }
            for score in self.run.outcome.scores
            for split, value in enumerate(score.splits)
        ]  # fmt: skip
        return _pandas().DataFrame(rows)

    def curves(self) -> "pd.DataFrame":
        """Return the points of all lines of all figures: ``figure``, ``line``, ``x`` and ``y``."""
        rows = [
            {"figure": curves.heading, "line": line, "x": x, "y": y}
            for curves in self.run.outcome.curves
            for line, values in curves.lines.items()
            for x, y in zip(curves.x, values, strict=True)
        ]
        return _pandas().DataFrame(rows, columns=["figure", "line", "x", "y"])

    def exchanges(self, recording: int = 0) -> "pd.DataFrame":
        """Return a row for each exchange: session, start by the device's clock in s, steps, round trip in s, ...

        Parameters
        ----------
        recording : int
            Number of the recording.
        """
        names = ["sequence", "session", "start", "step", "steps", "samples", "spikes", "sent", "round_trip"]
        with self._recording(recording) as opened:
            return _pandas().DataFrame({name: opened.exchanges[name] for name in names})

    def to_xarray(self, first: int = 0, last: int | None = None, *, recording: int = 0) -> "xr.Dataset":
        """Read what was sent and recorded, in memory.

        Parameters
        ----------
        first, last : int
            Exchanges to be read: the first, and the one after the last; all by default.
        recording : int
            Number of the recording.

        Returns
        -------
        xarray.Dataset
            ``drive`` (step, input) and ``signal`` (step, sample, output), of a substrate with a signal; ``spike_time``
            and ``spike_channel`` (spike), of one with spikes. Coordinates are the channels' names, the time of each
            step by the device's clock in s, its exchange and its session.

        Raises
        ------
        RecordingError
            If the recording is damaged.
        ValueError
            If steps have different numbers of samples, so that there is no such array; read fewer exchanges.
        """
        with self._recording(recording) as opened:
            return _dataset(opened, first, len(opened) if last is None else last)

    @contextmanager
    def _recording(self, number: int) -> Iterator[Recording]:
        if not self.recordings:
            raise RunFolderError(f"{self.folder} has no recording (keep is {self.run.keep!r}); run it with --keep all")
        with open_recording(self.recordings[number]) as opened:
            yield opened


def open_run(run: str | Path = "last", runs: str | Path = "runs") -> OpenedRun:
    """Open a run for analysis.

    Parameters
    ----------
    run : str or Path
        Its folder, the folder's name, a part of that which no other has, or ``"last"``.
    runs : str or Path
        Folder in which runs are looked for by name.

    Raises
    ------
    RunFolderError
        If there is none, or several have that part.
    """
    folder = find_run(str(run), runs)
    return OpenedRun(folder, read_run(folder), tuple(sorted(folder.glob("recording*.h5"))))


def _dataset(recording: Recording, first: int, last: int) -> "xr.Dataset":
    try:
        import xarray as xr
    except ImportError:
        raise ImportError("datasets need xarray; pip install 'inmateria[xarray]'") from None
    info, rows = recording.info, recording.exchanges[first:last]
    steps = rows["steps"].astype(np.intp)
    within = np.arange(steps.sum()) - np.repeat(np.cumsum(steps) - steps, steps)
    coords: dict[str, Any] = {
        "time": ("step", np.repeat(rows["start"], steps) + within * np.repeat(rows["step"], steps), {"units": "s"}),
        "exchange": ("step", np.repeat(np.arange(first, first + len(rows)), steps)),
        "session": ("step", np.repeat(rows["session"], steps)),
        "input": [channel.name for channel in info.inputs],
        "output": [channel.name for channel in info.outputs],
        "input_unit": ("input", [channel.unit for channel in info.inputs]),
        "output_unit": ("output", [channel.unit for channel in info.outputs]),
    }
    arrays: dict[str, Any] = {"drive": (("step", "input"), recording.drive(first, last))}
    if info.sampling_rate is not None:
        each = np.unique(rows["samples"].astype(np.intp)[steps > 0] // steps[steps > 0])
        if len(each) > 1:
            raise ValueError(
                f"steps of exchanges {first} to {last - 1} have {each[0]} to {each[-1]} samples; read those of one kind"
            )
        signal = recording.signal(first, last)
        arrays["signal"] = (("step", "sample", "output"), signal.reshape(int(steps.sum()), -1, len(info.outputs)))
    if info.spiking:
        spikes = recording.spikes(first, last)
        arrays["spike_time"] = ("spike", spikes["time"], {"units": "s"})
        arrays["spike_channel"] = ("spike", spikes["channel"])
    return xr.Dataset(arrays, coords, {"id": info.id, "kind": info.kind, "created": recording.created})


def _pandas() -> Any:
    try:
        import pandas as pd
    except ImportError:
        raise ImportError("data frames need pandas; pip install pandas") from None
    return pd
