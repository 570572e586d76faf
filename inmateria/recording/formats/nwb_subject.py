"""The subject of an NWB file, from the annotations of a recording; and of what is no living being."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pynwb.file import Subject

from inmateria.recording.formats.nwb_culture import culture_subject
from inmateria.recording.metadata import NOT_LIVING
from inmateria.substrate import SubstrateInfo

_LIFELESS_KINDS = ("nanowire-network", "echo-state-network", "scattering-medium")
_LIFELESS_SPECIES = "http://purl.obolibrary.org/obo/NCBITaxon_32630"
"""NCBI's entry "synthetic construct", which is no organism."""

_DANDI = {
    "species": "a subject's species, such as --meta subject.species='Rattus norvegicus' (or none, if it is not alive)",
    "sex": "a subject's sex: --meta subject.sex=M, F, O (other) or U (unknown)",
    "age": "a subject's age: --meta subject.age=P90D, or subject.date_of_birth",
}


def subject_of(annotations: Mapping[str, Any], info: SubstrateInfo) -> tuple[Subject | None, list[str]]:
    """Return the subject of a recording, and what DANDI needs beyond it, with the way to give it.

    DANDI (nwbinspector's configuration of that name) needs a subject with a species, a sex and an age in every file,
    also of what is no living being. That is written as of NCBI's entry "synthetic construct", of unknown sex, and of an
    age of 0 days or more, which its description says. The annotation ``subject`` has the fields of
    `inmateria.recording.metadata.SubjectMetadata`; that a thing is not alive is known of simulators, and of the kinds
    of matter in this package.

    Raises
    ------
    RecordingError
        If the annotation ``culture`` cannot be written.
    """
    given = dict(annotations.get("subject") or {})
    species = given.get("species")
    made: Subject | None
    if isinstance(annotations.get("culture"), Mapping):
        made = culture_subject(annotations, _fields(given))
    elif species == NOT_LIVING or (species is None and _is_lifeless(info)):
        made = _lifeless(given, info)
    elif given:
        made = Subject(**_fields({"subject_id": info.id, **given}))
    else:
        made = None
    missing = [name for name in ("species", "sex") if made is None or not getattr(made, name)]
    if made is None or (made.age is None and made.date_of_birth is None):
        missing.append("age")
    return made, [f"for DANDI it lacks {_DANDI[name]}" for name in missing]


def _is_lifeless(info: SubstrateInfo) -> bool:
    return info.identity == "parameters" or info.kind in _LIFELESS_KINDS


def _lifeless(given: Mapping[str, Any], info: SubstrateInfo) -> Subject:
    what = f"the {info.kind} {info.id}" + (", a simulator" if info.identity == "parameters" else "")
    said = f"Not a living being: {what}. Species, sex and age are stated because DANDI needs them of every subject."
    described = " ".join(filter(None, (given.get("description"), said)))
    rest = {name: value for name, value in given.items() if name not in ("species", "description")}
    return Subject(
        **_fields({"subject_id": info.id, "sex": "U", "age": "P0D/", **rest}),
        species=_LIFELESS_SPECIES,
        description=described,
    )


def _fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a subject with the names and types of pynwb."""
    fields = dict(given)
    if "age_reference" in fields:
        fields["age__reference"] = fields.pop("age_reference")
    if "date_of_birth" in fields:
        fields["date_of_birth"] = datetime.fromisoformat(fields["date_of_birth"])
    return fields
