"""Who may open the live page, and who may stop what it shows: hosts, origins and tokens."""

import hmac
import secrets
import socket
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

from inmateria.adapters.mqtt.wire.address import is_loopback

__all__ = ["Access"]


def _token() -> str:
    return secrets.token_urlsafe(24)


@dataclass(frozen=True)
class Access:
    """Rights of viewers.

    On a loopback interface a viewer needs no token to watch, and one to stop. On others it needs one of two tokens:
    that to watch, or that to watch and stop. Tokens are random, 192 bits each, and are made anew each time.

    Parameters
    ----------
    host : str
        Interface or name that the page is served on.
    stops : bool
        Whether what is watched can be stopped, so that there is such a right.
    """

    host: str
    stops: bool
    watching: str = field(default_factory=_token, repr=False)
    stopping: str = field(default_factory=_token, repr=False)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the page."""
        return is_loopback(self.host)

    def rights(self, token: str) -> tuple[bool, bool]:
        """Return whether a viewer with that token may watch, and whether it may stop."""
        given = token.encode()
        watching = hmac.compare_digest(given, self.watching.encode())
        stopping = hmac.compare_digest(given, self.stopping.encode()) and self.stops
        return watching or stopping or (self.loopback and not token), stopping

    def allows_host(self, header: str) -> bool:
        """Return whether a Host header names this server, and not another site's name that resolves to it.

        Names are what a rebinding of DNS needs; so allowed are addresses, ``localhost``, the name that was given and
        those of this machine.
        """
        try:
            name = urlsplit(f"//{header}").hostname or ""
        except ValueError:
            return False
        if self.loopback:
            return is_loopback(name)
        own = {"localhost", self.host.lower(), socket.gethostname().lower(), socket.getfqdn().lower()}
        return name in own or _is_address(name)

    @staticmethod
    def allows_origin(origin: str | None, host: str) -> bool:
        """Return whether a page of this server opens a web socket; programs that are no browser name no origin."""
        return origin is None or origin in (f"http://{host}", f"https://{host}")

    def addresses(self, port: int, *, encrypted: bool) -> dict[str, str]:
        """Return the addresses of the page by what they allow: ``"watch"``, and ``"watch and stop"``.

        Tokens stand behind ``#``, so that a browser keeps them to itself: they are in no request and no log of one.
        """
        name = socket.gethostname() if self.host in ("0.0.0.0", "::", "") else self.host
        scheme = "https" if encrypted else "http"
        base = f"{scheme}://{f'[{name}]' if ':' in name else name}:{port}/"
        found = {"watch": base if self.loopback else f"{base}#{self.watching}"}
        if self.stops:
            found["watch and stop"] = f"{base}#{self.stopping}"
        return found


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
