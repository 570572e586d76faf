"""Maps of the matter: parts where they are, each with the output that is read there, and bounded."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from leaky import LeakySimulator

from inmateria.adapters import connect
from inmateria.live.maps import map_of
from inmateria.simulators import ContrastiveNetwork, NanowireNetwork
from inmateria.substrate import Channel, Layout, SubstrateInfo


def info_of(outputs: int, layout: Layout | None = None, kind: str = "thing") -> SubstrateInfo:
    channels = tuple(Channel(name=f"o{k}", unit="V", low=0.0, high=1.0) for k in range(outputs))
    return SubstrateInfo(
        id="x", kind=kind, inputs=channels[:1], outputs=channels, step=0.1, sampling_rate=10.0, layout=layout
    )


def test_each_electrode_of_a_nanowire_network_colours_its_own_wire() -> None:
    network = NanowireNetwork(wires=200, electrodes=12, inputs=4, seed=3)
    made = map_of(network.info)
    assert len(made.wires) == len(made.wire_outputs)
    read = {output: wire for wire, output in zip(made.wires, made.wire_outputs, strict=True) if output >= 0}
    assert len(read) == 12
    layout = network.info.layout
    assert layout is not None
    for output, (x0, y0, x1, y1) in read.items():
        x, y = layout.electrodes[network.info.outputs[output].name]
        assert (x, y) == pytest.approx(((x0 + x1) / 2, (y0 + y1) / 2), abs=1e-3)
    assert sorted(e.output for e in made.electrodes) == sorted(read)
    assert sum(e.input >= 0 for e in made.electrodes) == 4


def test_a_large_network_is_thinned_and_says_so() -> None:
    generator = np.random.default_rng(0)
    ends = generator.uniform(0, 100, (10_000, 4))
    centres = (ends[:, :2] + ends[:, 2:]) / 2
    read = [17, 4_000, 9_999]
    layout = Layout(
        unit="um",
        segments=tuple(map(tuple, ends.tolist())),
        electrodes={f"o{k}": tuple(centres[wire].tolist()) for k, wire in enumerate(read)},
    )
    made = map_of(info_of(4, layout, "nanowire-network"))
    assert len(made.wires) == 2000
    assert made.words == "2,000 of 10,000 wires, 3 electrodes; 1 of 4 outputs have no known place"
    drawn = {output: wire for wire, output in zip(made.wires, made.wire_outputs, strict=True) if output >= 0}
    for output, wire in enumerate(read):  # those that are read are always drawn
        np.testing.assert_allclose(drawn[output], ends[wire], atol=1e-3)
    assert len(msgspec.json.encode(made)) < 200_000


def test_a_culture_has_its_cells_and_electrodes() -> None:
    info = connect("culture://?neurons=300").info
    made = map_of(info)
    assert len(made.points) == 300
    assert [e.input for e in made.electrodes] == [e.output for e in made.electrodes] == list(range(len(info.outputs)))
    assert made.unit == "um"
    assert made.words == f"300 cells, {len(info.outputs)} electrodes"


@pytest.mark.parametrize("uri", ["clln://?grid=4x4", "clln://?random=20x50&inputs=2&outputs=1"])
def test_nodes_of_a_network_that_learns_are_joined_by_its_edges(uri: str) -> None:
    info = connect(uri).info
    made = map_of(info)
    network = ContrastiveNetwork(**info.parameters)
    assert len(made.electrodes) == network.node_count
    assert all(info.outputs[e.output].name == e.name for e in made.electrodes)
    places = np.array([(e.x, e.y) for e in made.electrodes])
    if "random" in uri:
        expected = {tuple(sorted((int(a), int(b)))) for a, b in network.edges}
        found = set()
        for x0, y0, x1, y1 in made.wires:
            ends = [int(np.argmin(np.hypot(*(places - each).T))) for each in ((x0, y0), (x1, y1))]
            found.add(tuple(sorted(ends)))
        assert found == expected
    assert {e.input for e in made.electrodes if e.input >= 0} == set(range(len(network.input_nodes)))


def test_layers_stand_side_by_side() -> None:
    info = connect("layers://?sizes=6-5-4-3").info
    made = map_of(info)
    columns = sorted({e.x for e in made.electrodes})
    assert [sum(e.x == x for e in made.electrodes) for x in columns] == [6, 5, 4, 3]
    assert [e.output for e in made.electrodes if e.x == columns[-1]] == [0, 1, 2]
    assert len(made.wires) == 6 * 5 + 5 * 4 + 4 * 3
    assert sorted(e.output for e in made.electrodes if e.output >= 0) == list(range(12))


def test_what_does_not_say_its_places_is_a_row_or_a_grid() -> None:
    row, grid = map_of(LeakySimulator(outputs=7).info), map_of(info_of(50))
    assert {e.y for e in row.electrodes} == {0.0}
    assert row.words == "7 outputs in a row; their places are not known"
    assert len({(e.x, e.y) for e in grid.electrodes}) == 50
    assert [e.output for e in grid.electrodes] == list(range(50))
    assert grid.electrodes[0].input == 0  # an input of the same name


numbers = st.floats(-1e6, 1e6, allow_nan=False)


@given(
    st.lists(st.tuples(numbers, numbers, numbers, numbers), max_size=30),
    st.lists(st.tuples(numbers, numbers), max_size=30),
    st.dictionaries(st.sampled_from([f"o{k}" for k in range(5)]), st.tuples(numbers, numbers), max_size=5),
)
def test_any_layout_makes_a_map(segments: list[tuple[float, ...]], points: list, electrodes: dict) -> None:  # type: ignore[type-arg]
    layout = Layout(unit="mm", segments=tuple(segments), points=tuple(points), electrodes=electrodes)  # type: ignore[arg-type]
    made = map_of(info_of(5, layout))
    msgspec.json.encode(made)
    placed = {e.output for e in made.electrodes if e.output >= 0}
    if electrodes:
        assert len(placed) == len(set(electrodes.values()))  # channels of one place are one electrode
    assert made.wire_outputs == () or len(made.wire_outputs) == len(made.wires)
