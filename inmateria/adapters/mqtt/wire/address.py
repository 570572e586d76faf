"""The address of a broker, the credentials shown to it, and the address of a device on it."""

import logging
import os
import re
import ssl
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Literal, NamedTuple, Self
from urllib.parse import SplitResult, urlsplit

from inmateria.adapters.uri import query_of, shown
from inmateria.substrate import UnknownSubstrate

__all__ = ["BROKER_OPTIONS", "ROOT", "WEBSOCKET_PATH", "Address", "Broker", "is_loopback", "names_a_broker"]

_logger = logging.getLogger("inmateria")
ROOT = "inmateria/1"
ANYONE = "anyone"
BROKER_OPTIONS = ("ca", "certificate", "key", "credentials", "mqtt")
"""Parameters in the query of a URI that concern the broker; all others concern the substrate."""


class _Scheme(NamedTuple):
    tls: bool
    transport: Literal["tcp", "websockets"]
    port: int


_SCHEMES = {
    "mqtt": _Scheme(False, "tcp", 1883),
    "mqtts": _Scheme(True, "tcp", 8883),
    "ws": _Scheme(False, "websockets", 80),
    "wss": _Scheme(True, "websockets", 443),
}
_HOW = "mqtt://host:port, mqtts://host:port (TLS), ws://host:port or wss://host:port (WebSocket)"
WEBSOCKET_PATH = "/mqtt"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")
_VERSIONS = ("3.1.1", "5")
_USER = re.compile(r"[A-Za-z0-9._@-]{1,64}")


@dataclass(frozen=True)
class Broker:
    """Address of a broker, and the credentials shown to it.

    Parameters
    ----------
    host, port : str, int
    tls : bool
        Whether the connection is encrypted and the broker's certificate is checked.
    ca, certificate, key : str, optional
        PEM files: the authority that signs the broker's certificate (by default those that the system trusts), and
        the client certificate, where the broker asks for one.
    username, password : str, optional
    version : {"3.1.1", "5"}
        Of MQTT.
    transport : {"tcp", "websockets"}
    """

    host: str
    port: int
    tls: bool = False
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    username: str | None = None
    password: str | None = None
    version: str = "3.1.1"
    transport: Literal["tcp", "websockets"] = "tcp"

    @classmethod
    def from_uri(cls, uri: str) -> Self:
        """Read ``mqtt[s]://host[:port][/group/device][?ca=...&certificate=...&key=...&credentials=...&mqtt=5]``.

        ``ws://`` and ``wss://`` name a broker that speaks MQTT over WebSocket, at the path ``/mqtt``. What the query
        leaves out is taken from the environment: ``INMATERIA_MQTT_CA``, ``_CERTIFICATE``, ``_KEY``,
        ``_CREDENTIALS`` (a file whose one line is ``username:password``), ``_USERNAME`` and ``_PASSWORD``. Nothing is
        looked up or connected to.

        Raises
        ------
        UnknownSubstrate
            If it names no broker, has another scheme, or carries a user name or password: the command line of a
            process can be read by other users, and a URI is kept in recordings.
        """
        parts, scheme, port = _parts(uri)
        assert parts.hostname is not None
        query = query_of(uri)
        files = {name: query.get(name) or _from_environment(name) for name in ("ca", "certificate", "key")}
        if not scheme.tls and (asked := [name for name in files if name in query]):
            raise UnknownSubstrate(
                f"{shown(uri)!r} gives {', '.join(asked)}",
                f"{parts.scheme}:// is not encrypted and has no certificates",
                f"use {parts.scheme}s://",
            )
        if files["key"] and not files["certificate"]:
            raise UnknownSubstrate(
                f"{shown(uri)!r} is used with a key", "a key comes with its certificate", "give both"
            )
        version = query.get("mqtt", _VERSIONS[0])
        if version not in _VERSIONS:
            raise UnknownSubstrate(f"{shown(uri)!r} asks for MQTT {version}", f"known are {' and '.join(_VERSIONS)}")
        username, password = _credentials(query.get("credentials"))
        if password and not scheme.tls and not is_loopback(parts.hostname):
            _logger.warning("the password goes to %s unencrypted; use %ss://", parts.hostname, parts.scheme)
        return cls(
            parts.hostname, port, scheme.tls, files["ca"], files["certificate"], files["key"], username, password,
            version, scheme.transport,
        )  # fmt: skip

    @property
    def controller(self) -> str:
        """The user part of topics: the user name, so that a broker's access list can tell users apart."""
        return self.username or ANYONE

    def tls_context(self) -> ssl.SSLContext | None:
        """Make the TLS context of the connection; None where it is not encrypted.

        Raises
        ------
        UnknownSubstrate
            If a certificate or key cannot be read.
        """
        if not self.tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            named = ", ".join(each for each in (self.ca, self.certificate, self.key) if each)
            raise UnknownSubstrate(
                f"a certificate or key for {self} cannot be read ({error.strerror or error})",
                f"files in PEM format; named are {named}",
                "check the paths and who may read them",
            ) from None
        return context

    @property
    def described(self) -> str:
        """The other end of the connection in words."""
        return f"the broker at {self}"

    def __str__(self) -> str:
        scheme = next(name for name, each in _SCHEMES.items() if each[:2] == (self.tls, self.transport))
        return f"{scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"<broker {self}>"


@dataclass(frozen=True)
class Address:
    """Group and name of a device on a broker, and its topics."""

    group: str
    device: str

    @classmethod
    def from_uri(cls, uri: str) -> Self:
        """Read ``/group/device`` off a URI; raises `UnknownSubstrate` where it is not there."""
        names = urlsplit(uri).path.strip("/").split("/")
        if len(names) != 2 or not all(names):
            raise UnknownSubstrate(
                f"{shown(uri)!r} does not name a device",
                "mqtt://host:port/group/device, such as mqtt://127.0.0.1:1883/lab/nwn-1",
                "see what `inmateria serve` prints",
            )
        return cls.named(*names)

    @classmethod
    def named(cls, group: str, device: str) -> Self:
        """Make an address that a URI and a topic can carry; raises `UnknownSubstrate` where they cannot."""
        for what, name in (("group", group), ("name", device)):
            if not _NAME.fullmatch(name) or name in {".", ".."}:
                raise UnknownSubstrate(
                    f"the {what} of the device is {name[:80]!r}",
                    "1 to 128 letters (a to z), digits, '.', '_' and '-', since it is a part of a URI and of topics",
                    f"give another {what}",
                )
        return cls(group, device)

    def topic(self, *parts: str) -> str:
        """Name a topic of this device."""
        return "/".join((ROOT, self.group, self.device, *parts))

    def __str__(self) -> str:
        return f"{self.group}/{self.device}"


def names_a_broker(uri: str) -> bool:
    """Return whether the scheme of a URI is one of a broker."""
    return uri.partition("://")[0].lower() in _SCHEMES


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address; a name other than ``localhost`` is not looked up."""
    if host.lower().rstrip(".") == "localhost":
        return True
    address = _ip(host)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address is not None and address.is_loopback


def _ip(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _parts(uri: str) -> tuple[SplitResult, _Scheme, int]:
    """Part a URI of a broker, or of a device on one; nothing is looked up."""
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError as error:
        raise UnknownSubstrate(f"{shown(uri)!r} cannot be read ({error})", _HOW) from None
    if "@" in parts.netloc:
        raise UnknownSubstrate(
            f"a URI of {parts.netloc.rpartition('@')[2]} carries a user name or a password",
            "neither: other users see it in the list of processes, and it stays in recordings",
            "put username:password in a file and name that: ?credentials=FILE or INMATERIA_MQTT_CREDENTIALS=FILE",
        )
    if parts.scheme not in _SCHEMES:
        raise UnknownSubstrate(f"{shown(uri)!r} does not name a broker", _HOW, "give one of these schemes")
    if not parts.hostname:
        raise UnknownSubstrate(f"{shown(uri)!r} names no host", _HOW)
    scheme = _SCHEMES[parts.scheme]
    return parts, scheme, scheme.port if port is None else port


def _from_environment(name: str) -> str | None:
    return os.environ.get(f"INMATERIA_MQTT_{name.upper()}") or None


def _credentials(named: str | None) -> tuple[str | None, str | None]:
    """Find user name and password: in the named file, or in the environment."""
    username, password = _from_environment("username"), _from_environment("password")
    path = named or (None if username else _from_environment("credentials"))
    if path is not None:
        try:
            username, colon, password = Path(path).read_text("utf-8").strip().partition(":")
        except (OSError, UnicodeDecodeError) as error:
            raise UnknownSubstrate(
                f"the credentials in {path} cannot be read ({error})", "a file whose one line is username:password"
            ) from None
        if not colon or "\n" in password:
            raise UnknownSubstrate(f"{path} holds no credentials", "one line, username:password")
    if username is not None and not _USER.fullmatch(username):
        raise UnknownSubstrate(
            "the user name for the broker has other characters, or more than 64",
            "letters, digits, '.', '_', '@' and '-', because it is a part of topics",
        )
    return username, password
