"""Promises that every built-in task keeps: its settings, its needs, and inputs of any range."""

import ast
import asyncio
import re
import sys
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from leaky import LeakySimulator
from linear_learner import LinearLearner
from numpy.lib.stride_tricks import sliding_window_view
from sklearn import datasets

import inmateria.protocols.tasks
from inmateria.adapters import SimulatedSubstrate
from inmateria.protocols import (
    ExchangeStatistics,
    Outcome,
    Run,
    Score,
    Task,
    UnsuitableSetting,
    UnsuitableSubstrate,
    data_sets,
    find_task,
    read_run,
    run_task,
    task_names,
)
from inmateria.protocols.data_parts import data_of
from inmateria.protocols.tasks import sequence_memory
from inmateria.substrate import Channel, Response, Stimulus, Substrate

ROOM = Path(inmateria.protocols.tasks.__file__).parent
BUILT_IN = sorted(path.stem.replace("_", "-") for path in ROOM.glob("[!_]*.py"))
SPIKES = [name for name in BUILT_IN if find_task(name).needs == "spikes"]
SIGNAL = [name for name in BUILT_IN if find_task(name).needs == "signal"]
LEARNING = [name for name in BUILT_IN if find_task(name).needs == "learning"]

LONG = ("stack", "waveform", "digits", "row-digits", "sequence-memory", "spoken-vowels")
"""Tasks of some seconds, whose variants are left to the slow tests."""
LONGEST = ("digits", "sequence-memory")
"""Tasks of more than that, of which test_cli and test_kept run one each."""


def _slow(name: str) -> Any:
    return pytest.param(name, marks=pytest.mark.slow)


SHORT: dict[str, list[dict[str, Any]]] = {
    "allostery": [{"epochs": 5}],
    "capacity": [{"steps": 1200, "delays": 8, "degree": 2}],
    "cart-pole": [{"rounds": 1, "episodes": 2, "encoding": encoding} for encoding in ("place", "amplitude")],
    "centre-of-activity": [{"probes": 10, "seconds": 1, "rest": 0.05}],
    "coached-cart-pole": [
        {"cycles": 1, "episodes": 4, "block": 2, "trains": 1, "calibration": 1, "pause": 0.1, "candidates": 2}
    ],
    "delayed-match": [{"steps": 1000}],
    "digits": [{"splits": 1, "rest": 0.02, "window": 8, "positions": 1}],
    "encoding": [{"trials": 50, "rest": 0.05, "encoding": each} for each in ("place", "rate", "latency", "amplitude")],
    "henon": [
        {"values": 200, "encoding": "place", "features": "rates"},
        {"values": 200, "encoding": "rate"},
        {"values": 200, "encoding": "auto"},
    ],
    "iris": [{"epochs": 5, "splits": 2}],
    "japanese-vowels": [
        {"rest": 0.05, "coefficients": 4, "features": "rates"},
        {"rest": 0.05, "coefficients": 4, "encoding": "rate"},
    ],
    "mackey-glass": [{"steps": 1000}],
    "memory": [{"steps": 600, "delays": 3, "samples": 2}],
    "narma": [{"steps": 600}],
    "parity": [{"steps": 600}],
    "patterns": [{"trials": 50, "rest": 0.05, "features": "rates"}],
    "periodic-signal": [
        {"period": 10, "train": 5, "test": 5},
        {"period": 10, "train": 5, "test": 5, "kind": "tracking"},
    ],
    "pong": [{"cycles": 1, "balls": 4, "calibration": 1, "pause": 0.1, "miss": 0.5}],
    "pulse-xor": [{"trials": 60, "rest": 0.05}],
    "regression": [{"epochs": 5}],
    "response-map": [{"electrodes": 2, "repeats": 2, "rest": 0.05}],
    "row-digits": [{"splits": 1, "held_out": 300, "rest": 0.0, "samples": 2}],
    "sequence-memory": [{"digits": 500, "erase": 0.05, "positions": 1}],
    "spoken-vowels": [{"parts": 2, "rest": 0.0}],
    "spontaneous": [{"seconds": 10}],
    "stack": [{"train": "bottleneck-in-turn", "hold": 1, "rest": 0.01, "held_out": 300, "step": 0.01}],
    "timer": [{"trials": 50, "duration": 0.2, "rest": 0.05}],
    "waveform": [{"steps": 600, "samples": 2}],
    "xor": [{"epochs": 5}],
}
"""Settings, of every task, that are quick to run; those that only matter beside others have more than one."""


class Board(LeakySimulator):
    """Leaky integrators of what an input is driven with beyond its rest, with inputs of any range."""

    def __init__(self, low: float, high: float, rest: float, name: str = "board", **how: Any) -> None:
        super().__init__(id=name, **how)
        inputs = tuple(Channel(name=each.name, unit="V", low=low, high=high) for each in self.info.inputs)
        self.info = msgspec.structs.replace(self.info, inputs=inputs, rest=(rest,) * len(inputs))

    def advance(self, stimulus: Stimulus) -> Response:
        response = super().advance(Stimulus(stimulus.drive - self.info.rest, stimulus.step))
        self.applied[-1] = stimulus.drive
        return response


def quiet(phase: str, done: int, of: int, steps: int) -> None:
    assert 0 <= done <= of


def run(name: str, simulators: list[Any], settings: Any, on_progress: Any = quiet) -> Outcome:
    task = find_task(name)
    opened = [SimulatedSubstrate(simulator) for simulator in simulators]
    return asyncio.run(task.run(opened if task.several else opened[0], settings, on_progress))  # type: ignore[arg-type]


def learner(name: str, **how: Any) -> LinearLearner:
    """Make a network that learns with the inputs and outputs that a task needs."""
    task = find_task(name)
    assert task.circuit is not None
    circuit = task.circuit(task.settings())
    return LinearLearner(inputs=circuit.inputs, outputs=circuit.outputs, **how)


def simulators(name: str) -> list[Any]:
    """Make simulators that a task runs on."""
    return [learner(name)] if name in LEARNING else neurons()


def chosen(name: str, **given: Any) -> Any:
    task = find_task(name)
    fields = {field.name for field in msgspec.structs.fields(task.settings)}
    return task.settings(**({"round_trips": 3} if "round_trips" in fields else {}), **given)


@pytest.fixture
def few_vowels(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    utterances = [generator.normal(size=(10, 12)) for _ in range(60)]
    monkeypatch.setattr(data_sets, "_all_vowels", lambda: (utterances, np.arange(60) // 3 % 3, 30))


def test_the_room_holds_every_built_in_task_and_nothing_else() -> None:
    assert set(BUILT_IN) <= set(task_names())
    assert set(SHORT) == set(BUILT_IN) == {*SPIKES, *SIGNAL, *LEARNING}


@pytest.mark.parametrize("name", BUILT_IN)
def test_no_task_imports_another(name: str) -> None:
    tree = ast.parse((ROOM / f"{name.replace('-', '_')}.py").read_text(encoding="utf-8"))
    imported = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not [module for module in imported if module and module.startswith("inmateria.protocols.tasks")]


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_setting_is_described(name: str) -> None:
    settings = find_task(name).settings
    described = {
        word
        for base in settings.__mro__
        for names in re.findall(r"^    (\w+(?:, \w+)*)(?: : .+)?$", base.__doc__ or "", re.MULTILINE)
        for word in names.split(", ")
    }
    assert {field.name for field in msgspec.structs.fields(settings)} <= described


class Noted:
    """Settings that note which of them were read."""

    def __init__(self, settings: Any, read: set[str]) -> None:
        self._settings, self._read = settings, read

    def __getattr__(self, name: str) -> Any:
        self._read.add(name)
        return getattr(self._settings, name)


@pytest.mark.parametrize("name", [_slow(each) if each in LONGEST else each for each in BUILT_IN])
def test_a_task_has_no_setting_that_it_does_not_use_and_says_that_it_scores(name: str, few_vowels: None) -> None:
    read: set[str] = set()
    phases: list[str] = []

    def note(phase: str, done: int, of: int, steps: int) -> None:
        quiet(phase, done, of, steps)
        if phase not in phases:
            phases.append(phase)

    for given in SHORT[name]:
        settings = chosen(name, **given)
        run(name, simulators(name), Noted(settings, read), note)
        if find_task(name).several:
            find_task(name).uris(Noted(settings, read), None)  # type: ignore[arg-type]
    if name == "digits":
        run(name, [learner(name)], Noted(chosen(name, epochs=1), read))
    assert {field.name for field in msgspec.structs.fields(find_task(name).settings)} <= read
    # Those left out count what was exchanged and fit nothing beyond some hundredths of a second.
    if name not in ("centre-of-activity", "response-map", "spontaneous"):
        last = {"capacity": "measuring", "cart-pole": "episodes", "coached-cart-pole": "episodes", "pong": "balls"}
        assert phases[-1] == last.get(name, "scoring")


@pytest.mark.parametrize("name", [_slow(each) if each in LONG else each for each in SIGNAL])
def test_a_task_of_signals_runs_on_inputs_of_any_range_and_rest(name: str) -> None:
    outcomes = []
    for low, high, rest in ((-1.0, 1.0, 0.0), (0.0, 5.0, 0.0), (0.0, 5.0, 2.5)):
        boards = [Board(low, high, rest, f"board{k}", inputs=3, outputs=20) for k in range(2)]
        outcomes.append(run(name, boards, chosen(name, **SHORT[name][0])))
        assert (boards[0].applied[0] == rest).all()  # the first round trip
    for outcome in outcomes:
        # Integrators of the drive are linear: a range only scales and shifts it, which no readout here notices.
        for here, there in zip(outcome.scores, outcomes[0].scores, strict=True):
            assert (here.on, here.readout) == (there.on, there.readout)
            if name in ("memory", "waveform", "mackey-glass", "narma"):
                assert here.score == pytest.approx(there.score, abs=1e-3)
        first = outcome.scores[0]
        if name in ("delayed-match", "parity"):  # of which nothing linear knows anything
            assert first.score == pytest.approx(0.5, abs=0.1)
        elif name == "periodic-signal":  # one time constant cannot oscillate
            assert first.score < 0.2
        else:
            assert first.score > outcome.chance


class Unopened(Substrate):
    """A device that nothing may enter; with `late`, whose info is known only once it has been entered."""

    def __init__(self, simulator: LeakySimulator, late: bool) -> None:
        self._simulator, self._late = simulator, late
        self.entered = self.left = 0
        if not late:
            self.info = simulator.info

    async def __aenter__(self) -> "Unopened":
        self.entered += 1
        self.info = self._simulator.info
        return self

    async def __aexit__(self, *error: object) -> None:
        self.left += 1

    async def _apply(self, stimulus: Stimulus) -> Response:
        raise AssertionError("a stimulus was sent")

    async def reset(self) -> None:
        raise AssertionError("it was reset")


def triggered() -> LeakySimulator:
    made = LeakySimulator(inputs=16, outputs=24, spiking=True, id="dish")
    inputs = tuple(msgspec.structs.replace(each, levels=(0.0, 1.0)) for each in made.info.inputs)
    made.info = msgspec.structs.replace(made.info, kind="neural-culture", inputs=inputs)
    return made


class Dish(Board):
    """A board from 0 to 5 V that gives spikes and no signal."""

    def __init__(self, name: str) -> None:
        super().__init__(0.0, 5.0, 0.0, name, inputs=3, outputs=20, spiking=True)
        self._whole, self.info = self.info, msgspec.structs.replace(self.info, sampling_rate=None)

    def advance(self, stimulus: Stimulus) -> Response:
        shown, self.info = self.info, self._whole
        response = super().advance(stimulus)
        self.info = shown
        return Response(None, response.spikes, response.start, response.sequence)


@pytest.mark.parametrize("name", [_slow(each) if each in LONG else each for each in SIGNAL])
def test_a_task_of_signals_counts_spikes_where_there_is_no_signal(name: str) -> None:
    given = {each: value for each, value in SHORT[name][0].items() if each != "samples"}
    outcome = run(name, [Dish(f"dish{k}") for k in range(2)], chosen(name, **given))
    assert np.isfinite([score.score for score in outcome.scores]).all()


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("name", BUILT_IN)
async def test_a_substrate_that_does_not_give_what_a_task_needs_is_refused_beforehand(
    name: str, late: bool, tmp_path: Path, few_vowels: None
) -> None:
    task = find_task(name)
    device = Unopened(triggered() if task.needs == "signal" else LeakySimulator(inputs=16), late)
    said = {
        "spikes": r"gives no spikes.*--on culture://",
        "signal": r"dish .*only certain levels.*--on nanowire://",
        "learning": r"leaky .*does not learn by itself.*--on 'clln://",
    }[str(task.needs)]
    with pytest.raises(UnsuitableSubstrate, match=said):
        await run_task(
            task,
            chosen(name, **SHORT[name][0]),
            [device, device] if task.several else device,
            tmp_path,
            quiet,
            on="x",
            over="local",
        )
    assert device.entered == device.left == late
    assert not left_in(tmp_path)


def left_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_an_outcome_needs_a_title_scores_and_exchanges_only(tmp_path: Path) -> None:
    class NoSettings(msgspec.Struct, frozen=True):
        pass

    async def count(substrate: Substrate, settings: NoSettings, on_progress: Any) -> Outcome:
        async with substrate:
            await substrate.stimulate(substrate.info.stimulus(substrate.info.rest_drive(2)))
        exchanges = ExchangeStatistics.measured(count=1, steps=2, seconds=0.1, round_trips=np.array([0.01]))
        score = Score(readout="count", on="substrate", features=1, score=2.0)
        return Outcome(title="Two steps", scores=(score,), exchanges=exchanges)

    task = Task("count", NoSettings, count)
    folder = await run_task(
        task, NoSettings(), SimulatedSubstrate(LeakySimulator()), tmp_path, quiet, on="x", over="local"
    )
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Two steps on leaky" in page
    assert "held out" not in page
    assert "baseline" not in page


ALTERNATIVES: dict[str, list[dict[str, Any]]] = {
    "capacity": [{"steps": 1200, "delays": 8, "degree": 1}],
    "cart-pole": SHORT["cart-pole"],
    "delayed-match": [{"steps": 1000, "bias": 0.0}],
    "henon": [
        {"values": 200, "encoding": encoding, "features": features}
        for encoding, features in (("place", "counts"), ("amplitude", "rates"), ("rate", "latency"))
    ],
    "japanese-vowels": [
        {"rest": 0.05, "coefficients": 4, "encoding": "place", "features": "latency"},
        {"rest": 0.05, "coefficients": 4, "encoding": "amplitude", "features": "counts"},
    ],
    "narma": [{"steps": 500, "washout": 100}],
    "patterns": [{"trials": 50, "rest": 0.05, "features": features} for features in ("counts", "latency")],
    "periodic-signal": SHORT["periodic-signal"],
    "stack": [{"train": "none", "hold": 1, "rest": 0.01, "held_out": 300, "step": 0.01}],
}
"""Choices beside which some other settings have no effect."""

OTHER_VALUES: dict[str, Any] = {
    "bins": 1, "compare": False, "electrodes": 2, "most": 1, "product_delays": 3, "time_constant": 0.5, "width": 1,
    "amplitudes": (0.5,), "strength": 0.6, "bias_spread": 0.125, "memory": 2.0, "bias_sign": "same", "fed_back": 2,
    "shift": 0.1,
}  # fmt: skip


def neurons(switched: bool = False) -> list[LeakySimulator]:
    made = [LeakySimulator(inputs=16, outputs=24, spiking=True, id=f"n{k}") for k in range(2)]
    if switched:
        for each in made:
            inputs = tuple(msgspec.structs.replace(channel, levels=(0.0, 1.0)) for channel in each.info.inputs)
            each.info = msgspec.structs.replace(each.info, inputs=inputs)
    return made


@pytest.mark.parametrize(
    ("name", "given"),
    [
        pytest.param(name, each, marks=[pytest.mark.slow] if name in LONG else [])
        for name, some in ALTERNATIVES.items()
        for each in some
    ],
)
def test_settings_said_to_have_no_effect_have_none_and_all_others_are_read(
    name: str, given: dict[str, Any], few_vowels: None
) -> None:
    task, settings, read = find_task(name), chosen(name, **given), set[str]()
    assert task.unused is not None
    unused = task.unused(settings, neurons()[0].info)
    plain = run(name, neurons(), Noted(settings, read))
    if task.substrates:
        task.substrates(Noted(settings, read))
    assert {field.name for field in msgspec.structs.fields(task.settings)} <= read | set(unused)
    assert unused
    for setting in unused:
        changed = msgspec.structs.replace(settings, **{setting: OTHER_VALUES[setting]})
        assert changed != settings
        outcome = run(name, neurons(), changed)
        assert [score.splits for score in outcome.scores] == [score.splits for score in plain.scores], setting
        with pytest.raises(UnsuitableSetting, match=f"{setting}=.*no effect"):
            task.check_settings(changed, neurons()[0].info)
    task.check_settings(settings, neurons()[0].info)


@pytest.mark.parametrize("name", ["response-map", "timer", "centre-of-activity", "patterns"])
def test_amplitudes_have_no_effect_where_inputs_are_only_on_or_off(name: str) -> None:
    task, settings = find_task(name), chosen(name, **{**SHORT[name][0]})
    assert task.unused is not None
    unused = set(task.unused(settings, neurons(switched=True)[0].info)) & {"strength", "amplitudes"}
    assert unused
    for setting in unused:
        changed = msgspec.structs.replace(settings, **{setting: OTHER_VALUES[setting]})
        plain, other = (run(name, neurons(switched=True), each) for each in (settings, changed))
        assert [score.splits for score in other.scores] == [score.splits for score in plain.scores]


async def test_a_setting_without_effect_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    spiking = LeakySimulator(inputs=16, outputs=24, spiking=True)
    for late in (False, True):
        device = Unopened(spiking, late)
        with pytest.raises(UnsuitableSetting, match="henon was given electrodes=4"):
            await run_task(
                find_task("henon"), chosen("henon", electrodes=4), device, tmp_path, quiet, on="x", over="local"
            )
        assert device.entered == device.left == late
    assert not left_in(tmp_path)


async def test_an_error_of_a_driver_says_of_which_device_it_is(tmp_path: Path) -> None:
    class Unplugged(Unopened):
        async def _apply(self, stimulus: Stimulus) -> Response:
            raise OSError(5, "Input/output error")

        async def reset(self) -> None:
            pass

    device = Unplugged(LeakySimulator(id="board-7"), late=False)
    with pytest.raises(OSError, match="Input/output error") as raised:
        await run_task(find_task("memory"), chosen("memory"), device, tmp_path, quiet, on="x", over="local")
    assert raised.value.__notes__ == ["while memory ran on board-7"]


SCORED = [name for name in BUILT_IN if find_task(name).validation == "data"]
"""Tasks that score a readout on data that it has not seen."""
OF_DATA_SETS = ("digits", "iris", "japanese-vowels", "row-digits", "sequence-memory", "spoken-vowels", "stack")
FOR_CHOOSING = 2**31


def run_part(name: str, folder: Path, part: str, seed: int | None = 0, **given: Any) -> Run:
    task = find_task(name)
    settings = chosen(name, **({**SHORT[name][0], "seed": seed} if has_seed(name) else SHORT[name][0]), **given)
    matter = [Board(-1.0, 1.0, 0.0, f"board{k}", inputs=2, outputs=4) for k in range(2)]
    opened = [SimulatedSubstrate(each) for each in (matter if name in SIGNAL else simulators(name))]
    uri = "leaky://" if task.validation == "data" else f"leaky://?seed={FOR_CHOOSING}"
    made = run_task(
        task, settings, opened if task.several else opened[0], folder, quiet,
        on=uri, over="local", keep="nothing", report=False, part=part,  # type: ignore[arg-type]
    )  # fmt: skip
    return read_run(asyncio.run(made))


def has_seed(name: str) -> bool:
    return "seed" in {field.name for field in msgspec.structs.fields(find_task(name).settings)}


def test_every_task_that_scores_a_readout_has_a_part_for_choosing_settings() -> None:
    devices = {name for name in BUILT_IN if find_task(name).validation == "devices"}
    assert devices == {"allostery", "regression", "xor"}  # they score the points that they learned
    assert set(BUILT_IN) - set(SCORED) - devices == {"centre-of-activity", "response-map", "spontaneous"}


@pytest.mark.parametrize("name", [_slow(each) if each in LONG else each for each in SCORED])
def test_nothing_that_is_drawn_for_choosing_is_drawn_for_a_report(
    name: str, few_vowels: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    original = np.random.default_rng
    # Weights of controls and noise of reading are no data, and of tasks without a seed the same in both parts.
    of_no_data = ("controls.py", "scoring.py")

    def spy(seed: Any = None) -> np.random.Generator:
        file = sys._getframe(1).f_code.co_filename
        if ("protocols" in file or "encoding" in file) and not file.endswith(of_no_data):
            drawn.append(seed if isinstance(seed, int) else seed[0])
        return original(seed)

    monkeypatch.setattr(np.random, "default_rng", spy)
    by_part: dict[str, set[int]] = {}
    for part in ("test", "validation"):
        for seed in (3,):
            drawn.clear()
            run = run_part(name, tmp_path, part, seed)
            assert (run.part, run.settings.get("seed", 0)) == (part, seed if has_seed(name) else 0)
            by_part.setdefault(part, set()).update(drawn)
    assert all(seed < FOR_CHOOSING for seed in by_part["test"])
    assert all(seed >= FOR_CHOOSING for seed in by_part["validation"])
    assert bool(by_part["validation"]) == has_seed(name) == bool(by_part["test"])


@pytest.mark.parametrize("name", [_slow(each) if each in LONG else each for each in OF_DATA_SETS])
def test_a_run_for_choosing_never_has_an_item_that_a_report_tests_on(
    name: str, few_vowels: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = run_part(name, tmp_path, "validation").outcome.scores
    vowels = data_sets._all_vowels()

    def spoiled(loader: Any) -> Any:
        found = loader()
        for each in range(10):  # every second item of a class, from its first one on
            found.data[np.flatnonzero(found.target == each)[::2]] = np.nan
        return found

    for loader in ("load_digits", "load_iris"):
        monkeypatch.setattr(datasets, loader, partial(spoiled, getattr(datasets, loader)))
    utterances = [np.full_like(u, np.nan) if k >= vowels[2] else u for k, u in enumerate(vowels[0])]
    monkeypatch.setattr(data_sets, "_all_vowels", lambda: (utterances, *vowels[1:]))
    assert run_part(name, tmp_path, "validation").outcome.scores == before
    with pytest.raises(Exception, match=r"NaN|nan|not finite|infinite"):
        run_part(name, tmp_path, "test")  # the same items, which a report cannot do without


@pytest.mark.parametrize("items_of", [data_sets.digits, data_sets.iris_flowers])
def test_reported_splits_test_only_on_items_kept_for_them(items_of: Any) -> None:
    tested: set[int] = set()
    items = items_of()
    for seed in range(30):
        for learned, held_out in (items.split(40, seed), items.split_few(30, seed)):
            assert not set(learned) & set(held_out)
            tested |= set(items.numbers[held_out].tolist())
            shares = [np.mean(items.y[rows] == each) for rows in (learned, held_out) for each in np.unique(items.y)]
            assert shares == pytest.approx([1 / len(items.names)] * len(shares), abs=0.05)
        assert len(items.split(40, seed)[0]) == len(items.y) - 40
    with data_of("validation"):
        seen = set(items_of().numbers.tolist())
    assert len(seen) + len(tested) == len(items.y)
    assert not seen & tested
    with pytest.raises(ValueError, match="kept for choosing settings; hold out fewer"):
        items.split(len(tested) + 1, 0)


def test_digits_that_are_scored_in_a_sequence_are_those_kept_for_it() -> None:
    settings = find_task("sequence-memory").settings(digits=600)
    images = {}
    for part in ("test", "validation"):
        with data_of(part):  # type: ignore[arg-type]
            images[part] = sequence_memory.semi_repetitive(settings)[1]  # type: ignore[arg-type]
    scored = {image.tobytes() for image in images["test"][300:]}
    assert not scored & {image.tobytes() for image in images["validation"]}
    assert not scored & {image.tobytes() for image in images["test"][:300]}


@pytest.mark.parametrize(
    "series",
    [
        lambda: data_sets.mackey_glass_series(2000),
        lambda: data_sets.henon_map(2000),
        lambda: np.sin(0.157 * (np.arange(2000) + data_sets.sine_phase())),
    ],
)
def test_a_fixed_series_for_choosing_shares_no_stretch_with_that_of_a_report(series: Any) -> None:
    reported = series()
    with data_of("validation"):
        other = series()
    assert not set(reported.tolist()) & set(other.tolist())
    assert other.std() == pytest.approx(reported.std(), rel=0.1)  # of the same kind
    windows = sliding_window_view(reported, 20)[::2], sliding_window_view(other, 20)[::10]
    apart = np.min([np.abs(windows[0] - window).max(axis=1).min() for window in windows[1]])
    assert apart > 1e-3


@pytest.mark.parametrize("name", SCORED)
def test_a_task_takes_its_data_from_its_seed_or_from_the_data_sets(name: str) -> None:
    tree = ast.parse((ROOM / f"{name.replace('-', '_')}.py").read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert not names & {"load_digits", "load_iris", "fetch_openml", "train_test_split", "mackey_glass", "henon"}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    called = [(ast.unparse(call.func), ast.unparse(call)) for call in calls]
    assert all("settings.seed" in text for function, text in called if function.endswith("default_rng"))
    assert not [text for function, text in called if function.endswith(("np.load", "np.loadtxt", "open"))]


def test_the_runner_refuses_what_is_of_no_part(tmp_path: Path) -> None:
    with pytest.raises(UnsuitableSetting, match=r"spontaneous has no part for validation"):
        run_part("spontaneous", tmp_path, "validation")
    with pytest.raises(ValueError, match=r"part is 'train'; allowed are test and validation"):
        run_part("memory", tmp_path, "train")
    for part in ("test", "validation"):
        with pytest.raises(ValueError, match=r"seed is 2147483648; seeds from 2147483648 on"):
            run_part("memory", tmp_path, part, seed=FOR_CHOOSING)
    assert not list(tmp_path.iterdir())
    memory = find_task("memory")
    assert memory.uris(memory.settings(), "nanowire://?seed=3", "validation") == ["nanowire://?seed=3"]
    xor = find_task("xor")
    uris = xor.uris(xor.settings(starts=2), "clln://?seed=3", "validation")  # type: ignore[call-arg]
    assert [uri.partition("seed=")[2] for uri in uris] == [str(FOR_CHOOSING + 3), str(FOR_CHOOSING + 4)]
    assert xor.uris(xor.settings(), uris[0], "validation") == uris[:1]
    for uri in ("mqtt://host/group/device", "clln://?seed=3"):
        with pytest.raises(UnsuitableSetting, match=r"xor scores the points that it learned.*is none"):
            xor.check_part("validation", [uri])
