"""The inside of FinalSpark's Neuroplatform over simulated cultures: clock, bookings, parameters, triggers, counts.

The vendor's two packages are built on it (`v1`, `v2`). It has the platform's own limits, as in the vendor's guide:
four arrays of 32 electrodes, 16 triggers, 10 s to change parameters, which stay armed for the next user, phases of
whole samples at 30 kHz, counts of 200 ms after a trigger without the first 10 ms. Where the real platform would
silently do something else than was asked, this one raises an error.
"""

import secrets
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from inmateria.adapters.tissue.culture_twin import Culture, CultureTwin
from inmateria.adapters.tissue.guard import PULSE, PulseArray, PulseLimits, TissueGuard
from inmateria.adapters.tissue.stimulator_rounding import duration_samples
from inmateria.pulses import charge_of
from inmateria.substrate import SPIKE, SpikeArray, StimulusRejected, SubstrateBusy, SubstrateError

__all__ = ["ARRAY", "ELECTRODES", "RATE", "TRIGGERS", "Booking", "Neuroplatform", "PlatformClock", "Stimulation"]

ARRAY, ELECTRODES, TRIGGERS = 32, 128, 16
RATE = 30_000.0
"""Samples per second."""
UPLOAD = 10.0
"""Seconds that a change of parameters takes."""
WINDOW, BLANKING = 0.2, 0.01
"""Duration of a count after a trigger, s, and its beginning that is left out, s."""
READ_DELAY = 0.04
"""Duration of reading the counts over the network, s."""
EVENT = 3e-3
"""Seconds that the database records of an event, in which it records no other of the electrode."""
_SLACK = 1e-6  # s, of a clock of seconds since 1970

LIMITS = PulseLimits(amplitude=100e-6, charge=10e-9, phase=(33e-6, 5e-3), interval=0.0, rate=1000.0, dose=1e-2)
"""Default limits of the emulated platform; it refuses triggers that would break them."""


class PlatformClock:
    """The clock of the platform, in seconds since 1970.

    Parameters
    ----------
    simulated : bool
        Whether time passes only in `sleep`; otherwise it is the system's.
    start : float
        First time of a simulated clock, s since 1970.
    """

    def __init__(self, simulated: bool = True, start: float = 1_712_275_200.0) -> None:  # 2024-04-05
        self.simulated, self._now = simulated, start

    def now(self) -> float:
        """Return the present time, s since 1970."""
        return self._now if self.simulated else time.time()

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        if self.simulated:
            self._now += seconds
        else:
            _sleep(seconds)


_sleep = time.sleep  # the real one, also where scripts are given another


@dataclass(frozen=True, kw_only=True)
class Booking:
    """A reservation of time on the platform.

    Parameters
    ----------
    token : str
        Its secret; a random one by default.
    fs_name : str
        Name of the organoids, such as ``"fs300"``.
    electrodes : tuple of int
        Electrodes that may be used, 0 to 127.
    start, stop : float
        Its beginning and end, s since 1970.
    """

    token: str = field(default_factory=lambda: secrets.token_hex(5).upper())
    fs_name: str = "fs300"
    electrodes: tuple[int, ...] = tuple(range(ARRAY))
    start: float = 0.0
    stop: float = float("inf")


@dataclass(frozen=True, kw_only=True)
class Stimulation:
    """Parameters of one electrode, in the vendor's units: us and uA."""

    index: int
    trigger_key: int
    enable: bool = True
    negative_first: bool = True
    phase_duration1: float = 100.0
    phase_amplitude1: float = 1.0
    phase_duration2: float = 100.0
    phase_amplitude2: float = 1.0
    trigger_delay: float = 0.0
    nb_pulse: int = 0
    pulse_train_period: float = 10_000.0

    def pulses(self, at: float) -> PulseArray:
        """Return the pulses that a trigger at a time (s) releases; their phases last whole samples."""
        count = max(1, self.nb_pulse)
        sign = -1e-6 if self.negative_first else 1e-6
        pulses = np.zeros(count, dtype=PULSE)
        pulses["time"] = at + 1e-6 * (self.trigger_delay + self.pulse_train_period * np.arange(count))
        pulses["electrode"] = self.index
        pulses["amplitude"], pulses["second_amplitude"] = sign * self.phase_amplitude1, -sign * self.phase_amplitude2
        pulses["duration"] = duration_samples(self.phase_duration1, RATE) / RATE
        pulses["second_duration"] = duration_samples(self.phase_duration2, RATE) / RATE
        return pulses


class Neuroplatform:
    """Emulator of the Neuroplatform, with simulated cultures on some of its four arrays.

    Parameters
    ----------
    cultures : Culture, or dict of int to Culture
        Culture of 32 electrodes on each array (0 to 3); a single one is on array 0. Other arrays are silent.
    bookings : sequence of Booking, optional
        Bookings that are valid; by default one of array 0.
    clock : PlatformClock, optional
        Clock of the emulator; by default a simulated one.
    limits : PulseLimits
        Limits on the pulses, over all triggers so far; a trigger that breaks one releases no pulse.

    Attributes
    ----------
    given : list of tuple
        Every pulse that was applied, as `PULSE`.
    """

    def __init__(
        self,
        cultures: Culture | Mapping[int, Culture],
        bookings: Sequence[Booking] | None = None,
        clock: PlatformClock | None = None,
        limits: PulseLimits = LIMITS,
    ) -> None:
        placed = cultures if isinstance(cultures, Mapping) else {0: cultures}
        for array, culture in placed.items():
            if array not in range(ELECTRODES // ARRAY) or len(culture.info.outputs) != ARRAY:
                raise ValueError(
                    f"array {array} has a culture of {len(culture.info.outputs)} electrodes; "
                    f"arrays are 0 to {ELECTRODES // ARRAY - 1}, of {ARRAY}"
                )
        self.clock = clock or PlatformClock()
        self.bookings = tuple(bookings) if bookings is not None else (Booking(),)
        self._twins = {array: CultureTwin(culture) for array, culture in placed.items()}
        self._began = self.clock.now()
        self.limits = limits
        self.given: list[tuple[float, ...]] = []
        self._guards: dict[int, TissueGuard] = {}  # of each electrode: a train may end after the next trigger
        self._charges: deque[tuple[float, float]] = deque()  # time and charge of the pulses of the last hour
        self.running: Booking | None = None
        self._known: list[Booking] = []  # whose tokens were given
        self.shared = True
        """Whether an experiment has to be started before pulses are given."""
        self._sent: dict[int, Stimulation] = {}
        self._loaded: dict[int, Stimulation] = {}
        self._ready = -float("inf")
        self._pending = np.zeros(0, dtype=PULSE)
        self._spikes: list[SpikeArray] = []
        self._heights: list[npt.NDArray[np.float64]] = []
        self._apart: list[npt.NDArray[np.bool_]] = []  # which spikes are events of the database
        self._last_event = np.full(ELECTRODES, -np.inf)
        self._listened: frozenset[int] = frozenset()
        self._counted: tuple[float, int] | None = None  # when the last count window began, and by which trigger
        self.tag = 0
        self.triggers: list[tuple[float, int, int]] = []  # time, trigger, tag
        self.impedances: list[float] = []

    # Bookings

    def booking(self, token: str) -> Booking:
        """Return the booking of a token."""
        for booking in self.bookings:
            if secrets.compare_digest(booking.token, token):
                if booking not in self._known:
                    self._known.append(booking)
                return booking
        raise SubstrateError(
            "no booking has this token", "allowed is the token that came with the booking", "ask the platform's staff"
        )

    def start(self, booking: Booking) -> bool:
        """Begin an experiment and return True; False if another one runs."""
        now = self.clock.now()
        if not booking.start <= now < booking.stop:
            raise SubstrateBusy(
                f"the booking of {booking.fs_name} is not for this time ({now:.0f} s since 1970)",
                f"{booking.start:.0f} to {booking.stop:.0f}",
                "start the experiment within it",
            )
        if self.running is not None and self.running != booking:
            return False
        self.running = booking
        return True

    def stop(self, booking: Booking) -> None:
        """End an experiment."""
        if self.running == booking:
            self.running = None

    def _allowed(self, what: str) -> Booking | None:
        if not self.shared:
            return None
        if self.running is None:
            raise StimulusRejected(f"{what} outside of an experiment", "Experiment(token).start() first")
        if self.clock.now() >= self.running.stop:
            raise SubstrateBusy(f"{what} after the end of the booking", f"it ended at {self.running.stop:.0f}")
        return self.running

    def _settable(self) -> tuple[int, ...] | None:
        """Return the electrodes whose parameters may be changed now; None for all.

        Without an experiment they are those of the bookings whose token was given: the vendor's guide sends parameters
        before `Experiment.start`.
        """
        if not self.shared:
            return None
        if self.running is not None:
            self._allowed("parameters were sent")
            return self.running.electrodes
        if not self._known:
            raise StimulusRejected("parameters were sent without a booking", "Experiment(token) first")
        now = self.clock.now()
        mine = [each for each in self._known if each.start <= now < each.stop]
        if not mine:
            raise SubstrateBusy(f"parameters were sent outside of the booking of {self._known[0].fs_name}")
        return tuple(sorted({electrode for each in mine for electrode in each.electrodes}))

    # Parameters and triggers

    def send_parameters(self, stimulations: Sequence[Stimulation]) -> None:
        """Check and keep parameters; they take effect when they are uploaded."""
        settable = self._settable()
        indices = [each.index for each in stimulations]
        for each in stimulations:
            if each.index not in range(ELECTRODES) or each.trigger_key not in range(TRIGGERS):
                raise StimulusRejected(
                    f"a StimParam has index {each.index} and trigger_key {each.trigger_key}",
                    f"index 0 to {ELECTRODES - 1}, trigger_key 0 to {TRIGGERS - 1}",
                )
            if settable is not None and each.index not in settable:
                raise StimulusRejected(
                    f"electrode {each.index} is not of this booking",
                    f"its electrodes are {settable[0]} to {settable[-1]}",
                    "take them from Experiment(token).electrodes",
                )
            if indices.count(each.index) > 1:
                raise StimulusRejected(
                    f"two StimParams have index {each.index}",
                    "one for each electrode",
                    "the platform would use the last",
                )
            if each.enable:
                self.limits.check(each.pulses(0.0))
        self._sent.update({each.index: each for each in stimulations})

    def upload(self) -> None:
        """Begin to upload the parameters sent; for 10 s no trigger works."""
        self._settable()
        self.settle()
        self._loaded = {index: each for index, each in self._sent.items() if each.enable}
        self._ready = self.clock.now() + UPLOAD

    def trigger(self, flags: npt.ArrayLike) -> None:
        """Release the stimulations of some triggers.

        Parameters
        ----------
        flags : array_like of uint8, shape (16,)
            1 for each trigger to send, 0 for the others.
        """
        given = np.asarray(flags)
        if given.shape != (TRIGGERS,) or given.dtype != np.uint8 or given.max(initial=0) > 1:
            raise StimulusRejected(
                f"triggers were sent as {given.dtype} of shape {given.shape}, up to {given.max(initial=0)}",
                f"uint8 of shape ({TRIGGERS},), each 0 or 1",
                "np.zeros(16, dtype=np.uint8) with a 1 where wanted",
            )
        self._allowed("a trigger was sent")
        now = self.clock.now()
        if now < self._ready - _SLACK:
            raise StimulusRejected(
                f"a trigger was sent {UPLOAD - (self._ready - now):.3g} s after the parameters",
                f"changing parameters takes {UPLOAD:g} s",
                "load up to 16 stimulations once, each on a trigger of its own, and choose among them",
            )
        keys = np.flatnonzero(given).tolist()
        listened = self._listened.intersection(keys)
        if listened and self._counted is not None and now < self._counted[0] + WINDOW - _SLACK:
            raise StimulusRejected(
                f"trigger {min(listened)} was sent while the counts of trigger {self._counted[1]} run for another "
                f"{1e3 * (self._counted[0] + WINDOW - now):.0f} ms",
                f"a count takes {1e3 * WINDOW:.0f} ms",
                "wait for it, or leave the trigger out of set_count",
            )
        self.settle()
        pulses = [each.pulses(now) for each in self._loaded.values() if each.trigger_key in keys]
        released = np.concatenate([*pulses, np.zeros(0, dtype=PULSE)])
        self._admit(released)
        self.given += released.tolist()
        self._pending = np.concatenate([self._pending, released])
        self.triggers += [(now, key, self.tag) for key in keys]
        if listened:
            self._counted = (now, min(listened))

    def _admit(self, pulses: PulseArray) -> None:
        """Check pulses against the limits, with those before; raise `StimulusRejected`, and then count none."""
        self.limits.check(pulses)
        now, charges = self.clock.now(), charge_of(pulses)
        while self._charges and self._charges[0][0] <= now - 3600:
            self._charges.popleft()
        dose = sum(charge for _, charge in self._charges) + float(charges.sum())
        if dose > self.limits.dose * (1 + 1e-9):
            raise StimulusRejected(
                f"a trigger brings the charge of one hour to {1e9 * dose:g} nC",
                f"allowed are at most {1e9 * self.limits.dose:g} nC in any hour",
                "let the culture rest",
            )
        admitted: list[tuple[TissueGuard, PulseArray]] = []
        try:
            for electrode in np.unique(pulses["electrode"]).tolist():
                mine = pulses[pulses["electrode"] == electrode]
                guard = self._guards.setdefault(electrode, TissueGuard(self.limits, clock=self.clock.now))
                guard.admit(mine)
                admitted.append((guard, mine))
        except StimulusRejected:
            for guard, mine in admitted:
                guard.withdraw(mine)
            raise
        self._charges.extend((now, charge) for charge in charges.tolist())

    # Spikes

    def listen(self, keys: Sequence[int]) -> None:
        """Set which triggers start a count of spikes."""
        strange = [key for key in keys if key not in range(TRIGGERS)]
        if strange:
            raise StimulusRejected(f"set_count was given trigger {strange[0]}", f"0 to {TRIGGERS - 1}")
        self._listened = frozenset(keys)

    def counts(self) -> npt.NDArray[np.int64]:
        """Return the number of spikes of the last count, shape (128,), after the delay of the network."""
        if self._counted is None:
            raise StimulusRejected(
                "read_count was called before any count",
                "a count begins with a trigger of set_count",
                "send one of those triggers first",
            )
        begun = self._counted[0]
        if self.clock.now() < begun + WINDOW - _SLACK:
            raise StimulusRejected(
                f"read_count was called {1e3 * (self.clock.now() - begun):.0f} ms after its trigger",
                f"a count takes {1e3 * WINDOW:.0f} ms",
                "wait until the count is over",
            )
        self.clock.sleep(READ_DELAY)
        return self.counts_between(begun + BLANKING, begun + WINDOW)

    def counts_between(self, start: float, stop: float) -> npt.NDArray[np.int64]:
        """Count the spikes of each electrode from one time to another, shape (128,)."""
        return np.bincount(self.spikes(start, stop)[0]["channel"], minlength=ELECTRODES)

    def spikes(self, start: float, stop: float) -> tuple[SpikeArray, npt.NDArray[np.float64]]:
        """Return the spikes of all electrodes between two times (s since 1970), and their heights in uV."""
        spikes, heights, _ = self._between(start, stop)
        return spikes, heights

    def events(self, start: float, stop: float) -> tuple[SpikeArray, npt.NDArray[np.float64]]:
        """Return those spikes that the database records: an event lasts 3 ms, in which its electrode has no other."""
        spikes, heights, apart = self._between(start, stop)
        return spikes[apart], heights[apart]

    def _between(self, start: float, stop: float) -> tuple[SpikeArray, npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        self.settle()
        held = np.concatenate([*self._spikes, np.zeros(0, dtype=SPIKE)])
        heights = np.concatenate([*self._heights, np.zeros(0)])
        apart = np.concatenate([*self._apart, np.zeros(0, dtype=bool)])
        self._spikes, self._heights, self._apart = [held], [heights], [apart]
        first, last = np.searchsorted(held["time"], [start, stop])
        return held[first:last], heights[first:last], apart[first:last]

    def _events_of(self, spikes: SpikeArray) -> npt.NDArray[np.bool_]:
        """Return which of the next spikes of an array are events of their own."""
        apart = np.zeros(len(spikes), dtype=bool)
        for k, (at, channel) in enumerate(zip(spikes["time"].tolist(), spikes["channel"].tolist(), strict=True)):
            if at >= self._last_event[channel] + EVENT - _SLACK:
                apart[k], self._last_event[channel] = True, at
        return apart

    def settle(self) -> None:
        """Advance the cultures to the present."""
        for array, twin in self._twins.items():
            due = round((self.clock.now() - self._began) * twin.rate) - twin.samples
            if due <= 0:
                continue
            until = self._began + (twin.samples + due) / twin.rate
            own = self._pending["electrode"] // ARRAY == array
            mine = self._pending[own & (self._pending["time"] < until)]
            self._pending = self._pending[~own | (self._pending["time"] >= until)]
            mine["time"] -= self._began
            mine["electrode"] -= ARRAY * array
            spikes, _ = twin.advance(due, mine)
            spikes["time"] += self._began
            spikes["channel"] += ARRAY * array
            heights = getattr(twin.last, "amplitudes", None)
            self._spikes.append(spikes)
            self._heights.append(-60.0 * np.ones(len(spikes)) if heights is None else 1e6 * np.asarray(heights))
            self._apart.append(self._events_of(spikes))
        if len(self._twins) > 1 and len(self._spikes) > 1:
            held, heights = np.concatenate(self._spikes), np.concatenate(self._heights)
            apart = np.concatenate(self._apart)
            order = np.argsort(held["time"], kind="stable")
            self._spikes, self._heights, self._apart = [held[order]], [heights[order]], [apart[order]]
