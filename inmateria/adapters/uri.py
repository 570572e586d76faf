"""From a URI to a substrate: the adapter that its scheme names, and the parameters in its query."""

import dataclasses
import inspect
import math
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from importlib import import_module
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl, urlsplit

import msgspec

from inmateria.plugins import load_plugin, plugin_names, plugin_summaries
from inmateria.simulators.parameters import group_types, suggestion, type_meaning, type_name
from inmateria.substrate import Simulator, Substrate, UnknownSubstrate

_GROUP = "inmateria.adapters"
_REMOTE = "inmateria.adapters.mqtt.client.remote:remote_from_uri"
_SECRET = re.compile(r"(?i)([?&;](?:password|passwd|pwd|passphrase|token|secret|api_?key)=)[^&;#]*")
_SIMULATORS = {
    "clln": (
        "inmateria.simulators.contrastive.network:ContrastiveNetwork",
        "a simulated analog network that learns by itself",
    ),
    "echo": ("inmateria.simulators.echo_state:EchoStateNetwork", "reservoirpy's echo-state network, a digital one"),
    "integer-echo": (
        "inmateria.simulators.integer_echo_state:IntegerEchoStateNetwork",
        "an echo-state network of sums and shifts, as a small chip computes it",
    ),
    "layers": (
        "inmateria.simulators.resistive_layers.network:ResistiveLayers",
        "simulated layers of resistors and diodes that learn by themselves",
    ),
    "nanowire": ("inmateria.simulators.nanowire.network:NanowireNetwork", "a simulated nanowire network"),
    "scattering": ("inmateria.simulators.scattering:ScatteringMedium", "simulated light through a scattering medium"),
    "culture": ("inmateria.simulators.culture.network:NeuralCulture", "a simulated culture of living neurons"),
}
_ADAPTERS = {
    "cortical": (
        "inmateria.adapters.cortical.substrate:cortical_from_uri",
        "a CL1 or the simulator of its SDK: cortical://",
    ),
    "intan": ("inmateria.adapters.intan.substrate:intan_from_uri", "an Intan stimulating controller: intan://host"),
    "neuroplatform": (
        "inmateria.adapters.neuroplatform.substrate:neuroplatform_from_uri",
        "FinalSpark's platform, or its twin: neuroplatform://emulated",
    ),
    "mqtt": (_REMOTE, "a device behind a broker: mqtt://host/group/device"),
    "mqtts": (_REMOTE, "the same, encrypted"),
    "ws": (_REMOTE, "a device behind a broker that speaks WebSocket: ws://host/group/device"),
    "wss": (_REMOTE, "the same, encrypted"),
    "unix": (_REMOTE, "a device of this machine, served without a broker: unix:///path"),
    "scpi": ("inmateria.adapters.scpi.substrate:scpi_from_uri", "an instrument that speaks SCPI: scpi://host:5025"),
    "serial": (
        "inmateria.adapters.boards.substrate:serial_from_uri",
        "a board with our firmware: serial:///dev/ttyACM0",
    ),
    "tcp": (
        "inmateria.adapters.boards.substrate:tcp_from_uri",
        "the same behind a bridge: tcp://host:port; with /group/device, a device served without a broker",
    ),
    "emulated-board": (
        "inmateria.adapters.boards.emulated:emulated_board_from_uri",
        "our firmware in an emulated chip, wired to a simulator: emulated-board://?substrate=nanowire://",
    ),
    "replay": ("inmateria.adapters.replay:replay_from_uri", "what a recording holds: replay:///path/recording.h5"),
    "lsl": ("inmateria.adapters.streams.uris:lsl_from_uri", "a stream of the Lab Streaming Layer: lsl://NAME"),
    "brainflow": (
        "inmateria.adapters.streams.uris:brainflow_from_uri",
        "a board that BrainFlow reads: brainflow://synthetic",
    ),
    "openephys": ("inmateria.adapters.streams.uris:open_ephys_from_uri", "Open Ephys' ZMQ Interface: openephys://host"),
    "maxwell": ("inmateria.adapters.streams.uris:maxwell_from_uri", "a stream of MaxWell's server: maxwell://host"),
}


_OPTIONS = ("window", "window_steps", "window_bytes", "connect_timeout", "timeout")
_BOARD = ("step", "sampling_rate", "watchdog", "timeout", "window", "resettable", "drive", "read", "id")
_STREAM = ("stimuli", "inputs", "low", "high", "unit", "drive", "step", "late", "timeout", "id")
_DESCRIBED: dict[str, tuple[str, tuple[str, ...]]] = {
    "cortical": ("inmateria.adapters.cortical.substrate:CorticalSubstrate", ()),
    "intan": ("inmateria.adapters.intan.substrate:IntanSubstrate", ()),
    "neuroplatform": ("inmateria.adapters.neuroplatform.substrate:NeuroplatformSubstrate", ()),
    "serial": ("inmateria.adapters.boards.substrate:BoardSubstrate", ("baud", *_BOARD)),
    "tcp": ("inmateria.adapters.boards.substrate:BoardSubstrate", _BOARD),
    "emulated-board": ("inmateria.adapters.boards.emulated:EmulatedBoardSubstrate", ()),
    "replay": ("inmateria.adapters.replay:ReplaySubstrate", ("match", "speed")),
    "scpi": (
        "inmateria.adapters.scpi.substrate:ScpiSubstrate",
        ("profile", "limit", "step", "settle", "timeout", "id"),
    ),
    "lsl": (
        "inmateria.adapters.streams.uris:lsl_stream",
        ("type", "source_id", "host", "markers", "jitter", "clock_every", *_STREAM),
    ),
    "brainflow": (
        "inmateria.adapters.streams.uris:brainflow_stream",
        ("channels", "wrap", "config", "marker", *_STREAM),
    ),
    "openephys": (
        "inmateria.adapters.streams.uris:open_ephys_stream",
        ("heartbeats", "electrodes", "continuous_unit", "events", *_STREAM),
    ),
    "maxwell": (
        "inmateria.adapters.streams.uris:maxwell_stream",
        ("rate", "channels", "spikes", "spike_bytes", "continuous_unit", "step", "late", "timeout", "id"),
    ),
} | dict.fromkeys(
    ("mqtt", "mqtts", "ws", "wss", "unix"), ("inmateria.adapters.mqtt.client.remote:RemoteSubstrate", _OPTIONS)
)
"""The class whose docstring describes the query of each adapter's URI, and the names in it that the query takes."""


def connect(uri: str) -> Substrate:
    """Return the substrate that a URI names; it is not opened until it is entered.

    Parameters
    ----------
    uri : str
        For instance ``nanowire://?wires=100&seed=42`` or ``mqtt://host:1883/lab/nwn-1``.

    Raises
    ------
    UnknownSubstrate
        If the URI is malformed, or its scheme or a parameter is unknown.
    BrokenPlugin
        If the adapter is of another package and cannot be loaded.
    """
    scheme = _scheme(uri)
    if scheme in _SIMULATORS:
        from inmateria.adapters.simulated import SimulatedSubstrate

        return SimulatedSubstrate(simulator_from_uri(uri))
    if scheme in _ADAPTERS:
        served = scheme == "tcp" and bool(urlsplit(uri).path.strip("/"))  # without a path it is a board
        opened = _load(_REMOTE if served else _ADAPTERS[scheme][0])(uri)
    else:
        found = plugin_names(_GROUP)
        if scheme not in found:
            raise _unknown(scheme, uri, [*_SIMULATORS, *_ADAPTERS, *found])
        opened = load_plugin(_GROUP, scheme)(uri)
    if not isinstance(opened, Substrate):
        raise UnknownSubstrate(
            f"the adapter for {scheme}:// returned a {type(opened).__name__}",
            "an adapter returns a Substrate",
            "return one from the function that its entry point names",
        )
    return opened


def simulator_from_uri(uri: str) -> Simulator:
    """Make the simulator that a URI names; its query holds the parameters of its constructor.

    Parameters
    ----------
    uri : str
        For instance ``nanowire://?wires=60&model=binary&model.set_voltage=0.02``.

    Raises
    ------
    UnknownSubstrate
        If there is no such simulator, or it does not take such parameters.
    """
    scheme = _scheme(uri)
    if scheme not in _SIMULATORS:
        raise _unknown(scheme, uri, list(_SIMULATORS))
    parts = urlsplit(uri)
    if parts.netloc or parts.path.strip("/"):
        raise UnknownSubstrate(
            f"{shown(uri)!r} names a host or a path",
            "a simulator has only parameters",
            f"write {scheme}://?name=value&name=value",
        )
    make: Callable[..., Simulator] = _load(_SIMULATORS[scheme][0])
    try:
        return make(**parameters_for(make, query_of(uri), scheme))
    except ImportError as error:
        raise UnknownSubstrate(f"{shown(uri)!r} needs a package that is not installed", str(error)) from error
    except ValueError as error:
        raise UnknownSubstrate(f"{shown(uri)!r} has parameters that make no {scheme} simulator", str(error)) from None


def is_simulated(uri: str) -> bool:
    """Return whether a URI names a simulator of this package, which runs in the same process."""
    return uri.partition("://")[0].lower() in _SIMULATORS


def adapters_found() -> list[tuple[str, str]]:
    """Return the schemes that `connect` knows, each with a one-line description."""
    own = [(scheme, text) for scheme, (_, text) in {**_SIMULATORS, **_ADAPTERS}.items()]
    return own + plugin_summaries(_GROUP)


def described_by(scheme: str) -> tuple[Any, tuple[str, ...]]:
    """Return the class or function whose docstring describes a scheme's query, and the names that the query takes.

    No names stand for all that can be written in a URI.

    Raises
    ------
    UnknownSubstrate
        If the scheme is unknown.
    BrokenPlugin
        If its adapter is of another package and cannot be loaded.
    """
    if scheme in _SIMULATORS:
        return _load(_SIMULATORS[scheme][0]), ()
    if scheme in _ADAPTERS:
        place, names = _DESCRIBED[scheme]
        return _load(place), names
    if scheme in plugin_names(_GROUP):
        return load_plugin(_GROUP, scheme), ()
    raise _unknown(scheme, f"{scheme}://", [name for name, _ in adapters_found()])


def query_of(uri: str) -> dict[str, str]:
    """Return the names and values in the query of a URI.

    Raises
    ------
    UnknownSubstrate
        If a name is given more than once.
    """
    pairs = parse_qsl(urlsplit(uri).query, keep_blank_values=True)
    names = [name for name, _ in pairs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UnknownSubstrate(f"{shown(uri)!r} gives {', '.join(twice)} more than once", "each parameter once")
    return dict(pairs)


def shown(uri: str) -> str:
    """Return a URI, or the URL of a database, as it may be printed: without user, password or token."""
    return _SECRET.sub(r"\1***", re.sub(r"(//|^).*@", r"\1***@", uri, count=1, flags=re.DOTALL))


def _scheme(uri: str) -> str:
    scheme, mark, _ = uri.partition("://")
    if not mark or not scheme:
        raise UnknownSubstrate(
            f"{shown(uri)!r} is not a URI of a substrate",
            "scheme://..., such as nanowire://?wires=100",
            "see `inmateria list`",
        )
    return scheme.lower()


def _unknown(scheme: str, uri: str, known: list[str]) -> UnknownSubstrate:
    close = get_close_matches(scheme, known, n=1)
    return UnknownSubstrate(
        f"{shown(uri)!r} has the scheme {scheme!r}",
        f"known are {', '.join(sorted(known))}",
        f"did you mean {close[0]}://?" if close else "see `inmateria list`, or install the package that brings it",
    )


def _load(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def parameters_for(
    make: Callable[..., object], given: Mapping[str, str], scheme: str, group: str = ""
) -> dict[str, Any]:
    """Convert the values of a query to the types that a constructor's annotations name.

    An argument whose annotation names dataclasses is a group of parameters: ``model=binary`` chooses the dataclass
    ``Binary``, and ``model.set_voltage=0.02`` sets one of its fields. Without a choice, fields replace those of the
    argument's default.

    Parameters
    ----------
    make : callable
        Class or function whose parameters the query gives.
    given : mapping of str to str
        Names and values, as returned by `query_of`; the field of a group is written ``group.field``.
    scheme : str
        Scheme of the URI, for errors.
    group : str
        Groups that contain these parameters, each followed by a dot, for errors.

    Returns
    -------
    dict
        Keyword arguments for ``make``.

    Raises
    ------
    UnknownSubstrate
        If a name is unknown or ambiguous, or a value is not of the parameter's type.
    """
    hints = get_type_hints(inspect.unwrap(make.__init__ if inspect.isclass(make) else make))
    defaults = {name: parameter.default for name, parameter in inspect.signature(make).parameters.items()}
    kinds = {name: group_types(hints[name]) for name in defaults}
    parameters: dict[str, Any] = {}
    fields: dict[str, dict[str, str]] = {}
    for name, word in given.items():
        head, dot, field = name.partition(".")
        if head not in defaults or (dot and not (kinds[head] and field)):
            raise _unknown_parameter(name, kinds, scheme, group)
        if kinds[head]:
            fields.setdefault(head, {}).update({field: word} if dot else {})
        else:
            parameters[name] = _converted(group + name, word, hints[name], scheme)
    for name, words in fields.items():
        full = group + name
        kind = _chosen(full, given.get(name), next(iter(words), ""), kinds[name], defaults[name], scheme)
        values = parameters_for(kind, words, scheme, f"{full}.")
        try:
            if name not in given and type(defaults[name]) is kind:
                parameters[name] = dataclasses.replace(defaults[name], **values)
            else:
                parameters[name] = kind(**values)
        except (TypeError, ValueError) as error:  # a field is missing, or out of range
            asked = ", ".join(f"{full}.{field}={word}" for field, word in words.items()) or f"{full}={given[name]}"
            raise UnknownSubstrate(f"{scheme}:// was given {asked}", str(error)) from None
    return parameters


def _chosen(name: str, word: str | None, field: str, kinds: tuple[type, ...], default: object, scheme: str) -> type:
    """Return the dataclass that a query chooses for a group, by its name or by the default."""
    known = {type_name(kind): kind for kind in kinds}
    if word in known:
        return known[word]
    if word is None:
        if type(default) in kinds:
            return type(default)
        if len(kinds) == 1:
            return kinds[0]
        raise UnknownSubstrate(
            f"{scheme}:// was given {name}.{field} without {name}",
            f"{name} is one of {', '.join(known)}",
            f"add {name}={next(iter(known))}, for instance",
        )
    if len(kinds) == 1:
        fields = ", ".join(f"{name}.{each.name}" for each in dataclasses.fields(kinds[0]))
        raise UnknownSubstrate(
            f"{scheme}:// was given {name}={word!r}", f"{name} is a group of parameters", f"give {fields}"
        )
    raise UnknownSubstrate(
        f"{scheme}:// was given {name}={word!r}", f"{name} is one of {', '.join(known)}", suggestion(word, known)
    )


def _unknown_parameter(name: str, kinds: Mapping[str, tuple[type, ...]], scheme: str, group: str) -> UnknownSubstrate:
    """Return the error for a name that a constructor does not take: what it takes, and what may be meant."""
    nested = [
        f"{argument}.{field.name}"
        for argument, types in kinds.items()
        for field in {field.name: field for kind in types for field in dataclasses.fields(kind)}.values()
    ]
    meant = [each for each in nested if each.rpartition(".")[2] == name] or get_close_matches(
        name, [*kinds, *nested], n=1
    )
    groups = [argument for argument, types in kinds.items() if types]
    return UnknownSubstrate(
        f"{scheme}:// was given {group}{name}",
        f"it takes {', '.join(group + each for each in kinds)}"
        + (f", and fields of {', '.join(groups)} such as {nested[0]}" if groups else ""),
        f"did you mean {' or '.join(group + each for each in meant)}?" if meant else "",
    )


def _converted(name: str, word: str, hint: Any, scheme: str) -> Any:
    """Convert a word to one of the types of an annotation that words can have."""
    types = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if "," in word and tuple[float, ...] in types:
        return tuple(_converted(name, each.strip(), float, scheme) for each in word.split(","))
    plain = [each for each in types if each in (str, int, float, bool, NoneType) or get_origin(each) is Literal]
    if plain in ([], [NoneType]):
        raise UnknownSubstrate(
            f"{scheme}:// was given {name}={word!r}", f"{name} cannot be written in a URI", "leave it out"
        )
    allowed: Any = Union[tuple(plain)]  # noqa: UP007
    try:
        value = msgspec.convert(word, type=allowed, strict=False)
    except msgspec.ValidationError:
        value = math.nan
    if isinstance(value, float) and math.isnan(value):
        raise UnknownSubstrate(f"{scheme}:// was given {name}={word!r}", f"{name} is {type_meaning(allowed)}")
    return value
