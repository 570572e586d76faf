"""Readouts fitted to many recordings: the fit in one piece, by scikit-learn's arithmetic too, in memory that stays."""

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from leaky import LeakySimulator
from sklearn.linear_model import Ridge
from sklearn.model_selection import LeaveOneOut, cross_val_predict

from inmateria.desk import RecordedBlock, RecordingUnsuitable, fit_recordings, fitting
from inmateria.recording.format import DROPPED, Exchange, Note
from inmateria.recording.reading import RecordingError, open_recording
from inmateria.recording.writing import RecordingWriter
from inmateria.reservoir.features import SpikeCounts, VirtualNodes
from inmateria.reservoir.readouts.ridge import RidgeClassifierReadout, RidgeReadout
from inmateria.substrate import Response, Stimulus

Array = npt.NDArray[np.float64]
POSITIONS, DISCARD = 2, 3


def record(
    path: Path, seed: int, exchanges: list[int], sessions: list[int], *, spiking: bool = False, lone: bool = False,
    dropped: bool = False, ended: bool = True, outputs: int = 4,
) -> tuple[Array, Array]:  # fmt: skip
    """Write a recording; return features and targets of its steps without those after each return to rest."""
    generator, simulator = np.random.default_rng(seed), LeakySimulator(outputs=outputs, spiking=spiking)
    features, targets, since, before = [], [], 0, None
    writer = RecordingWriter(path, simulator.info)
    for steps, session in zip(exchanges, sessions, strict=True):
        if session != before:
            since, before = 0, session
            simulator.reset()
        stimulus = Stimulus(generator.uniform(-1, 1, (steps * POSITIONS, 3)), 0.01)
        response = simulator.advance(stimulus)
        assert response.signal is not None
        if lone and session == 0 and since == 0 and steps > 9:
            response.signal.flags.writeable = True
            response.signal[10, 0, 1] = 1e6  # one step of a leverage of nearly one
        writer.append([Exchange(stimulus, response, session, 0.0, 0.0)])
        values = (
            np.stack([SpikeCounts().extract(response, stimulus, simulator.info, POSITIONS)])[0]
            if spiking
            else response.signal.reshape(steps, -1)
        )
        used = np.arange(since, since + steps) >= DISCARD
        features.append(values[used])
        targets.append(wanted(stimulus.drive.reshape(steps, POSITIONS, -1))[used])
        since += steps
    if dropped:
        writer.append([Note(DROPPED, "", {"exchanges": 2, "steps": 2, "first_sequence": 0, "last_sequence": 1}, 0, 0)])
    if ended:
        writer.end()
    writer.close()
    return np.concatenate(features), np.concatenate(targets)


def wanted(drive: Array) -> Array:
    return np.stack([np.sin(drive[:, 0, 0]) * drive[:, 1, 1], drive[:, 0].sum(axis=1)], axis=1)


def targets(block: RecordedBlock) -> Array:
    assert block.drive.shape[1:] == (POSITIONS, 3)
    assert block.steps.stop - block.steps.start == len(block.drive) == len(block.in_session)
    return wanted(block.drive)


def several(folder: Path, **more: Any) -> tuple[Array, Array]:
    parts = [
        record(folder / "a.h5", 1, [40, 1, 300], [0, 0, 0], **more),
        record(folder / "b.h5", 2, [2, 2, 90, 60], [0, 1, 1, 2], **more),
        record(folder / "c.h5", 3, [200], [0], **more),
    ]
    return np.concatenate([X for X, _ in parts]), np.concatenate([y for _, y in parts])


@pytest.mark.parametrize("pieces", [1 << 24, 600])
def test_drives_of_steps_before_a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pieces: int) -> None:
    """However the recording is cut into blocks, the drive three steps before a step is that, or NaN after a reset."""
    monkeypatch.setattr(fitting, "_BYTES", pieces)
    several(tmp_path)
    found: dict[str, list[Array]] = {"a": [], "b": [], "c": []}

    def lagged(block: RecordedBlock) -> Array:
        found[block.path.stem].append(block.lagged(3)[:, 0])
        with pytest.raises(ValueError, match="lag is 5; it may be 0 to 4"):
            block.lagged(5)
        return block.drive[:, 0, 0]

    fit_recordings(tmp_path / "*.h5", RidgeReadout(validation="gcv"), lagged, positions=POSITIONS, history=4)
    assert max(len(each) for each in found["c"]) == (200 if pieces > 600 else 600 // 176)  # 22 numbers a step
    for name in "abc":
        with open_recording(tmp_path / f"{name}.h5") as recording:
            drive = recording.drive().reshape(-1, POSITIONS, 3)[:, 0]
            sessions = np.repeat(recording.exchanges["session"], recording.exchanges["steps"].astype(int) // POSITIONS)
        expected = np.full_like(drive, np.nan)
        for step in range(3, len(drive)):
            if sessions[step] == sessions[step - 3]:
                expected[step] = drive[step - 3]
        np.testing.assert_array_equal(np.concatenate(found[name])[: len(expected)], expected)  # the first pass


@pytest.mark.parametrize("validation", ["loo", "gcv"])
@pytest.mark.parametrize("lone", [False, True])
@pytest.mark.parametrize("pieces", [1 << 24, 2000])
def test_it_is_the_fit_in_one_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, validation: Any, lone: bool, pieces: int
) -> None:
    monkeypatch.setattr(fitting, "_BYTES", pieces)
    X, y = several(tmp_path, lone=lone)
    alphas = np.logspace(0, 4, 5)
    readout = RidgeReadout(alphas, validation=validation)
    told: list[tuple[int, int]] = []
    found = fit_recordings(
        tmp_path / "*.h5", readout, targets, positions=POSITIONS, discard=DISCARD,
        on_progress=lambda done, of: told.append((done, of)),
    )  # fmt: skip
    whole = RidgeReadout(alphas, validation=validation).fit(X, y)
    assert found.alpha_ == whole.alpha_
    np.testing.assert_allclose(found.loo_scores_, whole.loo_scores_, rtol=1e-9)
    np.testing.assert_allclose(found.coef_, whole.coef_, rtol=1e-10, atol=1e-10 * np.abs(whole.coef_).max())
    np.testing.assert_allclose(found.predict(X), whole.predict(X), atol=1e-10 * np.abs(y).max())
    peer = Ridge(found.alpha_, solver="svd").fit(X, y)
    np.testing.assert_allclose(found.coef_, peer.coef_, rtol=1e-7, atol=1e-9 * np.abs(whole.coef_).max())
    assert told[-1][0] == told[-1][1] == len(told)
    assert not hasattr(readout, "_solution")


def test_the_scores_are_of_samples_left_out_one_by_one(tmp_path: Path) -> None:
    parts = [record(tmp_path / f"{seed}.h5", seed, [60, 20], [0, 1], lone=True) for seed in (1, 2)]
    X, y = (np.concatenate(each) for each in zip(*parts, strict=True))
    alphas = [1e-3, 1.0, 1e3]
    found = fit_recordings(tmp_path / "?.h5", RidgeReadout(alphas), targets, positions=POSITIONS, discard=DISCARD)
    for alpha, score in zip(alphas, found.loo_scores_, strict=True):
        left_out = cross_val_predict(Ridge(alpha, solver="svd"), X, y, cv=LeaveOneOut())
        assert -score == pytest.approx(np.mean((left_out - y) ** 2), rel=1e-6)


def test_classes(tmp_path: Path) -> None:
    X, y = several(tmp_path)
    labels = np.where(y[:, 1] > 0.5, "high", np.where(y[:, 1] < -0.5, "low", "middle"))

    def of(block: RecordedBlock) -> npt.NDArray[Any]:
        level = wanted(block.drive)[:, 1]
        return np.where(level > 0.5, "high", np.where(level < -0.5, "low", "middle"))

    found = fit_recordings(
        tmp_path / "*.h5", RidgeClassifierReadout(class_weight={"low": 0.5}), of, positions=POSITIONS, discard=DISCARD,
        classes=["high", "low", "middle"],
    )  # fmt: skip
    whole = RidgeClassifierReadout(class_weight={"low": 0.5}).fit(X, labels)
    np.testing.assert_allclose(found.coef_, whole.coef_, atol=1e-10 * np.abs(whole.coef_).max())
    assert found.alpha_ == whole.alpha_
    assert (found.predict(X) == whole.predict(X)).all()


def test_spikes_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "_BYTES", 1000)
    X, y = several(tmp_path, spiking=True)
    found = fit_recordings(
        tmp_path / "*.h5", RidgeReadout(), targets, features=SpikeCounts(), positions=POSITIONS, discard=DISCARD
    )
    whole = RidgeReadout().fit(X, y)
    np.testing.assert_allclose(found.predict(X), whole.predict(X), atol=1e-10)


def test_few_steps_and_steps_that_are_all_discarded(tmp_path: Path) -> None:
    parts = [record(tmp_path / "a.h5", 1, [5], [0]), record(tmp_path / "b.h5", 2, [2, 2], [0, 1])]
    X, y = (np.concatenate(each) for each in zip(*parts, strict=True))
    assert len(X) == 2  # all of b are discarded
    found = fit_recordings(tmp_path / "?.h5", RidgeReadout(), targets, positions=POSITIONS, discard=DISCARD)
    np.testing.assert_allclose(found.coef_, RidgeReadout().fit(X, y).coef_, atol=1e-12)
    with pytest.raises(RecordingUnsuitable, match=r"b\.h5 has no steps after the 5 discarded"):
        fit_recordings(tmp_path / "b.h5", RidgeReadout(), targets, positions=POSITIONS, discard=5)


def test_what_would_give_a_wrong_readout_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    record(tmp_path / "a.h5", 1, [50], [0])
    record(tmp_path / "b.h5", 1, [50], [0], outputs=5)
    record(tmp_path / "c.h5", 1, [50], [0], dropped=True)
    record(tmp_path / "d.h5", 1, [50], [0], ended=False)

    def fit(*names: str, **more: Any) -> Any:
        return fit_recordings(
            [tmp_path / f"{name}.h5" for name in names], RidgeReadout(), more.pop("of", targets),
            **{"positions": POSITIONS, **more},
        )  # fmt: skip

    with pytest.raises(RecordingUnsuitable, match=r"b\.h5 has other features than .*a\.h5: o4@0\.0 where o0@0\.1 is"):
        fit("a", "b")
    with pytest.raises(RecordingUnsuitable, match="lacks 2 exchanges"):
        fit("a", "c")
    with pytest.raises(RecordingUnsuitable, match="exchange of 100 substrate steps"):
        fit("a", positions=3)
    with pytest.raises(ValueError, match=r"targets has shape \(3,\) for 50 steps"):
        fit("a", of=lambda block: np.zeros(3))
    with pytest.raises(ValueError, match="NaN"):
        fit("a", of=lambda block: np.full(50, np.nan))
    with pytest.raises(ValueError, match="no outputs"):
        fit("a", features=VirtualNodes(outputs=("x",)))
    with pytest.raises(ValueError, match="classes is None"):
        fit_recordings(tmp_path / "a.h5", RidgeClassifierReadout(), targets)
    with pytest.raises(FileNotFoundError, match="no recording"):
        fit_recordings(tmp_path / "z*.h5", RidgeReadout(), targets)
    with caplog.at_level(logging.WARNING, "inmateria"):
        fit("d")
    assert "was not ended; its 1 whole exchanges are used" in caplog.text
    damaged = bytearray((tmp_path / "a.h5").read_bytes())
    place = damaged.rindex(LeakySimulator().advance(Stimulus(_drive(1), 0.01)).signal.tobytes()[800:900])  # type: ignore[union-attr]
    damaged[place] ^= 1
    (tmp_path / "a.h5").write_bytes(damaged)
    with pytest.raises(RecordingError, match="damaged"):
        fit("a")


def _drive(seed: int) -> Array:
    return np.random.default_rng(seed).uniform(-1, 1, (100, 3))


SCRIPT = """
import resource, sys
import numpy as np
from inmateria.desk import fit_recordings
from inmateria.reservoir.readouts.ridge import RidgeReadout
from inmateria.desk import fitting
fitting._BYTES = 1 << 20
path, times = sys.argv[1], int(sys.argv[2])
fit_recordings([path] * times, RidgeReadout(), lambda block: block.drive[:, 0, 0])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow(tmp_path: Path) -> None:
    """Twenty times the data, of a single exchange each, in the memory of one: less than one recording more."""
    generator = np.random.default_rng(0)
    stimulus = Stimulus(generator.uniform(-1, 1, (10_000, 3)), 0.01)
    response = Response(generator.normal(size=(10_000, 1, 64)), None, 0.0, 0)
    writer = RecordingWriter(tmp_path / "a.h5", LeakySimulator(outputs=64, samples=1).info)
    writer.append(6 * [Exchange(stimulus, response, 0, 0.0, 0.0)])
    writer.end()
    writer.close()
    peak = [
        int(subprocess.run(
            [sys.executable, "-c", SCRIPT, str(tmp_path / "a.h5"), str(times)],
            capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        ).stdout)
        for times in (1, 20)
    ]  # fmt: skip
    assert peak[1] - peak[0] < (tmp_path / "a.h5").stat().st_size / 1024


ON_DASK = """
import numpy as np
from inmateria.desk import fit_recordings
from inmateria.reservoir.readouts.ridge import RidgeReadout

def targets(block):
    drive = block.drive
    return np.stack([np.sin(drive[:, 0, 0]) * drive[:, 1, 1], drive[:, 0].sum(axis=1)], axis=1)

if __name__ == "__main__":
    found = fit_recordings("*.h5", RidgeReadout(), targets, positions=2, discard=3, dask="local", workers=2)
    np.savez("found.npz", coef=found.coef_, alpha=found.alpha_)
"""


@pytest.mark.slow
def test_on_a_dask_cluster(tmp_path: Path) -> None:
    X, y = several(tmp_path, lone=True)
    (tmp_path / "on_dask.py").write_text(ON_DASK)
    done = subprocess.run([sys.executable, "on_dask.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found, whole = np.load(tmp_path / "found.npz"), RidgeReadout().fit(X, y)
    assert found["alpha"] == whole.alpha_
    np.testing.assert_allclose(found["coef"], whole.coef_, atol=1e-10 * np.abs(whole.coef_).max())
