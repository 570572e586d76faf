"""From a URI to a substrate: the adapter that its scheme names, and the parameters in its query."""

import inspect
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl, urlsplit

import msgspec

from inmateria.substrate import Simulator, Substrate, UnknownSubstrate

_GROUP = "inmateria.adapters"
_REMOTE = "inmateria.adapters.mqtt.client.remote:remote_from_uri"
_SECRET = re.compile(r"(?i)([?&;](?:password|passwd|pwd|passphrase|token|secret|api_?key)=)[^&;#]*")
_SIMULATORS = {
    "echo": ("inmateria.simulators.echo_state:EchoStateNetwork", "reservoirpy's echo-state network, a digital one"),
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
    "replay": ("inmateria.adapters.replay:replay_from_uri", "what a recording holds: replay:///path/recording.h5"),
}


def connect(uri: str) -> Substrate:
    """Find the substrate that a URI names; nothing is opened until it is entered.

    Parameters
    ----------
    uri : str
        For instance ``nanowire://?wires=100&seed=42`` or ``mqtt://host:1883/lab/nwn-1``.

    Raises
    ------
    UnknownSubstrate
        Where the URI, its scheme or a parameter is not known.
    """
    scheme = _scheme(uri)
    if scheme in _SIMULATORS:
        from inmateria.adapters.simulated import SimulatedSubstrate

        return SimulatedSubstrate(simulator_from_uri(uri))
    if scheme in _ADAPTERS:
        opened = _load(_ADAPTERS[scheme][0])(uri)
    else:
        found = {point.name: point for point in entry_points(group=_GROUP)}
        if scheme not in found:
            raise _unknown(scheme, uri, [*_SIMULATORS, *_ADAPTERS, *found])
        opened = found[scheme].load()(uri)
    if not isinstance(opened, Substrate):
        raise UnknownSubstrate(
            f"the adapter for {scheme}:// gave a {type(opened).__name__}", "an adapter gives a Substrate", "mend it"
        )
    return opened


def simulator_from_uri(uri: str) -> Simulator:
    """Make the simulator that a URI names, its query being the parameters of its constructor.

    Raises
    ------
    UnknownSubstrate
        Where there is no such simulator, or it does not take these parameters.
    """
    scheme = _scheme(uri)
    if scheme not in _SIMULATORS:
        raise _unknown(scheme, uri, list(_SIMULATORS))
    parts = urlsplit(uri)
    if parts.netloc or parts.path.strip("/"):
        raise UnknownSubstrate(
            f"{shown(uri)!r} names a place",
            "a simulator has none, only parameters",
            f"write {scheme}://?name=value&name=value",
        )
    make: Callable[..., Simulator] = _load(_SIMULATORS[scheme][0])
    try:
        return make(**parameters_for(make, query_of(uri), scheme))
    except ImportError as error:
        raise UnknownSubstrate(f"{shown(uri)!r} needs what is not installed", str(error)) from error
    except ValueError as error:
        raise UnknownSubstrate(f"{shown(uri)!r} makes no {scheme} simulator: {error}") from None


def adapters_found() -> list[tuple[str, str]]:
    """List the schemes that `connect` knows, with a line on each."""
    own = [(scheme, text) for scheme, (_, text) in {**_SIMULATORS, **_ADAPTERS}.items()]
    others = [
        (point.name, f"from {point.dist.name} {point.dist.version}" if point.dist else point.value)
        for point in entry_points(group=_GROUP)
    ]
    return own + sorted(others)


def query_of(uri: str) -> dict[str, str]:
    """Read the query of a URI, each name once."""
    pairs = parse_qsl(urlsplit(uri).query, keep_blank_values=True)
    names = [name for name, _ in pairs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UnknownSubstrate(f"{shown(uri)!r} gives {', '.join(twice)} more than once", "each parameter once")
    return dict(pairs)


def shown(uri: str) -> str:
    """Give a URI, or the URL of a database, as it may be printed: without user, password or token."""
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


def _of_words(hint: Any) -> Any:
    """Give what a word can be of the types that an annotation allows: no object comes out of a URI."""
    if get_origin(hint) not in (Union, UnionType):
        return hint
    words = (str, int, float, bool, NoneType)
    plain = [each for each in get_args(hint) if each in words or get_origin(each) is Literal]
    return Union[tuple(plain)] if plain else hint  # noqa: UP007


def parameters_for(make: Callable[..., object], given: Mapping[str, str], scheme: str) -> dict[str, Any]:
    """Turn words into the types that a constructor's annotations name."""
    constructor = inspect.unwrap(make.__init__ if inspect.isclass(make) else make)
    hints = get_type_hints(constructor)
    names = list(inspect.signature(make).parameters)
    parameters = {}
    for name, word in given.items():
        if name not in names:
            close = get_close_matches(name, names, n=1)
            raise UnknownSubstrate(
                f"{scheme}:// was given {name}",
                f"it takes {', '.join(names)}",
                f"did you mean {close[0]}?" if close else "",
            )
        try:
            parameters[name] = msgspec.convert(word, type=_of_words(hints[name]), strict=False)
        except msgspec.ValidationError:
            wanted = getattr(hints[name], "__name__", str(hints[name]))
            raise UnknownSubstrate(f"{scheme}:// was given {name}={word!r}", f"{name} is a {wanted}") from None
    return parameters
