"""What a notebook shows of each public type, and that a notebook runs: a real one, in a kernel of its own."""

import dataclasses
import gc
import importlib
import inspect
import string
import warnings
from html.parser import HTMLParser
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inmateria import PhysicalReservoir, RecordedSubstrate, RidgeReadout, connect
from inmateria.devices import Passports, calibrate
from inmateria.notebook_html import layout_map, notebook_html
from inmateria.one_line import one_line
from inmateria.recording import RecordingError, open_recording
from inmateria.reservoir import InputMask, RecursiveLeastSquaresClassifier
from inmateria.substrate import SPIKE, Channel, Response, Stimulus, SubstrateDisconnected, SubstrateInfo

ROOMS = ("substrate", "adapters", "desk", "devices", "recording", "reservoir", "simulators", "testing", "protocols")
HOSTILE = "<script>alert(1)</script>\"'&\n\x1b[2J\u202e" + 300 * "x"
URI = "nanowire://?wires=60&seed=1"


def public_types():
    """Every public class of fields: dataclasses and structures."""
    found = {}
    for room in ROOMS:
        module = importlib.import_module(f"inmateria.{room}")
        for name in module.__all__:
            kind = getattr(module, name)
            if inspect.isclass(kind) and not issubclass(kind, BaseException):
                found.setdefault(kind, f"{room}.{name}")
    return found


TYPES = public_types()
RECORDS = [
    pytest.param(kind, id=name)
    for kind, name in TYPES.items()
    if (dataclasses.is_dataclass(kind) or issubclass(kind, msgspec.Struct)) and name != "testing.Check"  # a test's id
]


VALUES = [
    HOSTILE,
    np.zeros((500, 40)),
    np.zeros(3000, SPIKE),
    [HOSTILE] * 5000,
    {"a" * 200: HOSTILE},
    1 / 3,
    (1.0,) * 4,
]


def filled(kind, value):
    """Return an object with the fields and the repr of a class, and one value in every field."""
    if dataclasses.is_dataclass(kind):
        made = object.__new__(kind)
        for field in dataclasses.fields(kind):
            object.__setattr__(made, field.name, value)
        return made
    names = [(name, Any) for name in kind.__struct_fields__]
    return msgspec.defstruct(kind.__name__, names, namespace={"__repr__": kind.__repr__})(*[value] * len(names))


@pytest.mark.parametrize("kind", RECORDS)
def test_a_record_is_one_short_line_whatever_it_holds(kind):
    for value in VALUES:
        line = repr(filled(kind, value))
        assert len(line) < 200
        assert line.isprintable()
        assert line.startswith(f"{kind.__name__}(")


def test_all_other_public_types_have_no_repr_that_grows():
    rest = [kind for kind in TYPES if not (dataclasses.is_dataclass(kind) or issubclass(kind, msgspec.Struct))]
    assert len(rest) > 40
    written = {
        next(base.__module__.split(".")[0] for base in kind.__mro__ if "__repr__" in vars(base)) for kind in rest
    }
    assert written <= {"builtins", "inmateria", "sklearn", "reservoirpy", "typing"}


@given(
    st.recursive(
        st.text() | st.floats() | st.binary() | st.none(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)
    )
)
def test_a_line_of_anything_is_short_and_printable(value):
    @dataclasses.dataclass(repr=False)
    class Holder:
        a: object
        b: object
        __repr__ = one_line

    line = repr(Holder(value, [value]))
    assert len(line) <= 160
    assert line.isprintable()


def test_what_is_short_is_written_in_full():
    assert repr(InputMask(scale=0.5, seed=3)).startswith("InputMask(scale=0.5")
    assert "seed=3" in repr(InputMask(scale=0.5, seed=3))
    assert repr(Stimulus([[1.0, 2.0]], 0.5)) == "Stimulus(drive=<float64 (1, 2)>, step=0.5, floating=False)"


class Page(HTMLParser):
    """Elements of a page, which must be closed in order, and its text."""

    VOID = frozenset(("path", "circle", "rect"))

    def __init__(self, html):
        super().__init__()
        self.open, self.elements, self.attributes, self.text = [], [], [], ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append(tag)
        self.attributes += attributes
        self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append(tag)
        self.attributes += attributes

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def checked(thing):
    """Return the parsed HTML of a thing: short, well formed, without anything that runs or is loaded."""
    html = thing._repr_html_()
    assert len(html) < 60_000
    page = Page(html)
    assert {"script", "link", "img", "iframe", "style", "foreignobject"} & set(page.elements) == set()
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in ("src", "href", "srcdoc")]
    assert "url(" not in html
    # Legible on dark: no colour of paper or ink is set, only those of data, which stand on both.
    styles = " ".join(value for name, value in page.attributes if name in ("style", "fill", "stroke"))
    assert "#fff" not in styles
    assert "#000" not in styles
    return page


def hostile_info():
    inputs = tuple(Channel(name=f"{HOSTILE}{k}", unit="V", low=-1.0 - k, high=1.0) for k in range(20))
    return SubstrateInfo(
        id="device-1", kind=HOSTILE, inputs=inputs, outputs=inputs, step=0.1, sampling_rate=10.0,
        parameters={HOSTILE: HOSTILE},
    )  # fmt: skip


def test_names_of_a_hostile_device_are_text():
    page = checked(hostile_info())
    assert "<script>alert(1)</script>" in page.text
    assert "\x1b" not in page.text
    assert "\u202e" not in page.text
    drawn = layout_map([], [], {HOSTILE: (0.0, 1.0), "b": (1.0, 0.0)}, [HOSTILE], HOSTILE)
    assert set(Page(drawn).elements) == {"figure", "svg", "path", "circle", "title", "figcaption"}


@given(st.text(string.printable), st.text(), st.text())
def test_any_title_and_fact_is_text(title, name, value):
    page = Page(notebook_html(title, {name: value}))
    assert set(page.elements) <= {"div", "strong", "table", "tr", "th", "td"}


def test_a_map_of_two_thousand_wires_says_what_it_left_out():
    ends = np.random.default_rng(0).uniform(size=(2000, 4))
    drawn = layout_map([tuple(each) for each in ends.tolist()], [], {}, [], "Map")
    assert "1,400 parts not drawn" in drawn
    assert drawn.count("L") >= 600


def test_the_drawing_of_a_signal_reaches_its_extremes():
    signal = np.zeros((10_000, 1, 1))
    signal[4321] = 3.0
    page = checked(Response(signal, None, 0.0, 0))
    (path,) = [value for name, value in page.attributes if name == "d"]
    heights = [float(part.split(" ")[1]) for part in path[1:].split("L")]
    assert max(heights) - min(heights) == pytest.approx(64, abs=0.2)  # the whole height, though one sample in 10,000
    assert "0 to 3" in page.text


async def test_each_thing_of_an_experiment_is_shown(tmp_path):
    substrate = connect(URI)
    assert "60" in checked(substrate).text
    async with RecordedSubstrate(substrate, tmp_path / "a.h5") as recorded:
        assert "entered" in repr(substrate)
        stimulus = recorded.info.stimulus(0.2 * np.ones((20, len(recorded.info.inputs))))
        response = await recorded.stimulate(stimulus)
        assert "20 of" in checked(stimulus).text
        assert "20 steps" in checked(response).text
        assert "svg" in checked(recorded.info).elements
    assert "not entered" in repr(substrate)
    recording = open_recording(tmp_path / "a.h5")
    page = checked(recording)
    assert page.elements.count("svg") == 3  # the drive, and outputs in volts and in amperes
    assert "1 in 1 session, 20 steps" in page.text
    recording.close()
    assert "has been closed" in checked(recording).text
    calibration = await calibrated()
    with Passports(f"sqlite:///{tmp_path / 'p.sqlite'}") as passports:
        passports.add_calibration(substrate.info, calibration)
        passport = passports.passport(substrate.info.id)
    assert substrate.info.id in checked(passport).text
    assert len(repr(passport)) < 200


async def calibrated():
    async with connect(URI) as substrate:
        return await calibrate(substrate)


def test_a_readout_is_shown_before_and_after_its_fit():
    X, y = np.random.default_rng(0).normal(size=(50, 7)), np.arange(50) % 3
    readout = RidgeReadout(alphas=np.logspace(-9, 9, 300))
    assert "not fitted" in checked(readout).text
    readout.fit(X, y.astype(float))
    assert "svg" in checked(readout).elements
    assert readout._repr_mimebundle_()["text/html"] == readout._repr_html_()
    classifier = RecursiveLeastSquaresClassifier().fit(X, y)
    assert "classes3" in checked(classifier).text.replace(" ", "")


def test_spikes_are_shown():
    spikes = np.zeros(4000, SPIKE)
    spikes["time"], spikes["channel"] = np.linspace(0, 1, 4000), np.arange(4000) % 16
    assert "1,500 of 4,000 drawn" in checked(Response(None, spikes, 0.0, 0)).text


def test_a_recording_is_read_without_with_and_closed_when_it_is_forgotten(tmp_path):
    with PhysicalReservoir(RecordedSubstrate(connect(URI), tmp_path / "a.h5"), InputMask()).blocking() as reservoir:
        reservoir.run(np.linspace(-0.1, 0.1, 5))
    recording = open_recording(tmp_path / "a.h5")
    assert len(recording.drive()) == 5
    assert len(repr(recording)) < 200
    close = recording._close
    del recording
    gc.collect()
    assert not close.alive
    with open_recording(tmp_path / "a.h5") as recording:
        assert not recording.closed
    with pytest.raises(RecordingError, match="has been closed; open it again"):
        recording.drive()


@pytest.mark.parametrize("call", ["run", "step", "stream", "reset", "relax"])
def test_a_call_outside_of_with_is_refused_before_there_is_a_coroutine(call):
    reservoir = PhysicalReservoir(URI, InputMask())
    arguments = () if call in ("reset", "relax") else (np.zeros(3),)
    with pytest.raises(SubstrateDisconnected, match=r"async with reservoir.*with reservoir\.blocking\(\)"):
        getattr(reservoir, call)(*arguments)


async def test_a_reservoir_around_an_entered_substrate_runs_and_not_after_it():
    async with connect(URI) as substrate:
        reservoir = PhysicalReservoir(substrate, InputMask())
        assert (await reservoir.run(np.zeros(3))).shape[0] == 3
    with pytest.raises(SubstrateDisconnected):
        reservoir.run(np.zeros(3))


def test_the_blocking_face_stays_open_from_one_cell_to_the_next():
    reservoir = PhysicalReservoir(URI, InputMask()).blocking()
    with pytest.raises(RuntimeError, match=r"open\(\) it first"):
        reservoir.run(np.zeros(3))
    assert reservoir.open() is reservoir
    assert len(reservoir.run(np.zeros(3))) == 3
    with pytest.raises(RuntimeError, match="open already"):
        reservoir.open()
    reservoir.close()
    reservoir.close()
    assert not reservoir.reservoir.substrate.is_entered


CELLS = [
    """import numpy as np
from inmateria import PhysicalReservoir, RidgeReadout, connect
from inmateria.reservoir import InputMask
u = np.linspace(-1, 1, 30)""",
    f"""async with PhysicalReservoir("{URI}", InputMask(scale=0.5)) as reservoir:
    X = await reservoir.run(u)
X.shape[0]""",
    f"""blocking = PhysicalReservoir("{URI}", InputMask(scale=0.5)).blocking().open()""",
    """same = bool(np.array_equal(blocking.run(u), X)); same""",
    """blocking.info""",
    """RidgeReadout().fit(X, u)""",
    """PhysicalReservoir("nanowire://", InputMask()).run(u)""",
]


def test_a_notebook_awaits_at_its_top_level_with_the_blocking_face_beside_it(tmp_path, monkeypatch):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of the client's own sockets
        nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", allow_errors=True).execute()
    outputs = [cell.outputs for cell in notebook.cells]
    results = [output[-1]["data"]["text/plain"] if output and "data" in output[-1] else None for output in outputs]
    assert results[1] == "30"
    assert results[3] == "True"
    assert "<svg" in outputs[4][0]["data"]["text/html"]
    assert len(results[4]) < 200
    assert "Weight of each feature" in outputs[5][0]["data"]["text/html"]
    (error,) = outputs[6]
    assert error["ename"] == "SubstrateDisconnected"
    assert "blocking()" in error["evalue"]
    assert not [output for cell in outputs[:6] for output in cell if output["output_type"] == "error"]
