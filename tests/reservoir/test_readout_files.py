"""Files of readouts: what is read predicts and goes on learning bit for bit, and what is damaged is refused."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import is_classifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import inmateria.reservoir
from inmateria.reservoir import (
    FORCEReadout,
    KalmanReadout,
    LMSReadout,
    ReadoutFileError,
    RecursiveLeastSquares,
    RecursiveLeastSquaresClassifier,
    RidgeClassifierReadout,
    RidgeReadout,
    ShiftLMSReadout,
    TernaryClassifierReadout,
    TernaryReadout,
    load_readout,
    read_readout_header,
    save_readout,
)
from inmateria.reservoir.readout_files import decode_readout, encode_readout

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(60, 11))
NUMBERS = X @ GENERATOR.normal(size=(11, 3)) + 0.1 * GENERATOR.normal(size=(60, 3))
LABELS = np.array(["a", "b", "c"])[np.digitize(NUMBERS[:, 0], np.quantile(NUMBERS[:, 0], [0.3, 0.6]))]
MISSING = np.where(GENERATOR.random(NUMBERS.shape) < 0.3, np.nan, NUMBERS)

MADE: dict[str, Any] = {
    "ridge": lambda: RidgeReadout().fit(X, NUMBERS),
    "ridge of one target": lambda: RidgeReadout(np.logspace(-3, 3, 5)).fit(X, NUMBERS[:, 0]),
    "ridge in single precision": lambda: RidgeReadout(fit_intercept=False).fit(X.astype(np.float32), NUMBERS),
    "wide ridge": lambda: RidgeReadout([1, 2]).fit(X[:5], NUMBERS[:5]),
    "ridge in chunks": lambda: RidgeReadout().partial_fit(X[:30], NUMBERS[:30]).partial_fit(X[30:], NUMBERS[30:]),
    "ridge of weights": lambda: RidgeReadout.of_weights(np.ones((2, 11)), [0.0, 1.0]),
    "sum": lambda: RidgeReadout().fit(X[:30], NUMBERS[:30]) + RidgeReadout().fit(X[30:], NUMBERS[30:]),
    "ridge classifier": lambda: RidgeClassifierReadout(1.0, validation=None).fit(X, LABELS),
    "ridge classifier of two": lambda: RidgeClassifierReadout().fit(X, LABELS == "a"),
    "ridge classifier of objects": lambda: RidgeClassifierReadout().fit(X, LABELS.astype(object)),
    "ridge classifier of numbers": lambda: RidgeClassifierReadout().fit(X, np.digitize(X[:, 0], [-0.5, 0.5])),
    "data frame": lambda: RidgeReadout().fit(pd.DataFrame(X, columns=[f"v{k}" for k in range(11)]), NUMBERS),
    "pipeline": lambda: make_pipeline(StandardScaler(), RidgeClassifierReadout()).fit(X, LABELS),
    "pipeline without mean": lambda: make_pipeline(StandardScaler(with_mean=False), RidgeReadout()).fit(X, NUMBERS),
    "RLS": lambda: RecursiveLeastSquares(0.99).fit(X, NUMBERS),
    "RLS with late targets": lambda: RecursiveLeastSquares(delay=3).fit(X, NUMBERS[:, 0]),
    "RLS with missing targets": lambda: RecursiveLeastSquares().fit(X, MISSING),
    "RLS classifier": lambda: RecursiveLeastSquaresClassifier().fit(X, LABELS),
    "Kalman": lambda: KalmanReadout(np.float64(1e-3)).fit(X, MISSING),
    "LMS": lambda: LMSReadout(delay=2).fit(X, NUMBERS),
    "LMS by shifts": lambda: ShiftLMSReadout(delay=2).fit(X, NUMBERS),
    "FORCE": lambda: FORCEReadout(every=3).fit(X, NUMBERS),
    "FORCE, begun": lambda: FORCEReadout().begin(11, 3),
    "ternary": lambda: TernaryReadout(2).fit(X, NUMBERS),
    "ternary of one target": lambda: TernaryReadout().fit(X, NUMBERS[:, 0]),
    "ternary classifier": lambda: TernaryClassifierReadout(2).fit(X, LABELS),
}


def test_every_readout_of_the_package_is_among_those_here() -> None:
    """By what the package offers, so that a new readout cannot be forgotten."""
    offered = {
        each
        for each in inmateria.reservoir.__all__
        if isinstance(found := getattr(inmateria.reservoir, each), type)
        and hasattr(found, "predict")
        and hasattr(found, "get_params")
    }
    offered -= {"ContrastiveClassifier", "ContrastiveRegressor"}  # what they have learned is in the matter
    tried = {type(getattr(make(), "steps", [(0, make())])[-1][1]).__name__ for make in MADE.values()}
    assert tried == offered


def decided(readout: Any, data: Any = X) -> Any:
    return readout.decision_function(data) if is_classifier(readout) else readout.predict(data)


def learn_more(readout: Any) -> None:
    targets = NUMBERS
    if is_classifier(readout):
        targets = readout.classes_[np.arange(len(X)) % len(readout.classes_)]
    elif hasattr(readout, "_flat") and readout._flat:
        targets = NUMBERS[:, 0]
    elif readout.coef_.shape[0] == 2:
        targets = NUMBERS[:, :2]
    names = getattr(readout, "feature_names_in_", None)
    readout.partial_fit(X[::-1] if names is None else pd.DataFrame(X[::-1], columns=names), targets)


@pytest.mark.parametrize("name", MADE)
def test_what_is_read_predicts_and_goes_on_learning_bit_for_bit(name: str, tmp_path: Path) -> None:
    readout, path = MADE[name](), tmp_path / "readout.npz"
    save_readout(readout, path, device="chip-1")
    again = load_readout(path, device="chip-1")
    assert type(again) is type(readout)
    data = pd.DataFrame(X, columns=readout.feature_names_in_) if name == "data frame" else X
    assert np.array_equal(decided(again, data), decided(readout, data))
    assert np.array_equal(decided(again, data[:1]), decided(readout, data[:1]))
    assert np.array_equal(again.predict(data), readout.predict(data))
    assert again.predict(data).dtype == readout.predict(data).dtype
    assert all(np.array_equal(again.get_params()[each], value) for each, value in readout.get_params(deep=False).items()
               if each != "steps")  # fmt: skip
    if hasattr(readout, "partial_fit"):
        try:
            learn_more(readout)
        except ValueError:  # of weights, without data
            assert name == "ridge of weights"
            return
        learn_more(again)
        assert np.array_equal(decided(again, data), decided(readout, data))
    if hasattr(readout, "step"):
        for x, y in zip(X[:5], NUMBERS[:5], strict=True):
            target = y[: readout.coef_.shape[0]]
            assert np.array_equal(again.step(x, target), readout.step(x, target))


def test_a_restored_readout_can_be_added_to_another() -> None:
    first, second = (RidgeReadout().fit(X[part], NUMBERS[part]) for part in (slice(30), slice(30, None)))
    restored = decode_readout(encode_readout(first)) + decode_readout(encode_readout(second))
    assert np.array_equal(restored.coef_, (first + second).coef_)


def test_the_file_is_an_npz_that_numpy_reads_without_pickle_and_a_header_in_json(tmp_path: Path) -> None:
    readout, path = RidgeClassifierReadout().fit(X, LABELS), tmp_path / "digits.npz"
    save_readout(readout, path, device="chip-1")
    with np.load(path, allow_pickle=False) as file:
        assert any(np.array_equal(file[name], readout.coef_) for name in file.files if name.startswith("array"))
        described = json.loads(file["readout.json"])
    header = read_readout_header(path)
    assert described["class_name"] == header.class_name == "RidgeClassifierReadout"
    assert (header.device, header.features, header.classes) == ("chip-1", 11, ("a", "b", "c"))
    assert header.versions["inmateria"] == inmateria.__version__
    assert encode_readout(readout) == encode_readout(readout)
    assert [each.name for each in tmp_path.iterdir()] == ["digits.npz"]


@pytest.mark.parametrize(
    ("readout", "says"),
    [
        (RidgeReadout(), "not fitted"),
        (RecursiveLeastSquares(), "not fitted"),
        (TernaryReadout(), "not fitted"),
        (LogisticRegression().fit(X, LABELS), "cannot be kept"),
        (type("RidgeReadout", (RidgeReadout,), {})().fit(X, NUMBERS), "cannot be kept"),
        (RidgeReadout(alphas=[1.0, 2.0j]), "not fitted"),
    ],
)
def test_what_is_no_fitted_readout_is_not_written(readout: Any, says: str, tmp_path: Path) -> None:
    path = tmp_path / "readout.npz"
    path.write_bytes(b"as before")
    with pytest.raises(ReadoutFileError, match=says):
        save_readout(readout, path)
    assert path.read_bytes() == b"as before"
    assert len(list(tmp_path.iterdir())) == 1


def test_another_device_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "readout.npz"
    save_readout(RidgeReadout().fit(X, NUMBERS), path, device="chip-1")
    with pytest.raises(ReadoutFileError, match="fitted on chip-1, and is to be used on chip-2"):
        load_readout(path, device="chip-2")
    save_readout(RidgeReadout().fit(X, NUMBERS), path)
    with pytest.raises(ReadoutFileError, match="does not name"):
        load_readout(path, device="chip-2")


SMALL = encode_readout(RecursiveLeastSquares(delay=1).fit(X[:20, :3], NUMBERS[:20]))
SMALL_PREDICTION = decode_readout(SMALL).predict(X[:, :3])


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 8 * len(SMALL) - 1))
def test_a_flipped_bit_is_refused_or_changes_nothing(bit: int) -> None:
    """Some bits of a zip, such as the time of a member, mean nothing."""
    damaged = bytearray(SMALL)
    damaged[bit // 8] ^= 1 << bit % 8
    try:
        readout = decode_readout(bytes(damaged))
    except ReadoutFileError:
        return
    assert np.array_equal(readout.predict(X[:, :3]), SMALL_PREDICTION)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(SMALL) - 1))
def test_a_file_that_was_cut_is_refused(length: int) -> None:
    with pytest.raises(ReadoutFileError):
        decode_readout(SMALL[:length])


def forged(written: bytes, change: Any) -> bytes:
    """Change header and arrays as somebody who knows the format would, with right checksums."""
    import hashlib

    with zipfile.ZipFile(io.BytesIO(written)) as archive:
        header = json.loads(archive.read("readout.json"))
        arrays = {name: np.load(io.BytesIO(archive.read(f"{name}.npy"))) for name in header["arrays"]}
    change(header, arrays)
    members = {}
    for name, array in arrays.items():
        buffer = io.BytesIO()
        if isinstance(array, bytes):
            buffer.write(array)
        else:
            np.lib.format.write_array(buffer, array, version=None)
        members[name] = buffer.getvalue()
    header["arrays"] = {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}
    encoded = json.dumps(header).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readout.json", encoded)
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
        archive.comment = hashlib.sha256(encoded).hexdigest().encode()
    return buffer.getvalue()


class Executed:
    done = False

    def __reduce__(self) -> Any:
        return (setattr, (Executed, "done", True))


def huge(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": (1 << 50, 8)})
    return buffer.getvalue() + array.tobytes()


def test_what_was_forged_with_right_checksums_is_refused_and_no_code_is_run() -> None:
    def same(header: Any, arrays: Any) -> None: ...

    assert np.array_equal(decode_readout(forged(SMALL, same)).predict(X[:, :3]), SMALL_PREDICTION)

    for name in json.loads(zipfile.ZipFile(io.BytesIO(SMALL)).read("readout.json"))["arrays"]:
        for change in (
            lambda array: array[..., :-1],
            lambda array: np.concatenate([array, array], axis=-1),
            lambda array: array[np.newaxis],
            lambda array: array.astype(np.float32),
            lambda array: array.astype(">f8"),
            lambda array: np.full(array.shape, Executed(), dtype=object),
            huge,
        ):
            with pytest.raises(ReadoutFileError):
                decode_readout(forged(SMALL, lambda header, arrays, n=name, f=change: arrays.update({n: f(arrays[n])})))
    assert not Executed.done


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header["readout"].update({"class": "os.system"}),
        lambda header: header["readout"].update({"class": "Moments"}),
        lambda header: header["readout"].update({"class": "KalmanReadout"}),
        lambda header: header["readout"].update({"class": "Pipeline", "steps": []}),
        lambda header: header["readout"]["state"].update({"predict": 1}),
        lambda header: header["readout"]["state"].update({"_features": 4}),
        lambda header: header["readout"]["state"].update({"_features": -1, "n_features_in_": -1}),
        lambda header: header["readout"]["state"].update({"n_features_in_": 10**12}),
        lambda header: header["readout"]["state"].update({"n_features_in_": True}),
        lambda header: header["readout"]["state"].update({"_missing": {"part": "Popen", "state": {}}}),
        lambda header: header["readout"]["state"].update({"_missing": {"array": "array-0"}}),
        lambda header: header["readout"]["state"].update({"_weights": 3.0}),
        lambda header: header["readout"]["state"].update({"_weights": {"array": "../../etc/passwd"}}),
        lambda header: header["readout"]["state"].pop("_weights"),
        lambda header: header.update(version=2),
        lambda header: header.update(format="another"),
        lambda header: header.pop("readout"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(change: Any) -> None:
    with pytest.raises(ReadoutFileError):
        decode_readout(forged(SMALL, lambda header, arrays: change(header)))


def test_what_is_no_zip_or_another_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    for write in (
        lambda: path.write_bytes(b""),
        lambda: path.write_bytes(b"PK\x03\x04 and so on"),
        lambda: np.savez(path, coef=np.ones(3)),
        lambda: np.savez_compressed(path, **{"readout.json": np.ones(3)}),
    ):
        write()
        for read in (load_readout, read_readout_header):
            with pytest.raises(ReadoutFileError, match="is not the file of a readout, or damaged"):
                read(path)
    with pytest.raises(FileNotFoundError):
        load_readout(tmp_path / "none.npz")
