"""The terminal's screen of a run and of a sweep: what was told, within its columns and lines."""

import io

import msgspec
import pytest
from rich.console import Console

from inmateria.cli.folder_screen import run_screen, sweep_screen
from inmateria.live.messages import FinalScore, RunState, StageState, SweepRow, SweepState, WorkerState

RUN = RunState(
    state="running", task="memory", on="nanowire://", seconds=75.0, reading="An online readout. " * 20,
    stages=tuple(StageState(name=f"stage {k}", done=k, of=40, seconds=1.0) for k in range(40)),
)  # fmt: skip
SWEEP = SweepState(
    folder="s", what="sweep", task="memory", of=1000, done=300, failed=1, running=2, left=697, state="running",
    seconds=30.0, remaining=90.0, metric="r²", columns=("wires",),
    rows=tuple(
        SweepRow(point=str(k), state="done", values=(str(k),), score=1.0 - k / 1000, gain=0.1) for k in range(200)
    ),
    workers=tuple(WorkerState(name=f"host, {k}", lives=k > 0, point="aa", label="wires=90") for k in range(3)),
    rows_left_out=100,
)  # fmt: skip


def printed(screen: object, width: int, height: int) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, height=height, color_system=None).print(screen)
    lines = out.getvalue().rstrip("\n").split("\n")
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    return lines


@pytest.mark.parametrize(("width", "height"), [(80, 23), (120, 50)])
def test_a_run_fits_and_ends_with_its_scores_and_verdict(width: int, height: int) -> None:
    lines = printed(run_screen(RUN, [0.1, 0.5, 0.75], "r² of the last 200", width, height), width, height)
    text = "\n".join(lines)
    assert "memory  running" in text
    assert "for 1 min 15 s" in text
    assert "r² of the last 200: 0.75" in text
    assert "stage 39" in text  # the present one
    scores = tuple(
        FinalScore(on=f"control {k}", readout="sum", features=1, score=0.5, spread=0.1, control=k > 0)
        for k in range(60)
    )
    over = msgspec.structs.replace(RUN, state="finished", verdict="The matter helped. " * 8, scores=scores)
    text = "\n".join(printed(run_screen(over, [], "", width, height), width, height))
    assert "The matter helped." in text
    assert "control 0" in text
    assert "more controls are not shown" in text


@pytest.mark.parametrize(("width", "height"), [(80, 23), (120, 50)])
def test_a_sweep_fits_and_has_its_workers_and_best_points(width: int, height: int) -> None:
    text = "\n".join(printed(sweep_screen(SWEEP, width, height), width, height))
    assert "300 done, 2 running, 1 failed, 697 left; for 30 s, 1 min 30 s left" in text
    assert "host, 0 (gone): wires=90" in text
    assert "1.000 0.100 done" in " ".join(text.split()).replace("  ", " ")
    assert "more points are not shown" in text
