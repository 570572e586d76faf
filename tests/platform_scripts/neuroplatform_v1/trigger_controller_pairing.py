"""Scripts that import TriggerController, datetime_now and wait: paired pulses, before and after.

Source: https://github.com/search?type=code&q=%22from+neuroplatform+import%22+TriggerController+datetime_now+wait
Left: the files that they write; the index in which these were read names no repository.
"""

# %% imports
import numpy as np
import pandas as pd
from datetime import timedelta
from neuroplatform import (
    IntanSofware,
    TriggerController,
    Database,
    StimParam,
    StimShape,
    StimPolarity,
    datetime_now,
    wait,
)

# %% connections
from neuroplatform import Experiment as NeuroPlatformExperiment

experiment = NeuroPlatformExperiment("OURTOKEN01")
trigger_controller = TriggerController(email="us@example.org")
intan = IntanSofware()
database = Database()
print(experiment.exp_name, experiment.electrodes)
if not experiment.start():
    raise RuntimeError("could not be started")
recording_start = datetime_now()


# %% all parameters of two electrodes
def build(electrode, trigger_key):
    stim = StimParam()
    stim.index = electrode
    stim.enable = True
    stim.trigger_key = trigger_key
    stim.trigger_delay = 0
    stim.nb_pulse = 0
    stim.pulse_train_period = 10000
    stim.post_stim_ref_period = 1000.0
    stim.stim_shape = StimShape.Biphasic
    stim.polarity = StimPolarity.NegativeFirst
    stim.phase_amplitude1 = 4.0
    stim.phase_duration1 = 250.0
    stim.phase_amplitude2 = 4.0
    stim.phase_duration2 = 250.0
    stim.enable_amp_settle = True
    stim.pre_stim_amp_settle = 0.0
    stim.post_stim_amp_settle = 1000.0
    stim.enable_charge_recovery = True
    stim.post_charge_recovery_on = 0.0
    stim.post_charge_recovery_off = 100.0
    stim.interphase_delay = 0.0
    return stim


intan.send_stimparam([build(6, 0), build(7, 1)])


# %% a trigger goes up, and down again 20 ms later
def fire(trigger_key):
    stim_time = datetime_now()
    pattern = np.zeros(16, dtype=np.uint8)
    pattern[trigger_key] = 1
    trigger_controller.send(pattern)
    wait(0.02)
    pattern[trigger_key] = 0
    trigger_controller.send(pattern)
    return stim_time


# %% test: one electrode is stimulated, the other's first spike is looked for
def respond(stim_time):
    spike_df = database.get_spike_event(stim_time, stim_time + timedelta(seconds=0.15), experiment.exp_name)
    if spike_df.empty:
        return []
    mine = spike_df[spike_df["channel"] == 7]
    spike_times = pd.to_datetime(mine["Time"], utc=True)
    stim_dt = pd.Timestamp(stim_time)
    if stim_dt.tzinfo is None:
        stim_dt = stim_dt.tz_localize("UTC")
    return [(t - stim_dt).total_seconds() * 1000.0 for t in spike_times]


def test_phase(duration):
    latencies, begun = [], datetime_now()
    while (datetime_now() - begun).total_seconds() < duration:
        stim_time = fire(0)
        wait(0.05 + 0.05)
        latencies.append(respond(stim_time))
        remaining = 2.0 - (datetime_now() - stim_time).total_seconds()
        if remaining > 0:
            wait(remaining)
    return latencies


before = test_phase(8.0)

# %% pairs, 10 ms apart
for _ in range(3):
    first = fire(0)
    wait(0.01)
    fire(1)
    wait(5.0 - (datetime_now() - first).total_seconds())

# %% test again, and stop
after = test_phase(8.0)
recording_stop = datetime_now()

# %% results
fs_name = getattr(experiment, "exp_name", "unknown")
spike_df = database.get_spike_event(recording_start, recording_stop, fs_name)
trigger_df = database.get_all_triggers(recording_start, recording_stop)
stamp = datetime_now().strftime("%Y%m%dT%H%M%SZ")
print(stamp, recording_start.isoformat(), spike_df.to_csv(index=False)[:40], trigger_df.to_csv(index=False)[:40])

# %% waveforms of all electrodes
waveforms = {}
for electrode in spike_df["channel"].unique():
    raw_df = database.get_raw_spike(recording_start, recording_stop, int(electrode))
    if not raw_df.empty:
        waveforms[int(electrode)] = raw_df.values.tolist()

# %% clean up, in their order
experiment.stop()
intan.close()
trigger_controller.close()

# %% check: pulses and pairs as asked; waveforms of every event
assert len(before) == len(after) == 4
assert [each[1] for each in platform.given] == [6] * 4 + [6, 7] * 3 + [6] * 4
assert (recording_stop - recording_start).total_seconds() == 10 + 8 + 15 + 8
assert trigger_df["trigger"][trigger_df["up"] == 1].tolist() == [0] * 4 + [0, 1] * 3 + [0] * 4
edge = 3  # an event at the end of the time has not all of its samples within it
assert abs(sum(map(len, waveforms.values())) - 90 * len(spike_df)) <= 90 * edge
