"""Files made to run code, to be read from elsewhere, or to fill the memory: each is one clear error."""

import json
import os
import pickle
import resource
import sqlite3
import struct
import subprocess
import sys
import zipfile
import zlib
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import h5py
import neo
import numpy as np
import pandas as pd
import pynwb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from leaky import LeakySimulator
from scipy.io import savemat

from inmateria.adapters.neuroplatform.files import read_export
from inmateria.recording import Exchange, RecordingError, RecordingWriter
from inmateria.recording.formats import memory
from inmateria.recording.formats.export import export
from inmateria.recording.formats.foreign_formats import ALLOWED
from inmateria.recording.formats.importing import Stated, import_file, plan_import
from inmateria.substrate import Stimulus

ENDINGS = ["", ".pkl", ".pickle", ".nix", ".nwb", ".h5", ".abf", ".csv", ".txt", ".mat", ".npy", ".npz", ".dat", ".raw"]


class Bomb:
    """Pickled, it makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.write_text, (self.path, "code was run")


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    return tmp_path / "trap"


@pytest.fixture(autouse=True)
def nothing_was_run(trap: Path):
    yield
    assert not trap.exists()


def refused(path: Path, says: str) -> None:
    before = sorted(path.parent.iterdir())
    with pytest.raises(RecordingError, match=says) as told:
        import_file(path, path.parent / "out.h5", stated=Stated(driven=["none"], rate=1.0) if "table" in says else None)
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 2500
    assert sorted(path.parent.iterdir()) == before


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_is_never_loaded_whatever_its_ending(tmp_path: Path, trap: Path, ending: str, protocol: int) -> None:
    path = tmp_path / f"block{ending}"
    path.write_bytes(pickle.dumps(Bomb(trap), protocol=protocol))
    refused(path, "cannot be imported: its content is of no format|is not text|is not a number|no numbers")
    if ending == ".pkl" and protocol == 2:
        neo.PickleIO(str(path)).read_block  # noqa: B018 (what `neo.io.get_io` would have taken)
        assert type(neo.io.get_io(str(path))) is neo.PickleIO


def test_the_error_lists_what_is_allowed_and_no_reader_that_runs_code(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\x00\x01\x02")
    with pytest.raises(RecordingError) as told:
        plan_import(tmp_path / "x")
    assert all(each.name in str(told.value) for each in ALLOWED)
    readers = {each.reader for each in ALLOWED}
    assert readers.isdisjoint({"PickleIO", "ElphyIO", "PhyIO", "NeurosharectypesIO", "Plexon2IO", "CedIO", "MaxwellIO"})
    assert all(hasattr(neo.io, name) for name in readers - {"table", "nwb", "arrays"})


@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_arrays_of_objects_are_not_loaded(tmp_path: Path, trap: Path, kind: str) -> None:
    data = np.array([Bomb(trap)], dtype=object)
    if kind == "npy":
        np.save(tmp_path / "x.npy", data, allow_pickle=True)
    else:
        np.savez(tmp_path / "x.npz", x=data, allow_pickle=True)
    refused(tmp_path / f"x.{kind}", "holds objects of Python")


def test_a_header_of_numpy_that_lies_is_an_error(tmp_path: Path) -> None:
    def npy(header: str, data: bytes = b"12345678") -> bytes:
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data

    for header, says in (
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }\n", "declares 8e\\+03 GB of data"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }\n", "declares 24 bytes and has 8"),
        ("__import__('os').system('true')\n", "cannot be read"),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n", "objects of Python"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }\n", "declares|cannot be read"),
    ):
        (tmp_path / "x.npy").write_bytes(npy(header))
        refused(tmp_path / "x.npy", says)


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow 400 MB, so that a bomb need not be as large as this machine's memory."""
    monkeypatch.setattr(memory, "available_memory", lambda: 400_000_000)


def bomb_of_zeros(path: Path, size: int) -> None:
    """Write a zip of one array of zeros, a thousandth of its size."""
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({size},), }}\n".encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, file.open("x.npy", "w", force_zip64=True) as stream:
        stream.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
        for _ in range(size // 10_000_000):
            stream.write(bytes(10_000_000))


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path, little_memory: None) -> None:
    bomb_of_zeros(tmp_path / "x.npz", 600_000_000)
    assert (tmp_path / "x.npz").stat().st_size < 1_000_000
    refused(tmp_path / "x.npz", "declares 0.6 GB of data")
    data = bytearray((tmp_path / "x.npz").read_bytes())
    at = data.rindex(b"PK\x01\x02")  # the directory says 8 bytes; there are more
    data[at + 24 : at + 28] = struct.pack("<I", 200)
    (tmp_path / "x.npz").write_bytes(bytes(data))
    refused(tmp_path / "x.npz", "declares|cannot be read")


def test_a_matlab_bomb_is_not_unpacked(tmp_path: Path, little_memory: None) -> None:
    savemat(tmp_path / "x.mat", {"x": np.zeros((1, 20_000_000)), "t": np.zeros(3)}, do_compression=True)
    assert (tmp_path / "x.mat").stat().st_size < 1_000_000
    refused(tmp_path / "x.mat", "declares 0.16 GB of data")


def matlab(*elements: bytes) -> bytes:
    return b"MATLAB 5.0 MAT-file".ljust(116) + bytes(8) + b"\x00\x01IM" + b"".join(elements)


def matrix(shape: tuple[int, ...], data: bytes, kind: int = 6, declared: int | None = None) -> bytes:
    flags = struct.pack("<IIII", 6, 8, kind, 0)
    dims = struct.pack("<II", 5, 4 * len(shape)) + struct.pack(f"<{len(shape)}i", *shape) + bytes(-4 * len(shape) % 8)
    body = flags + dims + struct.pack("<IIcxxxxxxx", 1, 1, b"x")
    body += struct.pack("<II", 9, len(data) if declared is None else declared) + data
    return struct.pack("<II", 14, len(body)) + body


@pytest.mark.parametrize(
    "content",
    [
        matlab(matrix((2**31 - 1, 2**31 - 1), bytes(8))),
        matlab(matrix((-1, 3), bytes(24))),
        matlab(matrix((1, 3), bytes(8))),
        matlab(matrix((1, 1), bytes(8), declared=2**32 - 8)),
        matlab(matrix((1, 1), bytes(8))[:40]),
        matlab(struct.pack("<II", 15, 2**31) + zlib.compress(bytes(1000))),
        matlab(struct.pack("<II", 999, 8) + bytes(8)),
        matlab(),
    ],
)
def test_strange_matlab_files_are_errors(tmp_path: Path, little_memory: None, content: bytes) -> None:
    (tmp_path / "x.mat").write_bytes(content)
    refused(tmp_path / "x.mat", "declares|cannot be|has no columns|negative size")


def test_matlab_objects_and_functions_are_not_looked_into(tmp_path: Path) -> None:
    savemat(tmp_path / "x.mat", {"s": {"a": 1}, "c": np.array(["a", 1.0], dtype=object)})
    refused(tmp_path / "x.mat", "no columns of numbers; there are: variable 's' of class struct")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """Make a file beside the one that is imported, whose numbers must not be read."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "secret.bin").write_bytes(np.full(1000, 42.0).tobytes())
    with h5py.File(folder / "secret.h5", "w") as file:
        file["x"] = np.full(1000, 42.0)
    return folder


def with_external_link(file: h5py.File, secret: Path) -> None:
    file["deep/er"] = 1
    file["deep"]["x"] = h5py.ExternalLink(str(secret / "secret.h5"), "/x")


def with_external_storage(file: h5py.File, secret: Path) -> None:
    file.create_dataset("x", (1000,), "f8", external=[(str(secret / "secret.bin"), 0, h5py.h5f.UNLIMITED)])


def with_virtual_dataset(file: h5py.File, secret: Path) -> None:
    layout = h5py.VirtualLayout((1000,), "f8")
    layout[:] = h5py.VirtualSource(str(secret / "secret.h5"), "x", (1000,))
    file.create_virtual_dataset("x", layout)


def with_huge_shape(file: h5py.File, secret: Path) -> None:
    file.create_dataset("x", (10**12, 1000), "f8", chunks=(1000, 1))


def with_a_bomb(file: h5py.File, secret: Path) -> None:
    file.create_dataset("x", (10**9,), "i1", chunks=(10**6,), compression="gzip")


def with_a_loop(file: h5py.File, secret: Path) -> None:
    file.create_group("a/b")
    file["a/b/c"] = file["a"]


def with_a_soft_loop(file: h5py.File, secret: Path) -> None:
    file.create_group("a")["up"] = h5py.SoftLink("/")


def with_depth(file: h5py.File, secret: Path) -> None:
    file.create_group("/".join("a" * 200))


@pytest.mark.parametrize("like", ["nix", "nwb", "neither", "mat", "export"])
@pytest.mark.parametrize(
    ("make", "says"),
    [
        (with_external_link, "has a link 'x' to another file"),
        (with_external_storage, "keeps the data of 'x' in another file"),
        (with_virtual_dataset, "has a virtual dataset 'x'"),
        (with_huge_shape, "declares 8e\\+06 GB of data"),
        (with_a_bomb, "declares 1 GB of data"),
        (with_a_loop, "has a group 'c' that contains itself"),
        (with_a_soft_loop, "has a link 'up' to a group that contains it"),
        (with_depth, "nests groups more than 64 deep"),
    ],
)
def test_hdf5_that_leads_elsewhere_or_nowhere(
    tmp_path: Path, secret: Path, little_memory: None, like: str, make: object, says: str
) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w", userblock_size=512 if like == "mat" else 0) as file:
        if like == "nix":
            file.attrs.update(format="nix", version=(1, 2, 1))
        if like == "nwb":
            file.attrs["nwb_version"] = "2.9.0"
        if like == "export":
            file.create_group("fs1_wholelife_events")
        make(file, secret)
    if like == "mat":
        with path.open("r+b") as raw:
            raw.write(b"MATLAB 7.3 MAT-file".ljust(512))
    if like == "export":
        with pytest.raises(RecordingError, match=says):
            read_export(path)
        return
    refused(path, says)


@pytest.mark.parametrize("like", ["nix", "nwb"])
def test_hdf5_of_wrong_types_and_references(tmp_path: Path, like: str) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.attrs.update({"format": "nix", "version": (1, 2, 1)} if like == "nix" else {"nwb_version": "2.9.0"})
        for name in ("data", "metadata", "acquisition", "stimulus", "units", "session_start_time", "general"):
            file[name] = np.array([file.ref, file.ref], dtype=h5py.ref_dtype)
            file[name].attrs["neurodata_type"] = file.ref
    refused(tmp_path / "x.h5", "cannot be read|has 0 blocks")


def test_nwb_with_an_external_image_series_reads_no_other_file(tmp_path: Path, secret: Path) -> None:
    file = pynwb.NWBFile(
        session_description="d", identifier="i", session_start_time=datetime(2024, 1, 1, tzinfo=UTC)
    )  # fmt: skip
    file.add_acquisition(pynwb.TimeSeries(name="v", data=np.arange(100.0), unit="V", rate=10.0))
    file.add_acquisition(
        pynwb.image.ImageSeries(
            name="film",
            external_file=[str(secret / "secret.bin")],
            format="external",
            rate=1.0,
            starting_frame=[0],
            num_samples=1,
        )
    )
    with pynwb.NWBHDF5IO(str(tmp_path / "x.nwb"), "w") as writer:
        writer.write(file)
    told = import_file(tmp_path / "x.nwb", tmp_path / "r.h5")
    assert told.left_out == ("ImageSeries 'film'",)


def test_specifications_cached_in_nwb_run_nothing(tmp_path: Path, trap: Path) -> None:
    """Names and default values of a cached specification are text, even if they look like code."""
    file = pynwb.NWBFile(
        session_description="d", identifier="i", session_start_time=datetime(2024, 1, 1, tzinfo=UTC)
    )  # fmt: skip
    file.add_acquisition(pynwb.TimeSeries(name="v", data=np.arange(100.0), unit="V", rate=10.0))
    with pynwb.NWBHDF5IO(str(tmp_path / "x.nwb"), "w") as writer:
        writer.write(file)
    code = f"__import__('pathlib').Path({str(trap)!r}).write_text('x')"
    tagged = f"!!python/object/apply:os.system [{code!r}]"
    spec = {
        "groups": [
            {
                "neurodata_type_def": "Evil", "neurodata_type_inc": "TimeSeries", "doc": tagged,
                "attributes": [{"name": code, "dtype": "text", "default_value": code, "doc": code}],
            }
        ]
    }  # fmt: skip
    with h5py.File(tmp_path / "x.nwb", "r+") as raw:
        place = raw.create_group("specifications/evil/1.0")
        place["namespace"] = json.dumps(
            {"namespaces": [{
                "name": "evil", "version": "1.0", "doc": code, "author": "a", "contact": "c",
                "schema": [{"namespace": "core"}, {"source": "evil"}],
            }]}
        )  # fmt: skip
        place["evil"] = json.dumps(spec)
        raw["acquisition/v"].attrs["namespace"] = "evil"
        raw["acquisition/v"].attrs["neurodata_type"] = "Evil"
    with suppress(RecordingError):
        import_file(tmp_path / "x.nwb", tmp_path / "r.h5")


def test_an_export_with_a_pickle_that_runs_code(tmp_path: Path, trap: Path) -> None:
    path = tmp_path / "x.h5"
    table = pd.DataFrame({"time_of_event": pd.to_datetime(["2024-01-01"]), "electrode": [1], "max_voltage_uv": [1.0]})
    table.to_hdf(path, key="fs1_wholelife_events", format="table")
    assert len(read_export(path).segments[0].spiketrains) == 1
    for place in ("fs1_wholelife_events", "fs1_wholelife_events/table", "/"):
        with h5py.File(path, "r+") as file:
            file[place].attrs["info"] = np.bytes_(pickle.dumps(Bomb(trap), protocol=0))
        with pytest.raises(RecordingError, match="holds a pickle that names"):
            read_export(path)
        with h5py.File(path, "r+") as file:
            del file[place].attrs["info"]
    with h5py.File(path, "r+") as file:
        rows = file.create_dataset("fs1_wholelife_events/block0_values", (1,), h5py.vlen_dtype(np.uint8))
        rows[0] = np.frombuffer(pickle.dumps(Bomb(trap)), np.uint8)
    with pytest.raises(RecordingError, match="holds a pickle that names"):
        read_export(path)


def test_sqlite_and_archives_are_not_opened(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "x.db") as database:
        database.execute("create table t (x)")
    database.close()
    refused(tmp_path / "x.db", "its content is of no format that is read; allowed are tables of text")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        file.writestr("../../x", "y")
    refused(tmp_path / "x.zip", "its content is of no format that is read")
    (tmp_path / "x.npz").write_bytes((tmp_path / "x.zip").read_bytes())
    refused(tmp_path / "x.npz", "no columns of numbers; there are: '../../x', which is no array")


def test_brainvision_that_names_a_file_elsewhere(tmp_path: Path, secret: Path) -> None:
    head = "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nDataFile={}\nMarkerFile=x.vmrk\n"
    for name in (str(secret / "secret.bin"), "../secret.bin", "elsewhere/secret.bin", "..\\secret.bin"):
        (tmp_path / "x.vhdr").write_text(head.format(name))
        refused(tmp_path / "x.vhdr", "only a file in the same folder is read")


def test_companions_that_are_links_elsewhere(tmp_path: Path, secret: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "x.ns5").write_bytes(b"NEURALCD" + bytes(400))
    (folder / "x.nev").symlink_to(secret / "secret.bin")
    with pytest.raises(RecordingError, match=r"is a link to .*outside its folder"):
        plan_import(folder / "x.ns5")


def test_devices_pipes_and_folders_of_nothing_are_errors(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(RecordingError, match=r"neither a file nor a folder|its content is of no format"):
            plan_import(path)
    (tmp_path / "empty.csv").touch()
    refused(tmp_path / "empty.csv", "is empty")


def test_text_that_looks_like_code_is_text(tmp_path: Path, trap: Path) -> None:
    for text in (
        f"=cmd|'/c echo'!A1,__import__('pathlib').Path('{trap}').touch()\n1,2\n",
        "t,u\n1,__import__('os')\n",
        '"' + "x" * 200_000 + '",u\n1,2\n',
        "t" + ",u" * 200_000 + "\n",
    ):
        (tmp_path / "x.csv").write_text(text)
        with pytest.raises(RecordingError):
            import_file(tmp_path / "x.csv", tmp_path / "r.h5")


def test_memory_is_bounded_by_the_system_while_a_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that takes more than a header says is stopped, and the bound is lifted again."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    monkeypatch.setattr(memory, "available_memory", lambda: 300_000_000)
    with (
        pytest.raises(RecordingError, match=r"would take more than 0\.3 GB of memory"),
        memory.bounded_memory(tmp_path),
    ):
        np.ones(10**9)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert len(np.ones(10**8)) == 10**8


@pytest.fixture(scope="module")
def genuine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Make small whole files of each format."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path_factory.mktemp("genuine")
    simulator = LeakySimulator(spiking=True)
    writer = RecordingWriter(folder / "r.h5", simulator.info)
    stimulus = Stimulus(np.random.default_rng(0).uniform(-1, 1, (5, 3)), 0.01)
    writer.append([Exchange(stimulus, simulator.advance(stimulus), 0, 1e9, 1e-3)])
    writer.end()
    for kind in ("nix", "nwb"):
        export(folder / "r.h5", folder / f"x.{kind}")
    named = {"t": np.arange(20.0), "u": np.sin(np.arange(20.0))}
    savemat(folder / "x.mat", named)
    np.savez(folder / "x.npz", **named)
    pq.write_table(pa.table(named), folder / "x.parquet")
    lines = "\n".join(f"{t},{u}" for t, u in zip(*named.values(), strict=True))
    (folder / "x.csv").write_text(f"t [s],u\n{lines}\n")
    return {path.suffix[1:]: path.read_bytes() for path in folder.glob("x.*")}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_an_error_of_one_kind(genuine: dict[str, bytes], tmp_path: Path, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(genuine)))
    content = bytearray(genuine[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    (tmp_path / f"x.{kind}").write_bytes(bytes(content))
    (tmp_path / "out.h5").unlink(missing_ok=True)
    stated = Stated(driven=["none"], units={"t": "s"}) if kind in ("mat", "npz", "parquet", "csv") else None
    try:
        import_file(tmp_path / f"x.{kind}", tmp_path / "out.h5", stated=stated)
    except RecordingError:
        assert not (tmp_path / "out.h5").exists()


def test_the_command_is_one_line_and_a_code(tmp_path: Path, trap: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(Bomb(trap)))
    told = subprocess.run(
        [sys.executable, "-m", "inmateria", "import", str(tmp_path / "x.pkl"), str(tmp_path / "r.h5")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == 2
    assert told.stderr.startswith("inmateria: ")
    assert told.stderr.count("\n") == 1
    assert sorted(each.name for each in tmp_path.iterdir()) == ["x.pkl"]
