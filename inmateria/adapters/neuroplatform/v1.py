"""The vendor's package ``neuroplatform`` (version 1, blocking), with its own names and units, over a twin.

Names and behaviour follow the vendor's public guide (np-docs: np_usage, closed_loop, db_usage). `TriggerController`,
`datetime_now` and `wait` are not in the guide; many public scripts import them.
"""

import enum
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from inmateria.adapters.neuroplatform.database import PlatformDatabase
from inmateria.adapters.neuroplatform.twin import UPLOAD, Neuroplatform, Stimulation
from inmateria.substrate import StimulusRejected, SubstrateError

__all__ = ["StimParam", "StimPolarity", "StimShape", "stimulation_of", "version1"]


class StimPolarity(enum.Enum):
    """Direction of the first phase."""

    NegativeFirst = 0
    PositiveFirst = 1


class StimShape(enum.Enum):
    """Shape of a pulse; the twin plays biphasic ones."""

    Biphasic = 0
    BiphasicWithInterphaseDelay = 1
    Triphasic = 2


class StimParam:
    """Parameters of the stimulation of one electrode; us and uA. Attributes are set one by one, or by keyword."""

    def __init__(self, **given: Any) -> None:
        self.enable: bool = True
        self.index: int = 0
        self.trigger_key: int = 0
        self.polarity = StimPolarity.NegativeFirst
        self.phase_duration1: float = 100.0
        self.phase_amplitude1: float = 1.0
        self.phase_duration2: float = 100.0
        self.phase_amplitude2: float = 1.0
        self.stim_shape = StimShape.Biphasic
        self.interphase_delay: float = 0.0
        self.trigger_delay: float = 0.0
        self.nb_pulse: int = 0
        self.pulse_train_period: float = 10_000.0
        self.post_stim_ref_period: float = 1000.0
        self.enable_amp_settle: bool = True
        self.pre_stim_amp_settle: float = 0.0
        self.post_stim_amp_settle: float = 1000.0
        self.enable_charge_recovery: bool = True
        self.post_charge_recovery_on: float = 0.0
        self.post_charge_recovery_off: float = 100.0
        for name, value in given.items():
            setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _ATTRIBUTES:
            raise AttributeError(f"StimParam has no {name}; it has {', '.join(_ATTRIBUTES)}")
        super().__setattr__(name, value)

    def display_attributes(self) -> None:
        """Print all parameters."""
        for name in _ATTRIBUTES:
            print(f"{name}: {getattr(self, name)}")


_ATTRIBUTES = (
    *("enable", "index", "trigger_key", "polarity", "phase_duration1", "phase_amplitude1", "phase_duration2"),
    *("phase_amplitude2", "stim_shape", "interphase_delay", "trigger_delay", "nb_pulse", "pulse_train_period"),
    *("post_stim_ref_period", "enable_amp_settle", "pre_stim_amp_settle", "post_stim_amp_settle"),
    *("enable_charge_recovery", "post_charge_recovery_on", "post_charge_recovery_off"),
)


def stimulation_of(param: Any) -> Stimulation:
    """Convert a StimParam."""
    if param.stim_shape is not StimShape.Biphasic:
        raise StimulusRejected(
            f"the twin does not play the shape {param.stim_shape.name}, which electrode {param.index} was given",
            "allowed is StimShape.Biphasic",
            "use it, with phase_duration2 and phase_amplitude2 that balance the first phase",
        )
    return Stimulation(
        index=int(param.index),
        trigger_key=int(param.trigger_key),
        enable=bool(param.enable),
        negative_first=param.polarity is StimPolarity.NegativeFirst,
        phase_duration1=float(param.phase_duration1),
        phase_amplitude1=float(param.phase_amplitude1),
        phase_duration2=float(param.phase_duration2),
        phase_amplitude2=float(param.phase_amplitude2),
        trigger_delay=float(param.trigger_delay),
        nb_pulse=int(param.nb_pulse),
        pulse_train_period=float(param.pulse_train_period),
    )


def version1(platform: Neuroplatform) -> ModuleType:
    """Return the module ``neuroplatform`` over a platform."""

    class Experiment:
        """Time on the platform: start it, work, stop it."""

        def __init__(self, token: str) -> None:
            self._booking = platform.booking(token)
            self.electrodes = list(self._booking.electrodes)
            self.exp_name = self._booking.fs_name

        def start(self) -> bool:
            return platform.start(self._booking)

        def stop(self) -> None:
            platform.stop(self._booking)

    class IntanSofware:
        """The recording and stimulating system; its name is spelled as the vendor does.

        It can be used after `close`, as the vendor's guide does: the connection is opened again.
        """

        def send_stimparam(self, params: list[StimParam]) -> None:
            platform.send_parameters([stimulation_of(each) for each in params])
            platform.upload()
            platform.clock.sleep(UPLOAD)

        def var_threshold(self, enable: bool) -> None:
            """Do nothing: the twin's threshold does not vary."""

        def impedance(self) -> None:
            platform.clock.sleep(UPLOAD)
            platform.impedances.append(platform.clock.now())

        def set_tag_trigger(self, tag: int) -> None:
            platform.tag = int(tag)

        def set_count(self, triggers: list[int]) -> None:
            platform.listen(triggers)

        def read_count(self) -> npt.NDArray[np.int64]:
            return platform.counts()

        def close(self) -> None:
            """Do nothing: the twin has no connection to close."""

    class Trigger:
        """The trigger generator."""

        def __init__(self) -> None:
            self._closed = False

        def send(self, triggers: npt.ArrayLike) -> None:
            if self._closed:
                raise SubstrateError("the connection to the trigger generator is closed", "", "make a new one")
            platform.trigger(triggers)

        def close(self) -> None:
            self._closed = True

    class TriggerController(Trigger):
        """The trigger generator, for a user who is named by the address that the booking was made with."""

        def __init__(self, email: str = "") -> None:
            super().__init__()

    class Database(PlatformDatabase):
        """The platform's database."""

        def __init__(self) -> None:
            super().__init__(platform)

    def datetime_now() -> datetime:
        """Return the platform's present time, with its zone, UTC."""
        return datetime.fromtimestamp(platform.clock.now(), UTC)

    def wait(seconds: float) -> None:
        """Let time pass."""
        platform.clock.sleep(seconds)

    module = ModuleType("neuroplatform", "The vendor's package, over a twin of the platform.")
    classes = (Experiment, IntanSofware, Trigger, TriggerController, Database, StimParam, StimPolarity, StimShape)
    for each in (*classes, datetime_now, wait):
        setattr(module, each.__name__, each)
    return module
