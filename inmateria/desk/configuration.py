"""An experiment written in a file: TOML or JSON, with the names that the command line and run.json have."""

import tomllib
from pathlib import Path
from typing import Any

import msgspec

__all__ = ["ConfigurationError", "Experiment", "read_experiment"]


class ConfigurationError(ValueError):
    """A file does not describe an experiment; the message says what is wrong in it, and what is allowed."""


class Experiment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An experiment as a file describes it; what is None was not given.

    Parameters
    ----------
    task : str, optional
        Name of the task.
    on : str or list of str, optional
        URI of the substrate; a sweep takes several.
    over : {"local", "mqtt", "remote"}, optional
        How the substrate is reached.
    keep : str, optional
        What the recording keeps.
    part : {"test", "validation"}, optional
        The data that are scored.
    out : str, optional
        Folder in which run folders are made; in a sweep, the sweep's folder.
    settings : dict
        Settings of the task by name; in a sweep, a list is several values.
    seeds : int, optional
        Of a sweep: number of seeds for each point.
    workers : int, optional
        Of a sweep: number of processes.
    """

    task: str | None = None
    on: str | list[str] | None = None
    over: str | None = None
    keep: str | None = None
    part: str | None = None
    out: str | None = None
    settings: dict[str, Any] = {}
    seeds: int | None = None
    workers: int | None = None


_MADE_BY_A_RUN = ("created", "substrate", "outcome", "versions", "version", "seconds", "threads", "cost")


def read_experiment(path: Path) -> Experiment:
    """Read an experiment from a TOML or JSON file, or from a run folder or its run.json.

    Raises
    ------
    ConfigurationError
        If the file cannot be read, is neither TOML nor JSON, or has a name that an experiment has not.
    """
    file = path / "run.json" if path.is_dir() else path
    try:
        text = file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read ({error.strerror})") from None
    try:
        given = msgspec.json.decode(text) if file.suffix == ".json" else tomllib.loads(text.decode())
    except (msgspec.DecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        kind = "JSON" if file.suffix == ".json" else "TOML"
        raise ConfigurationError(f"{file} is not {kind} ({error})") from None
    if isinstance(given, dict) and "outcome" in given:
        given = {name: value for name, value in given.items() if name not in _MADE_BY_A_RUN}
    try:
        return msgspec.convert(given, Experiment)
    except msgspec.ValidationError as error:
        raise ConfigurationError(
            f"{file}: {error}; an experiment has {', '.join(Experiment.__struct_fields__)}"
        ) from None
