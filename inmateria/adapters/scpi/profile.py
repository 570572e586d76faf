"""Profiles of instruments that speak SCPI: which commands set and read which channels, in a small TOML file."""

import re
from importlib import resources
from pathlib import Path
from string import Formatter

import msgspec

from inmateria.substrate import Channel

__all__ = ["InputProfile", "OutputProfile", "Profile", "ProfileError", "load_profile", "profile_names"]


class ProfileError(ValueError):
    """A profile is not there, or not right; the message says what is wrong."""


class _ChannelProfile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of inputs and outputs; see `Channel`."""

    name: str
    unit: str
    low: float
    high: float


class InputProfile(_ChannelProfile, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An input: a channel, and the command that sets it.

    Parameters
    ----------
    set : str
        With ``{value}`` where the number belongs, such as ``":SOUR:VOLT {value:.7G}"``.
    levels : tuple of float, optional
    rest : float
        Value at rest.
    """

    set: str
    levels: tuple[float, ...] | None = None
    rest: float = 0.0

    def channel(self, limit: float | None) -> Channel:
        """Return the channel, with a narrower range if a limit of the absolute value is given."""
        low, high = self.low, self.high
        if limit is not None:
            low, high = max(low, -limit), min(high, limit)
        return Channel(name=self.name, unit=self.unit, low=low, high=high, levels=self.levels)


class OutputProfile(_ChannelProfile, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An output: a channel, and the query that reads it.

    Parameters
    ----------
    query : str
        Outputs with the same query are read from one answer.
    field : int
        Which of the numbers in the answer, separated by commas, counted from 0.
    """

    query: str
    field: int = 0

    @property
    def channel(self) -> Channel:
        """The channel."""
        return Channel(name=self.name, unit=self.unit, low=self.low, high=self.high)


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An instrument that speaks SCPI.

    Parameters
    ----------
    name, kind : str
    identity : str
        Regular expression that is found in the answer to ``*IDN?``.
    inputs, outputs : tuple of InputProfile, OutputProfile
        In the order in which they are set and read.
    open, close : tuple of str
        Commands that are sent first on connecting, and last on leaving, beside those that set the inputs to rest.
    errors : str
        Query of the oldest error; ``""`` if there is none.
    settings : dict of str to float
        Numbers in the commands of ``open``, as ``{name}``, with their defaults.
    step, settle : float
        Default duration of a step, and the time from setting to reading, s.
    """

    name: str
    kind: str
    inputs: tuple[InputProfile, ...]
    outputs: tuple[OutputProfile, ...]
    identity: str = ""
    open: tuple[str, ...] = ()
    close: tuple[str, ...] = ()
    errors: str = ":SYST:ERR?"
    settings: dict[str, float] = {}
    step: float = 0.1
    settle: float = 0.0

    def __post_init__(self) -> None:
        try:
            re.compile(self.identity)
        except re.error as error:
            raise ValueError(f"identity is no regular expression ({error})") from None
        for line in (*self.open, *self.close, self.errors, *(output.query for output in self.outputs)):
            _check_line(line, self.settings)
        for given in self.inputs:
            _check_line(given.set, {"value": 0.0})
            if "value" not in _fields(given.set):
                raise ValueError(f"set of input {given.name} is {given.set!r}; it has no {{value}}")
        for output in self.outputs:
            if output.field < 0:
                raise ValueError(f"field of output {output.name} is {output.field}; give 0 or more")

    def opening(self, given: dict[str, float]) -> list[str]:
        """Return the commands of ``open`` with these settings in place of the defaults."""
        return [line.format(**{**self.settings, **given}) for line in self.open]


def profile_names() -> list[str]:
    """Return the names of the profiles that come with the package."""
    folder = resources.files("inmateria.adapters.scpi") / "profiles"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_profile(named: str) -> Profile:
    """Load a profile.

    Parameters
    ----------
    named : str
        Name of one that comes with the package, or path of a TOML file.

    Raises
    ------
    ProfileError
        If there is none, or it is not right.
    """
    if named in profile_names():
        text = (resources.files("inmateria.adapters.scpi") / "profiles" / f"{named}.toml").read_bytes()
    else:
        try:
            text = Path(named).read_bytes()
        except OSError as error:
            raise ProfileError(
                f"there is no profile {named!r} ({error.strerror}); known are {', '.join(profile_names())}, "
                "or give the path of a TOML file"
            ) from None
    try:
        return msgspec.toml.decode(text, type=Profile)
    except (msgspec.MsgspecError, ValueError) as error:
        raise ProfileError(f"profile {named!r} is not right: {error}") from None


def _check_line(line: str, known: dict[str, float]) -> None:
    if any(not letter.isprintable() or ord(letter) > 126 for letter in line):
        raise ValueError(f"the command {line!r} has characters that are not printable ASCII")
    try:
        strange = _fields(line) - set(known)
        line.format(**dict.fromkeys(known, 0.0))
    except (ValueError, IndexError, KeyError, AttributeError) as error:
        raise ValueError(f"the command {line!r} cannot be written with its numbers ({error!r})") from None
    if strange:
        raise ValueError(f"the command {line!r} has {sorted(strange)}, which are no settings")


def _fields(line: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(line) if name is not None}
