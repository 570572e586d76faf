"""Annotations of a recording about a cell culture, in NWB through the extension ndx-cell-culture."""

import re
from collections.abc import Mapping
from typing import Any

from pynwb import NWBFile
from pynwb.file import Subject

from inmateria.recording.format import RecordingError


def culture_subject(annotations: Mapping[str, Any], given: Mapping[str, Any]) -> Subject:
    """Return the annotation ``culture`` as the subject of an NWB file.

    Parameters
    ----------
    annotations : dict
        ``culture``: what ``CellCulture`` takes; ``culture_id``, ``culture_type`` (such as "organoid"),
        ``sample_label``, ``species`` and ``age`` (ISO 8601, such as P90D) are needed; the age may be the
        experiment's. ``sex``: of the donor, "M", "F" or "O"; unknown by default.
    given : dict
        Fields of the subject, which come before those of the culture.

    Raises
    ------
    RecordingError
        If something that is needed is missing or not known there, or the extension is not installed.
    """
    culture = annotations["culture"]
    try:
        from ndx_cell_culture import CellCulture, CellCultureSubject
    except ImportError as error:
        raise _not_installed(error) from None
    try:
        age = culture.get("age") or (annotations.get("experiment") or {}).get("age_at_recording") or given.get("age")
        if age is None:
            raise ValueError("a culture needs an age, as an ISO 8601 duration such as P90D")
        made = CellCulture(name=_name_of(culture["culture_id"]), **culture)
        fields = {
            "subject_id": str(culture["culture_id"]).replace("/", "-"),
            "species": culture["species"],
            "sex": str(annotations.get("sex", "U")),
            "description": f"{culture['culture_type']} {culture['sample_label']}",
            "age": age,
        }
        return CellCultureSubject(culture=made, **{**fields, **given})
    except (TypeError, ValueError, KeyError) as error:
        raise _not_written(error) from None


def add_experiment(file: NWBFile, annotations: Mapping[str, Any], device: Any) -> None:
    """Write the annotation ``experiment``, if there is one, to an NWB file.

    Parameters
    ----------
    file : pynwb.NWBFile
    annotations : dict
        ``experiment``: what ``ExperimentContext`` takes; ``experiment_id``, ``age_at_recording`` and
        ``recording_platform`` are needed.
    device : pynwb.device.Device
        What was recorded with.

    Raises
    ------
    RecordingError
        If something that is needed is missing or not known there, or the extension is not installed.
    """
    experiment = annotations.get("experiment")
    if not isinstance(experiment, Mapping):
        return
    try:
        from ndx_cell_culture import ExperimentContext
    except ImportError as error:
        raise _not_installed(error) from None
    try:
        file.add_lab_meta_data(ExperimentContext(name="experiment", device=device, **experiment))
    except (TypeError, ValueError, KeyError) as error:
        raise _not_written(error) from None


def _not_installed(error: ImportError) -> RecordingError:
    return RecordingError(
        f'cells are described by ndx-cell-culture, which is not installed ({error}): pip install "inmateria[nwb]"'
    )


def _not_written(error: Exception) -> RecordingError:
    return RecordingError(f"the annotations of the culture or the experiment cannot be written: {error}")


def _name_of(culture_id: Any) -> str:
    """Return a valid name of the extension for the name of a culture."""
    name = re.sub(r"\W", "_", str(culture_id))
    return f"culture_{name}"
