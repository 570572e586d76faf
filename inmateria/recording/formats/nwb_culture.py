"""Annotations of a recording about a cell culture, in NWB through the extension ndx-cell-culture."""

import re
from collections.abc import Mapping
from typing import Any

from pynwb import NWBFile

from inmateria.recording.format import RecordingError


def add_culture(file: NWBFile, annotations: Mapping[str, Any], device: Any) -> None:
    """Write the annotations ``culture`` and ``experiment``, if there are any, to an NWB file.

    Parameters
    ----------
    file : pynwb.NWBFile
    annotations : dict
        ``culture``: what ``CellCulture`` takes; ``culture_id``, ``culture_type`` (such as "organoid"),
        ``sample_label``, ``species`` and ``age`` (ISO 8601, such as P90D) are needed; the age may be the
        experiment's. ``experiment``: what ``ExperimentContext`` takes;
        ``experiment_id``, ``age_at_recording`` and ``recording_platform`` are needed. ``sex``: of the donor,
        "M", "F" or "O"; unknown by default.
    device : pynwb.device.Device
        What was recorded with.

    Raises
    ------
    RecordingError
        Where something that is needed is missing or not known there, or the extension is not installed.
    """
    culture, experiment = annotations.get("culture"), annotations.get("experiment")
    if not isinstance(culture, Mapping) and not isinstance(experiment, Mapping):
        return
    try:
        from ndx_cell_culture import CellCulture, CellCultureSubject, ExperimentContext
    except ImportError as error:
        raise RecordingError(
            f'cells are described by ndx-cell-culture, which is not installed ({error}): pip install "inmateria[nwb]"'
        ) from None
    try:
        if isinstance(culture, Mapping):
            age = culture.get("age") or (experiment or {}).get("age_at_recording")
            if age is None:
                raise ValueError("a culture needs an age, as an ISO 8601 duration such as P90D")
            made = CellCulture(name=_name_of(culture["culture_id"]), **culture)
            file.subject = CellCultureSubject(
                culture=made,
                subject_id=str(culture["culture_id"]),
                species=culture["species"],
                sex=str(annotations.get("sex", "U")),
                description=f"{culture['culture_type']} {culture['sample_label']}",
                age=age,
            )
        if isinstance(experiment, Mapping):
            file.add_lab_meta_data(ExperimentContext(name="experiment", device=device, **experiment))
    except (TypeError, ValueError, KeyError) as error:
        raise RecordingError(f"the annotations of the culture or the experiment cannot be written: {error}") from None


def _name_of(culture_id: Any) -> str:
    """Return a valid name of the extension for the name of a culture."""
    name = re.sub(r"\W", "_", str(culture_id))
    return f"culture_{name}"
