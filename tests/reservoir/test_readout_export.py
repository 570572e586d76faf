"""Readouts written as C and as ONNX: compiled by gcc and run by onnxruntime, every answer is that of Python."""

import ctypes
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from typer.testing import CliRunner

from inmateria.cli.commands import app
from inmateria.reservoir import (
    KalmanReadout,
    LMSReadout,
    RecursiveLeastSquares,
    RecursiveLeastSquaresClassifier,
    RidgeClassifierReadout,
    RidgeReadout,
    TernaryClassifierReadout,
    TernaryReadout,
    export_readout,
    save_readout,
)
from inmateria.reservoir.readouts.c_source import single_precision_outputs
from inmateria.reservoir.readouts.integer import integer_readout, signed_digits

if shutil.which("gcc") is None:
    pytest.skip("needs gcc, which compiles what is exported", allow_module_level=True)

STRICT = [
    "gcc",
    "-std=c99",
    "-O2",
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Werror",
    "-pedantic",
    "-fsanitize=undefined,address",
]
rng = np.random.default_rng(0)
X = rng.normal(size=(120, 21))
TARGETS = np.stack([X[:, 0] - 2 * X[:, 3], 5 + X[:, 1] * 0.3 + X[:, 2]], axis=1)
WORDS = np.array(["left", "up", "right"])[np.argmax(X[:, :3], axis=1)]


def run_test_program(files: list[Path], *options: str) -> int:
    """Compile what was written, the test with it, and return its exit status."""
    program = files[1].with_suffix(".exe")
    lenient = [each for each in STRICT if each != "-Wconversion"]  # the sums are meant to be narrowed
    subprocess.run([*lenient, *options, *map(str, files[1:]), "-o", str(program)], check=True, capture_output=True)
    return subprocess.run([str(program)]).returncode


def shared(files: list[Path]) -> ctypes.CDLL:
    library = files[1].with_suffix(".so")
    subprocess.run(["gcc", "-std=c99", "-O2", "-shared", "-fPIC", str(files[1]), "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


def called(function: Any, samples: npt.NDArray[Any], outputs: int, kind: Any) -> npt.NDArray[Any]:
    found = np.zeros((len(samples), outputs), dtype=kind)
    for sample, out in zip(samples, found, strict=True):
        function(np.ascontiguousarray(sample).ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p))
    return found


@pytest.mark.parametrize(
    "readout",
    [
        RidgeReadout(), RidgeClassifierReadout(), RecursiveLeastSquares(), RecursiveLeastSquaresClassifier(),
        KalmanReadout(), LMSReadout(), TernaryReadout(), TernaryReadout(2), TernaryClassifierReadout(2, method="obq"),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("of", ["several", pytest.param("one", marks=pytest.mark.slow)])
def test_every_readout_as_onnx_and_as_c(tmp_path: Path, readout: Any, of: str) -> None:
    is_classifier = (
        readout._estimator_type == "classifier" if hasattr(readout, "_estimator_type") else "Class" in str(readout)
    )
    y: Any = WORDS if is_classifier else TARGETS
    if of == "one":
        y = X[:, 0] > 0.3 if is_classifier else TARGETS[:, 0]
    readout.fit(X, y)
    session = onnxruntime.InferenceSession(str(readout.to_onnx(tmp_path / "readout.onnx")))
    answers = dict(zip([each.name for each in session.get_outputs()], session.run(None, {"features": X}), strict=True))
    decided = readout.decision_function(X) if is_classifier else readout.predict(X)
    if isinstance(readout, RecursiveLeastSquaresClassifier) and of == "one":
        decided = np.stack([-decided, decided], axis=1)  # it keeps an output for each of two classes
    np.testing.assert_allclose(answers["outputs"], decided, rtol=1e-12, atol=1e-12)
    assert answers["outputs"].shape == decided.shape
    if is_classifier:
        assert (answers["label"] == readout.predict(X)).all()
    files = readout.to_c(tmp_path / "readout.c", X)
    assert [each.name for each in files] == ["readout.h", "readout.c", "readout_test.c"]
    assert run_test_program(files) == 0
    text = files[2].read_text()
    first = text.index("expected[")
    place = text.index("    ", first)
    files[2].write_text(
        text[:place] + "    " + ("1e9f" if "float expected" in text else "99999999") + text[text.index(",", place) :]
    )
    assert run_test_program(files) == 1  # the test program can fail
    if "planes" not in readout.get_params():
        outputs = called(
            shared(files).readout_outputs, X.astype(np.float32), np.atleast_2d(decided.T).shape[0], np.float32
        )
        np.testing.assert_allclose(outputs.reshape(decided.shape), decided, rtol=1e-4, atol=1e-4)
        exact = single_precision_outputs(
            np.atleast_2d(readout.coef_).astype(np.float32), np.atleast_1d(readout.intercept_).astype(np.float32),
            X.astype(np.float32),
        )  # fmt: skip
        np.testing.assert_array_equal(outputs, exact)


@settings(max_examples=6, deadline=None)
@given(
    seed=st.integers(0, 1000), features=st.sampled_from([1, 7, 8, 9, 240, 241, 250, 500]), planes=st.integers(1, 2),
    bits=st.sampled_from([2, 8, 9, 12, 16]), outputs=st.integers(1, 3), size=st.sampled_from([1e-6, 1.0, 1e6]),
)  # fmt: skip
def test_integers_in_c_are_those_of_python(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    features: int,
    planes: int,
    bits: int,
    outputs: int,
    size: float,
) -> None:
    """Weights, features and scales that reach the limits of sums: every output equal, and near the float ones."""
    generator = np.random.default_rng(seed)
    folder = tmp_path_factory.mktemp("c")
    readout = TernaryReadout(planes).fit(generator.normal(size=(20, features)), generator.normal(size=(20, outputs)))
    readout.planes_ = generator.integers(-1, 2, readout.planes_.shape).astype(np.int8)
    readout.planes_[:, 0] = 1  # the largest sums
    readout.scales_ = generator.uniform(0.01, 2.0, readout.scales_.shape)
    readout.coef_ = np.einsum("po,pof->of", readout.scales_, readout.planes_)
    readout.intercept_ = generator.normal(size=outputs) * size
    given_ = np.concatenate([generator.normal(size=(20, features)), np.full((2, features), 4.0) * [[1], [-1]]]) * size
    integers = integer_readout(readout, given_, bits)
    files = readout.to_c(folder / "sums.c", given_, bits=bits, vector=22)
    assert run_test_program(files) == 0
    counts = integers.counts(given_)
    kind = np.int64 if integers.wide else np.int32
    in_c = called(shared(files).sums_outputs, counts.astype(np.int8 if bits <= 8 else np.int16), outputs, kind)
    np.testing.assert_array_equal(in_c, integers.outputs(counts))
    exact = (counts * integers.step) @ readout.coef_.T + readout.intercept_
    rounding = 0.5 * integers.unit * (np.abs(np.einsum("pof,sf->spo", readout.planes_, counts)).sum(axis=1) + 1)
    assert (np.abs(integers.outputs(counts) * integers.unit - exact) <= rounding * (1 + 1e-9) + 1e-12 * size).all()


@given(st.integers(-(10**9), 10**9))
def test_signed_digits_add_up_and_no_two_are_neighbours(number: int) -> None:
    digits = signed_digits(number)
    assert sum(sign * 2**exponent for sign, exponent in digits) == number
    exponents = [exponent for _, exponent in digits]
    assert all(later - earlier >= 2 for earlier, later in pairwise(exponents))


@pytest.mark.parametrize("method", ["obq", "ste"])
def test_digits_lose_nothing_in_integers(tmp_path: Path, method: Any) -> None:
    images, labels = load_digits(return_X_y=True)
    generator = np.random.default_rng(0)
    features = np.tanh(images / 16 @ generator.normal(size=(64, 64)) / 4 + 0.5 * generator.normal(size=64))
    order = generator.permutation(len(images))
    train, test = order[:1347], order[1347:]
    readout = TernaryClassifierReadout(2, method=method, alpha=1e-2).fit(features[train], labels[train])
    integers = integer_readout(readout, features[train])
    lost = readout.score(features[test], labels[test]) - np.mean(integers.predict(features[test]) == labels[test])
    assert lost < 0.01
    files = readout.to_c(tmp_path / "digits.c", features[train])
    library = shared(files)
    counts = np.ascontiguousarray(integers.counts(features[test]).astype(np.int8))
    found = [library.digits_class(row.ctypes.data_as(ctypes.c_void_p)) for row in counts]
    assert np.array_equal(integers.classes[found], integers.predict(features[test]))  # type: ignore[index]
    assert not set("*/%") & set(_code_of(files[1]))


def _code_of(source: Path) -> str:
    """Return the functions of a source, without comments, declarations of pointers, and reading from flash."""
    text = source.read_text()
    body = text[text.index("static void add_") :]
    for harmless in ("const uint8_t *", "const int8_t *", "int32_t *", "= *features++"):
        body = body.replace(harmless, "")
    return body


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    readout = TernaryReadout().fit(X, TARGETS)
    for name in ("readout.cpp", "2nd.c", "a-b.c"):
        with pytest.raises(ValueError, match=r"is not NAME\.c"):
            readout.to_c(tmp_path / name, X)
    with pytest.raises(ValueError, match="bits is 17; allowed are 2 to 16"):
        readout.to_c(tmp_path / "a.c", X, bits=17)
    with pytest.raises(ValueError, match="features"):
        readout.to_c(tmp_path / "a.c", X[:, :3])
    with pytest.raises(ValueError, match="NaN"):
        readout.to_c(tmp_path / "a.c", np.full((1, 21), np.nan))
    with pytest.raises(ValueError, match="not fitted"):
        TernaryReadout().to_c(tmp_path / "a.c", X)
    assert not list(tmp_path.iterdir())


def test_whole_numbers_stay_as_they_are() -> None:
    counts = rng.integers(0, 1024, (50, 6)).astype(float)  # a converter of ten bits
    readout = TernaryReadout().fit(counts, counts @ [1, 0, -1, 1, 0, 1.0])
    integers = integer_readout(readout, counts, bits=11)
    assert integers.step == 1.0
    np.testing.assert_array_equal(integers.counts(counts), counts)
    np.testing.assert_allclose(integers.predict(counts)[:, 0], readout.predict(counts), atol=2.0)


def test_a_scaler_becomes_part_of_the_weights(tmp_path: Path) -> None:
    shifted = 3.0 + 10.0 * X
    pipeline = make_pipeline(StandardScaler(), RidgeClassifierReadout()).fit(shifted, WORDS)
    session = onnxruntime.InferenceSession(str(export_readout(pipeline, tmp_path / "a.onnx")[0]))
    outputs, label = session.run(None, {"features": shifted})
    np.testing.assert_allclose(outputs, pipeline.decision_function(shifted), atol=1e-10)
    assert (label == pipeline.predict(shifted)).all()
    files = export_readout(pipeline, tmp_path / "a.c", shifted)
    assert run_test_program(files) == 0
    library = shared(files)
    found = [library.a_class(row.ctypes.data_as(ctypes.c_void_p)) for row in shifted.astype(np.float32)]
    assert (pipeline.classes_[found] == pipeline.predict(shifted)).all()
    with pytest.raises(ValueError, match="ternary readout behind a scaler"):
        export_readout(make_pipeline(StandardScaler(), TernaryReadout()).fit(X, TARGETS), tmp_path / "b.c", X)
    with pytest.raises(ValueError, match="X is None; C comes with a test vector"):
        export_readout(pipeline, tmp_path / "b.c")
    with pytest.raises(ValueError, match=r"ends with '\.txt'; allowed are \.c and \.onnx"):
        export_readout(pipeline, tmp_path / "b.txt")
    with pytest.raises(TypeError, match="PCA"):
        export_readout(make_pipeline(PCA(3), RidgeReadout()).fit(X, TARGETS), tmp_path / "b.c", X)


def test_the_command_writes_what_python_writes(tmp_path: Path) -> None:
    readout = TernaryClassifierReadout(2).fit(X, WORDS)
    save_readout(readout, tmp_path / "readout.npz", device="nwn-1")
    np.save(tmp_path / "X.npy", X)
    call = [
        "export-readout",
        str(tmp_path / "readout.npz"),
        str(tmp_path / "words.c"),
        "--samples",
        str(tmp_path / "X.npy"),
    ]
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 0, done.output
    assert run_test_program([tmp_path / f"words{end}" for end in (".h", ".c", "_test.c")]) == 0
    (tmp_path / "same").mkdir()
    for file in readout.to_c(tmp_path / "same" / "words.c", X):
        assert file.read_text() == (tmp_path / file.name).read_text()
