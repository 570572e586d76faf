"""Where a broker listens, who we are to it, and where a device lives on it."""

import logging
import os
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from inmateria.adapters.uri import query_of
from inmateria.substrate import UnknownSubstrate

__all__ = ["BROKER_OPTIONS", "ROOT", "Address", "Broker", "is_loopback"]

_logger = logging.getLogger("inmateria")
ROOT = "inmateria/1"
ANYONE = "anyone"
BROKER_OPTIONS = ("ca", "certificate", "key", "credentials", "mqtt")
"""What the query of a URI may say about the broker; anything else is for who uses it."""
_PORTS = {"mqtt": 1883, "mqtts": 8883}
_VERSIONS = ("3.1.1", "5")
_USER = re.compile(r"[A-Za-z0-9._@-]{1,64}")


@dataclass(frozen=True)
class Broker:
    """Where a broker listens, and who we are to it.

    Parameters
    ----------
    host, port : str, int
    tls : bool
        Encrypted, the broker's certificate being checked.
    ca, certificate, key : str, optional
        Files: who signs the broker's certificate (the system's list by default), and our own, where the
        broker asks for one.
    username, password : str, optional
    version : {"3.1.1", "5"}
        Of MQTT.
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

    @classmethod
    def from_uri(cls, uri: str) -> Self:
        """Read ``mqtt[s]://host[:port][/group/device][?ca=...&certificate=...&key=...&credentials=...&mqtt=5]``.

        What the query leaves out is taken from the environment: ``INMATERIA_MQTT_CA``, ``_CERTIFICATE``,
        ``_KEY``, ``_CREDENTIALS`` (a file whose one line is ``username:password``), ``_USERNAME`` and
        ``_PASSWORD``.

        Raises
        ------
        UnknownSubstrate
            Where it names no broker, or carries a user or a password: a URI is seen by everybody who may list
            processes, and is kept in recordings.
        """
        parts = urlsplit(uri)
        if "@" in parts.netloc:
            raise UnknownSubstrate(
                f"a URI of {parts.netloc.rpartition('@')[2]} carries a user name or a password",
                "neither: others see it in the list of processes, and it stays in recordings",
                "put username:password in a file and name that: ?credentials=FILE or INMATERIA_MQTT_CREDENTIALS=FILE",
            )
        try:
            port = parts.port or _PORTS[parts.scheme]
        except (KeyError, ValueError):
            raise UnknownSubstrate(f"{uri!r} does not name a broker", "mqtt://host:port or mqtts://host:port") from None
        if not parts.hostname:
            raise UnknownSubstrate(f"{uri!r} names no host", "mqtt://host:port/group/device")
        query = query_of(uri)
        tls = parts.scheme == "mqtts"
        files = {name: query.get(name) or _from_environment(name) for name in ("ca", "certificate", "key")}
        if not tls and (asked := [name for name in files if name in query]):
            raise UnknownSubstrate(
                f"{uri!r} gives {', '.join(asked)}", "mqtt:// is not encrypted and has no certificates", "mqtts://..."
            )
        if files["key"] and not files["certificate"]:
            raise UnknownSubstrate(f"{uri!r} is used with a key", "a key comes with its certificate", "give both")
        version = query.get("mqtt", _VERSIONS[0])
        if version not in _VERSIONS:
            raise UnknownSubstrate(f"{uri!r} asks for MQTT {version}", f"known are {' and '.join(_VERSIONS)}")
        username, password = _credentials(query.get("credentials"))
        if password and not tls and not is_loopback(parts.hostname):
            _logger.warning("the password goes to %s unencrypted; use mqtts://", parts.hostname)
        return cls(
            parts.hostname, port, tls, files["ca"], files["certificate"], files["key"], username, password, version
        )

    @property
    def controller(self) -> str:
        """Who we are in topics: the user name, so that a broker's access list can tell users apart."""
        return self.username or ANYONE

    def tls_context(self) -> ssl.SSLContext | None:
        """Make what encrypts the connection; None where it is not encrypted.

        Raises
        ------
        UnknownSubstrate
            Where a certificate or key cannot be read.
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

    def __str__(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"<broker {self}>"


@dataclass(frozen=True)
class Address:
    """Where a device lives on a broker, and its topics."""

    group: str
    device: str

    @classmethod
    def from_uri(cls, uri: str) -> Self:
        """Read ``/group/device`` off a URI."""
        names = urlsplit(uri).path.strip("/").split("/")
        if len(names) != 2 or not all(names) or any(mark in name for name in names for mark in "+#"):
            raise UnknownSubstrate(
                f"{uri!r} does not name a device",
                "mqtt://host:port/group/device, such as mqtt://127.0.0.1:1883/lab/nwn-1",
                "see what `inmateria serve` prints",
            )
        return cls(*names)

    def topic(self, *parts: str) -> str:
        """Name a topic of this device."""
        return "/".join((ROOT, self.group, self.device, *parts))

    def __str__(self) -> str:
        return f"{self.group}/{self.device}"


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach that address."""
    return host in ("localhost", "::1") or host.startswith("127.")


def _from_environment(name: str) -> str | None:
    return os.environ.get(f"INMATERIA_MQTT_{name.upper()}") or None


def _credentials(named: str | None) -> tuple[str | None, str | None]:
    """Find user name and password: in the file that was named, or in the environment."""
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
