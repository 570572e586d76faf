"""The address of a device that is reached without a broker, at a socket of its own: ``unix://`` and ``tcp://``."""

from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote, urlsplit

from inmateria.adapters.mqtt.wire.address import ANYONE, Address, Broker, is_loopback, names_a_broker
from inmateria.adapters.uri import shown
from inmateria.substrate import UnknownSubstrate

__all__ = ["DeviceSocket", "Place", "address_of", "names_a_device", "names_a_socket", "place_of"]

_MOST_PATH = 107
"""Bytes of the path of a Unix socket that Linux takes; macOS takes 103."""
_UNIX = "unix:///path/of/the/socket"
_TCP = "tcp://host:port/group/device"


class _OnlyDevice(Address):
    """The device at a socket whose URI does not name it: a socket serves only one."""

    def __str__(self) -> str:
        return "the device"


ONLY_DEVICE = _OnlyDevice("socket", "device")


@dataclass(frozen=True)
class DeviceSocket:
    """Where one device listens: the path of a Unix socket, or host and port.

    Parameters
    ----------
    path : str
        Of a Unix socket; empty for TCP.
    host : str
    port : int
    address : Address
        The device that is expected there; the socket of another one refuses.
    """

    path: str = ""
    host: str = ""
    port: int = 0
    address: Address = ONLY_DEVICE

    controller = ANYONE
    """The user part of topics: a socket does not tell users apart."""

    @classmethod
    def from_uri(cls, uri: str) -> Self:
        """Read ``unix:///path`` or ``tcp://host:port[/group/device]``; nothing is connected to.

        Raises
        ------
        UnknownSubstrate
            If it is neither.
        """
        try:
            parts = urlsplit(uri)
            port = parts.port
        except ValueError as error:
            raise UnknownSubstrate(f"{shown(uri)!r} cannot be read ({error})", f"{_UNIX}, or {_TCP}") from None
        if parts.scheme == "unix":
            path = unquote(parts.path)
            if parts.netloc or not path.strip("/") or path.endswith("/") or "\0" in path:
                raise UnknownSubstrate(f"{shown(uri)!r} names no socket", f"{_UNIX}, with three slashes")
            if len(path.encode()) > _MOST_PATH:
                raise UnknownSubstrate(
                    f"the path of {shown(uri)!r} has {len(path.encode())} bytes",
                    f"the system takes {_MOST_PATH} for a socket", "choose a shorter one",
                )  # fmt: skip
            return cls(path=path)
        if parts.scheme != "tcp" or not parts.hostname or port is None or "@" in parts.netloc:
            raise UnknownSubstrate(f"{shown(uri)!r} names no socket of a device", f"{_UNIX}, or {_TCP}")
        address = Address.from_uri(uri) if parts.path.strip("/") else ONLY_DEVICE
        return cls(host=parts.hostname, port=port, address=address)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return bool(self.path) or is_loopback(self.host)

    @property
    def described(self) -> str:
        """The other end of the connection in words."""
        return f"the device at {self}"

    def __str__(self) -> str:
        if self.path:
            return f"unix://{self.path}"
        return f"tcp://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


Place = Broker | DeviceSocket
"""Where a connection is opened to."""


def names_a_socket(uri: str) -> bool:
    """Return whether a URI names a device at a socket; ``tcp://host:port`` without a path is a board."""
    scheme, _, rest = uri.partition("://")
    scheme = scheme.lower()
    return scheme == "unix" or (scheme == "tcp" and bool(rest.partition("?")[0].partition("/")[2].strip("/")))


def names_a_device(uri: str) -> bool:
    """Return whether a URI names a device that is served, on a broker or at a socket, or such a broker."""
    return names_a_broker(uri) or names_a_socket(uri)


def place_of(uri: str) -> Place:
    """Return the broker or the socket that a URI names; see `Broker.from_uri` and `DeviceSocket.from_uri`."""
    return DeviceSocket.from_uri(uri) if uri.partition("://")[0].lower() in ("unix", "tcp") else Broker.from_uri(uri)


def address_of(uri: str) -> Address:
    """Return group and name of the device that a URI names."""
    place = place_of(uri) if names_a_socket(uri) else None
    return place.address if isinstance(place, DeviceSocket) else Address.from_uri(uri)
