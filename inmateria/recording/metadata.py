"""Description of an experiment: who recorded what and where, under the names of NWB; from a file or single values.

It is kept in the annotations of a recording, and written by an export to NWB.
"""

import json
import re
import tomllib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from inmateria.recording.format import RecordingError

__all__ = [
    "ExperimentMetadata",
    "MetadataError",
    "SubjectMetadata",
    "checked_metadata",
    "merged",
    "read_metadata",
    "with_value",
]

NOT_LIVING = "none"
"""Value of `SubjectMetadata.species` for what is no living being."""

_NUMBER = r"\d+(\.\d+)?"
_DATE, _TIME = ("".join(rf"({_NUMBER}{unit})?" for unit in units) for units in ("YMWD", "HMS"))
_DURATION = rf"P(?=[\dT]){_DATE}(T(?=\d){_TIME})?"
_AGE = re.compile(rf"{_DURATION}(/({_DURATION})?)?")
_SPECIES = re.compile(r"[A-Z][a-z]* [a-z]+|http://purl\.obolibrary\.org/obo/NCBITaxon_\d+")
_WEIGHT = re.compile(r"\d+(\.\d+)? (kg|g|mg|ug|ng|pg)")
_WORM = ("Caenorhabditis elegans", "http://purl.obolibrary.org/obo/NCBITaxon_6239")

Text = Annotated[str, Meta(min_length=1)]


class MetadataError(RecordingError, ValueError):
    """Metadata of an experiment cannot be read, or a value is not allowed."""


class SubjectMetadata(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The living being that was recorded, or that the tissue is from.

    Parameters
    ----------
    species : str, optional
        Latin name of genus and species such as "Rattus norvegicus", a link to NCBI's taxonomy such as
        ``http://purl.obolibrary.org/obo/NCBITaxon_10116``, or "none" for what is no living being.
    subject_id : str, optional
        Name within the laboratory, without slashes; the id of the device by default.
    sex : str, optional
        "M", "F", "O" (other) or "U" (unknown); "XX" or "XO" for Caenorhabditis elegans.
    age : str, optional
        ISO 8601 duration such as "P90D", or a range such as "P1D/P3D" or "P90D/".
    age_reference : str, optional
        "birth" (the default) or "gestational".
    date_of_birth : str, optional
        ISO 8601 date and time with its time zone.
    description, genotype, strain : str, optional
    weight : str, optional
        Number and unit, such as "0.25 kg".
    """

    species: Text | None = None
    subject_id: Text | None = None
    sex: Text | None = None
    age: Text | None = None
    age_reference: Text | None = None
    date_of_birth: Text | None = None
    description: Text | None = None
    genotype: Text | None = None
    strain: Text | None = None
    weight: Text | None = None

    def __post_init__(self) -> None:
        species = "genus and species such as 'Rattus norvegicus', a link to NCBI's taxonomy, or 'none'"
        _check("subject.species", self.species, _SPECIES, species, NOT_LIVING)
        sexes = ("XX", "XO") if self.species in _WORM else ("M", "F", "O", "U")
        if self.sex is not None and self.sex not in sexes:
            raise ValueError(f"subject.sex is {self.sex!r}; allowed are {', '.join(sexes)}")
        _check("subject.age", self.age, _AGE, "an ISO 8601 duration such as P90D, or a range such as P1D/P3D")
        _check("subject.weight", self.weight, _WEIGHT, "a number and a unit such as '0.25 kg'")
        if self.age_reference not in (None, "birth", "gestational"):
            raise ValueError(f"subject.age_reference is {self.age_reference!r}; allowed are birth and gestational")
        if self.subject_id is not None and "/" in self.subject_id:
            raise ValueError(f"subject.subject_id is {self.subject_id!r}; it must have no slash")
        _check_time("subject.date_of_birth", self.date_of_birth)


class ExperimentMetadata(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An experiment, as described in NWB; see pynwb's ``NWBFile``.

    Parameters
    ----------
    session_description, experiment_description : str, optional
    experimenter : list of str, optional
        "Last name, first name" each.
    institution, lab : str, optional
    keywords, related_publications : list of str, optional
    session_start_time : str, optional
        ISO 8601 date and time with its time zone; by default the host's clock at the device's time 0.
    session_id : str, optional
        Without slashes.
    spike_resolution : float, optional
        Smallest difference between two spike times, s: usually one divided by the sampling rate they were found at.
    notes, protocol, pharmacology, surgery, stimulus_notes, data_collection : str, optional
    subject : SubjectMetadata, optional
    culture, experiment : dict, optional
        Parameters of the extension ndx-cell-culture's ``CellCulture`` and ``ExperimentContext``.
    """

    session_description: Text | None = None
    experiment_description: Text | None = None
    experimenter: tuple[Text, ...] = ()
    institution: Text | None = None
    lab: Text | None = None
    keywords: tuple[Text, ...] = ()
    related_publications: tuple[Text, ...] = ()
    session_start_time: Text | None = None
    session_id: Text | None = None
    notes: Text | None = None
    protocol: Text | None = None
    pharmacology: Text | None = None
    surgery: Text | None = None
    stimulus_notes: Text | None = None
    data_collection: Text | None = None
    spike_resolution: Annotated[float, Meta(gt=0.0)] | None = None
    subject: SubjectMetadata | None = None
    culture: dict[str, Any] | None = None
    experiment: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        _check_time("session_start_time", self.session_start_time)
        if self.session_id is not None and "/" in self.session_id:
            raise ValueError(f"session_id is {self.session_id!r}; it must have no slash")


_LISTS = ("experimenter", "keywords", "related_publications")


def read_metadata(path: Path) -> dict[str, Any]:
    """Read a file of metadata, TOML or JSON by its suffix.

    Raises
    ------
    MetadataError
        If it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".toml":
            return tomllib.loads(text)
        if path.suffix == ".json":
            read = json.loads(text)
            if isinstance(read, dict):
                return read
            raise MetadataError(f"{path} holds no JSON object; give names and values")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        if isinstance(error, MetadataError):
            raise
        raise MetadataError(f"{path} cannot be read ({error})") from None
    raise MetadataError(f"{path} is neither .toml nor .json; give metadata in one of these")


def with_value(metadata: Mapping[str, Any], name: str, value: str) -> dict[str, Any]:
    """Return metadata with a value set, or appended to a list: ``experimenter``, or ``subject.species``.

    Raises
    ------
    MetadataError
        If the name goes into something that holds no names.
    """
    first, dot, rest = name.partition(".")
    old = metadata.get(first)
    if dot:
        if old is not None and not isinstance(old, Mapping):
            raise MetadataError(f"{name} cannot be set: {first} holds no names")
        return {**metadata, first: with_value(old or {}, rest, value)}
    if first in _LISTS:
        return {**metadata, first: [*([old] if isinstance(old, str) else old or []), value]}
    return {**metadata, first: value}


def checked_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Check metadata, and return them as annotations of a recording.

    Raises
    ------
    MetadataError
        If a name is unknown or a value is not allowed; the message says which are.
    """
    given = {name: [each] if name in _LISTS and isinstance(each, str) else each for name, each in metadata.items()}
    try:
        found = msgspec.convert(_plain(given), ExperimentMetadata, strict=False)  # numbers may be written as text
    except (msgspec.ValidationError, ValueError) as error:
        raise MetadataError(f"the metadata are not as needed: {_told(error, given)}") from None
    return {name: each for name, each in msgspec.to_builtins(found).items() if each is not None}


def merged(annotations: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return annotations with metadata before them, and those of the subject name by name."""
    found = {**annotations, **metadata}
    subject = annotations.get("subject")
    if isinstance(subject, Mapping) and "subject" in metadata:
        found["subject"] = {**subject, **metadata["subject"]}
    return found


def _plain(value: Any) -> Any:
    """Return dates of TOML as ISO 8601."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value.isoformat() if hasattr(value, "isoformat") else value


def _told(error: Exception, given: Mapping[str, Any]) -> str:
    """Return the message of an error of msgspec with the names that are known."""
    unknown = re.search(r"unknown field `([^`]*)`", str(error))
    if unknown is None:
        return str(error)
    of_subject = unknown[1] not in given
    kind = SubjectMetadata if of_subject else ExperimentMetadata
    known = ", ".join(field.name for field in msgspec.structs.fields(kind))
    return f"there is no {'subject.' if of_subject else ''}{unknown[1]}; there are {known}"


def _check(name: str, value: str | None, pattern: re.Pattern[str], allowed: str, *others: str) -> None:
    if value is not None and value not in others and not pattern.fullmatch(value):
        raise ValueError(f"{name} is {value!r}; give {allowed}")


def _check_time(name: str, value: str | None) -> None:
    if value is None:
        return
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise ValueError(
            f"{name} is {value!r}; give a date and time with its time zone, such as 2026-11-26T10:30:00+01:00"
        )
