"""Commands of an emulated RHX: get, set and execute, with RHX's replies, and the settings that they change."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from inmateria.adapters.intan.emulated_board import EmulatedBoard
from inmateria.adapters.intan.parameters import CHANNEL, GLOBAL, ParameterSet
from inmateria.adapters.intan.rhs_file import RhsFiles

__all__ = ["EmulatedCommands", "channel_settings", "global_settings"]

_STOPPED_ACTIONS = {
    "uploadampsettlesettings": "UploadAmpSettleSettings",
    "uploadchargerecoverysettings": "UploadChargeRecoverySettings",
    "uploadbandwidthsettings": "UploadBandwidthSettings",
    "uploadstimparameters": "UploadStimParameters",
    "rescanports": "RescanPorts",
}
_KEYS = tuple(f"f{k}" for k in range(1, 9))
_NOT_EMULATED = ("measureimpedance", "saveimpedance", "setspikedetectionthresholds")
_CONNECTING = tuple(f"{do}tcp{what}dataoutput" for do in ("connect", "disconnect") for what in ("waveform", "spike"))


def global_settings(version: str, step: float) -> ParameterSet:
    """Return the controller's settings, at their defaults, for a version of RHX and a step of current in uA."""
    kind = "ControllerStimRecordUSB2" if _is_old(version) else "ControllerStimRecord"
    own = {"StimStepSizeMicroAmps": f"{step:g}", "Version": version, "Type": kind}
    return ParameterSet(replace(each, default=own.get(each.name, each.default)) for each in GLOBAL)


def channel_settings(names: Sequence[str]) -> dict[str, ParameterSet]:
    """Return the settings of each channel, at their defaults, by its name in lower case."""
    return {name.lower(): ParameterSet(CHANNEL) for name in names}


class EmulatedCommands:
    """What RHX's command port understands.

    Parameters
    ----------
    board : EmulatedBoard
    connection : callable
        Returns host, port and whether a client is connected, of the output ``"Waveform"`` or ``"Spike"``.

    Attributes
    ----------
    received : list of str
        Every command.
    """

    def __init__(self, board: EmulatedBoard, connection: Callable[[str], tuple[str, int, bool]]) -> None:
        self._board, self._connection = board, connection
        self._settings, self._channels = board.settings, board.channels
        self._files = {
            "filename": {"path": "", "basefilename": ""},
            "impedancefilename": {"path": "", "basefilename": ""},
        }
        self.received: list[str] = []

    def obey(self, command: str) -> str:
        """Execute one command and return RHX's reply."""
        if not command:
            return ""
        self.received.append(command)
        match command.split(maxsplit=2):
            case [verb, name] if verb.lower() == "get":
                return self._get(name.lower())
            case [verb, name, value] if verb.lower() == "set":
                return self._set(name.lower(), value)
            case [verb, action] if verb.lower() == "execute":
                return self._execute(action.lower(), "")
            case [verb, action, what] if verb.lower() == "execute":
                return self._execute(action.lower(), what.lower())
        return "Error - Unrecognized command"

    def _get(self, name: str) -> str:
        channel, _, item = name.partition(".")
        if channel in self._files and item in self._files[channel]:
            whole = "Filename" if channel == "filename" else "ImpedanceFilename"
            return f"Return: {whole}.{item} {self._files[channel][item]}"
        if name == "runmode":
            return f"Return: RunMode {self._board.mode}"
        if name in self._settings:
            return self._settings.get(name)
        if channel in self._channels:
            if item == "nativechannelname":
                return f"Return: NativeChannelName {channel.upper()}"
            if item in self._channels[channel]:
                return self._channels[channel].get(item)
        if name in ("currenttimestamp", "currenttimeseconds"):
            if not self._board.runs:
                return "Return: -1"
            stamp = self._board.timestamp % (1 << 32)
            return f"Return: {stamp if name.endswith('stamp') else f'{stamp / self._board.rate:g}'}"
        for what in ("Waveform", "Spike"):
            if name.startswith(about := f"tcp{what.lower()}dataoutput"):
                host, port, connected = self._connection(what)
                told = {
                    "host": ("Host", host),
                    "port": ("Port", port),
                    "connectionstatus": ("ConnectionStatus", "Connected" if connected else "Pending"),
                }
                rest = name.removeprefix(about)
                if rest in told:
                    return "Return: TCP{}DataOutput{} {}".format(what, *told[rest])
        return "Error - Unrecognized parameter"

    def _set(self, name: str, value: str) -> str:
        channel, _, item = name.partition(".")
        running = self._board.runs
        if channel in self._files and item in self._files[channel]:
            if running and channel == "filename":
                return "Error - Filename cannot be set while controller is running."
            self._files[channel][item] = value
            return ""
        if name == "runmode":
            return self._set_mode(value.lower())
        if name in self._settings:
            return self._settings.set(name, value, running)
        if channel in self._channels and item == "nativechannelname":
            return "Error - NativeChannelName cannot be changed once software has started."
        if channel in self._channels and item in self._channels[channel]:
            return self._channels[channel].set(item, value, running)
        return "Error - Unrecognized parameter"

    def _set_mode(self, wanted: str) -> str:
        running = self._board.runs
        if wanted == "stop":
            if not running:
                return "Error - Board must be running in order to stop"
            self._board.stop()
            return ""
        if wanted not in ("run", "record", "trigger"):
            return "Error - Invalid value for SetRunMode command"
        if running:
            doing = {"run": "running", "record": "recording", "trigger": "trigger"}[wanted]
            return f"Error - Board must be stopped in order to start {doing}"
        if wanted == "trigger":
            return "Error - RunMode Trigger is not emulated; the emulator has Run, Record and Stop"
        recording = None
        if wanted == "record":
            path, name = self._files["filename"]["path"], self._files["filename"]["basefilename"]
            if not (path and name):
                return (
                    "Error - Filename.BaseFilename and Filename.Path must both be specified before recording can occur"
                )
            self._board.end_recording()
            try:
                recording = RhsFiles(self._settings.values, path, name, self._board.names, self._board.rate)
            except OSError as error:
                return f"Error - the recording cannot be made ({error.strerror or error})"
        self._board.start(wanted.capitalize(), recording)
        return ""

    def _execute(self, action: str, what: str) -> str:
        if not what and action in _STOPPED_ACTIONS and self._board.runs:
            return f"Error - {_STOPPED_ACTIONS[action]} cannot be executed while the board is running"
        if action == "clearalldataoutputs":
            for channel in self._channels.values():
                channel.values.update({key: False for key in channel.values if key.startswith("tcp")})
        elif action == "uploadstimparameters":
            for electrode, name in enumerate(self._channels):
                if what in ("", name):
                    self._board.stimulators.upload(electrode, self._channels[name].values)
        elif action in ("manualstimtriggerpulse", "manualstimtriggeron", "manualstimtriggeroff") and what:
            if what not in _KEYS:
                return f"Error - Unrecognized key {what}; allowed are F1 to F8"
            self._board.press(action.removeprefix("manualstimtrigger"), f"keypress{what}")
        elif action in _NOT_EMULATED:
            return f"Error - {action} is not emulated"
        elif action not in _STOPPED_ACTIONS and action not in _CONNECTING:
            return "Error - Unrecognized action"
        return ""


def _is_old(version: str) -> bool:
    major, minor = (int(each) for each in version.split(".")[:2])
    return (major, minor) < (3, 1)
