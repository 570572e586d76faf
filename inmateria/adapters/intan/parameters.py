"""RHX's parameters as its command port has them: names, ranges, defaults, and when each may be set.

They are those of RHX's source (``Engine/Processing/systemstate.cpp``, ``channel.cpp`` and ``stimparameters.cpp`` of
https://github.com/Intan-Technologies/Intan-RHX). One that the emulator knows but cannot follow is answered with an
error when it is set to anything but its default.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

__all__ = ["CHANNEL", "GLOBAL", "Parameter", "ParameterSet", "Value"]

Value = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter.

    Parameters
    ----------
    name : str
        As RHX spells it.
    default : bool, int, float or str
        Its type is that of the values.
    low, high : float
        Range of a number.
    words : tuple of str
        Allowed values of a word; empty for any text.
    settable : {"always", "stopped", "never"}
        When it may be set.
    followed : bool
        Whether the emulator does what the parameter says.
    """

    name: str
    default: Value
    low: float = 0.0
    high: float = 0.0
    words: tuple[str, ...] = ()
    settable: Literal["always", "stopped", "never"] = "always"
    followed: bool = True

    def read(self, text: str) -> Value | None:
        """Return the value that a text means; None if RHX does not accept it."""
        if isinstance(self.default, bool):
            return {"true": True, "false": False}.get(text.lower())
        if isinstance(self.default, str):
            return text if not self.words else {word.lower(): word for word in self.words}.get(text.lower())
        try:
            number = int(text) if isinstance(self.default, int) else float(text)
        except ValueError:
            return None
        return number if self.low <= number <= self.high else None

    @property
    def acceptable(self) -> str:
        """The allowed values as RHX writes them."""
        if isinstance(self.default, bool):
            return "True;False"
        if isinstance(self.default, str):
            return "".join(f"{word};" for word in self.words) or "Any String"
        return f"[ {self.low:g} , {self.high:g} ]"


def written(value: Value) -> str:
    """Return a value as RHX writes it: numbers with six digits."""
    return f"{value:g}" if isinstance(value, float) else str(value)


class ParameterSet:
    """The values of some parameters, and RHX's answers to setting them.

    Parameters
    ----------
    parameters : iterable of Parameter
    """

    def __init__(self, parameters: Iterable[Parameter]) -> None:
        self._known = {each.name.lower(): each for each in parameters}
        self.values: dict[str, Value] = {name: each.default for name, each in self._known.items()}
        """By name, in lower case."""

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def get(self, name: str) -> str:
        """Return RHX's answer to ``get``."""
        return f"Return: {self._known[name].name} {written(self.values[name])}"

    def set(self, name: str, text: str, running: bool) -> str:
        """Set a parameter; return RHX's answer, which is empty if the value was accepted."""
        parameter = self._known[name]
        if parameter.settable == "never":
            return f"Error - {parameter.name} cannot be changed once software has started."
        if parameter.settable == "stopped" and running:
            return f"Error - {parameter.name} cannot be set while controller is running."
        value = parameter.read(text)
        if value is None:
            return f"Error - Invalid value for {parameter.name} command. Acceptable: {parameter.acceptable}"
        if not parameter.followed and value != parameter.default:
            return (
                f"Error - {parameter.name} {written(value)} is not emulated; "
                f"the emulator has {written(parameter.default)}"
            )
        self.values[name] = value
        return ""


_INPUTS = (*(f"DigitalIn{k:02d}" for k in range(1, 17)), *(f"AnalogIn{k:02d}" for k in range(1, 9)))
_KEYS = tuple(f"KeyPressF{k}" for k in range(1, 9))
_FILTERS = ("Bessel", "Butterworth")

GLOBAL = (
    Parameter("Type", "ControllerStimRecord", settable="never"),
    Parameter("SampleRateHertz", "30000", settable="never"),
    Parameter("StimStepSizeMicroAmps", "0.1", settable="never"),
    Parameter("Version", "3.4.0", settable="never"),
    Parameter("Synthetic", False, settable="never"),
    Parameter("Playback", False, settable="never"),
    Parameter("TestMode", False, settable="never"),
    Parameter("ExpanderConnected", False, settable="never"),
    Parameter("UploadInProgress", False, settable="never"),
    Parameter("HeadstagePresent", True, settable="never"),
    Parameter("TCPNumberDataBlocksPerWrite", 10, 1, 100, settable="stopped"),
    Parameter(
        "FileFormat", "Traditional", words=("Traditional", "OneFilePerSignalType", "OneFilePerChannel"),
        settable="stopped", followed=False,
    ),
    Parameter(
        "WriteToDiskLatency", "Highest", words=("Highest", "High", "Medium", "Low", "Lowest"), settable="stopped"
    ),
    Parameter("CreateNewDirectory", True, settable="stopped"),
    Parameter("NewSaveFilePeriodMinutes", 1, 1, 999, settable="stopped"),
    Parameter("SaveWidebandAmplifierWaveforms", True, settable="stopped", followed=False),
    Parameter("SaveLowpassAmplifierWaveforms", False, settable="stopped", followed=False),
    Parameter("SaveHighpassAmplifierWaveforms", False, settable="stopped", followed=False),
    Parameter("SaveDCAmplifierWaveforms", False, settable="stopped"),
    Parameter("SaveSpikeData", False, settable="stopped", followed=False),
    Parameter("SaveSpikeSnapshots", False, settable="stopped", followed=False),
    Parameter("NotchFilterFreqHertz", "None", words=("None", "50", "60"), followed=False),
    *(
        each
        for band in ("Lowpass", "Highpass")
        for each in (
            Parameter(f"{band}FilterOrder", 2, 1, 8, followed=False),
            Parameter(f"{band}FilterType", "Bessel", words=_FILTERS, settable="stopped"),
            Parameter(f"{band}FilterCutoffFreqHertz", 250.0, 1.0, 5000.0, settable="stopped"),
        )
    ),
    Parameter("DSPEnabled", True, settable="stopped", followed=False),
    Parameter("DesiredDSPCutoffFreqHertz", 1.0, 0.0, 4000.0, settable="stopped", followed=False),
    Parameter("DesiredLowerBandwidthHertz", 0.1, 0.1, 500.0, settable="stopped", followed=False),
    Parameter("DesiredUpperBandwidthHertz", 7500.0, 100.0, 20_000.0, settable="stopped", followed=False),
    Parameter("DesiredLowerSettleBandwidthHertz", 1000.0, 0.1, 1000.0, settable="stopped", followed=False),
    Parameter("ActualDSPCutoffFreqHertz", 1.0, settable="never"),
    Parameter("ActualLowerBandwidthHertz", 0.1, settable="never"),
    Parameter("ActualUpperBandwidthHertz", 7500.0, settable="never"),
    Parameter("ActualLowerSettleBandwidthHertz", 1000.0, settable="never"),
    Parameter("UseMedianReference", False, settable="stopped", followed=False),
    Parameter("UseFastSettle", False, settable="stopped", followed=False),
    Parameter("ImpedancesHaveBeenMeasured", False, settable="never"),
    Parameter("DesiredImpedanceFreqHertz", 1000.0, 0.0, 7500.0),
    Parameter("ActualImpedanceFreqHertz", 1000.0, settable="never"),
    *(Parameter(f"Note{k}", "", settable="stopped") for k in (1, 2, 3)),
    # What RHX shows and plays, which no data depend on.
    Parameter("AudioEnabled", False),
    Parameter("AudioFilter", "Wide", words=("Wide", "Low", "High")),
    Parameter("AudioVolume", 50, 0, 100),
    Parameter("AudioThresholdMicroVolts", 0, 0, 200),
    Parameter("RollMode", False),
    Parameter("ClipWaveforms", False),
    Parameter("BackgroundColor", "#000000"),
)  # fmt: skip
"""Parameters of the controller and of the software."""

CHANNEL = (
    Parameter("CustomChannelName", ""),
    Parameter("Color", "#909020"),
    Parameter("UserOrder", 0, 0, 2000),
    Parameter("GroupID", 0, 0, 2000),
    Parameter("Enabled", True, followed=False),
    Parameter("Reference", "Hardware", followed=False),
    Parameter("SpikeThresholdMicroVolts", -70, -5000, 5000, followed=False),
    *(Parameter(f"TCPDataOutputEnabled{band}", False) for band in ("", "Low", "High", "Spike", "DC", "Stim")),
    Parameter("StimEnabled", False),
    Parameter("Source", "DigitalIn01", words=(*_INPUTS, *_KEYS)),
    Parameter("TriggerEdgeOrLevel", "Edge", words=("Edge", "Level")),
    Parameter("TriggerHighOrLow", "High", words=("High", "Low")),
    Parameter("Shape", "Biphasic", words=("Biphasic", "BiphasicWithInterphaseDelay", "Triphasic")),
    Parameter("Polarity", "NegativeFirst", words=("NegativeFirst", "PositiveFirst")),
    Parameter("PulseOrTrain", "SinglePulse", words=("SinglePulse", "PulseTrain")),
    Parameter("NumberOfStimPulses", 2, 0, 256),
    Parameter("FirstPhaseDurationMicroseconds", 100.0, 0.0, 5000.0),
    Parameter("SecondPhaseDurationMicroseconds", 100.0, 0.0, 5000.0),
    Parameter("InterphaseDelayMicroseconds", 100.0, 0.0, 5000.0),
    Parameter("FirstPhaseAmplitudeMicroAmps", 0.0, 0.0, 2550.0),
    Parameter("SecondPhaseAmplitudeMicroAmps", 0.0, 0.0, 2550.0),
    Parameter("PostTriggerDelayMicroseconds", 0.0, 0.0, 500_000.0),
    Parameter("PulseTrainPeriodMicroseconds", 10_000.0, 0.0, 1_000_000.0),
    Parameter("RefractoryPeriodMicroseconds", 1000.0, 0.0, 1_000_000.0),
    Parameter("EnableAmpSettle", True),
    Parameter("MaintainAmpSettle", False),
    Parameter("PreStimAmpSettleMicroseconds", 0.0, 0.0, 500_000.0),
    Parameter("PostStimAmpSettleMicroseconds", 1000.0, 0.0, 500_000.0),
    Parameter("EnableChargeRecovery", False),
    Parameter("PostStimChargeRecovOnMicroseconds", 0.0, 0.0, 1_000_000.0),
    Parameter("PostStimChargeRecovOffMicroseconds", 0.0, 0.0, 1_000_000.0),
)
"""Parameters of each amplifier channel, besides its ``NativeChannelName``."""
