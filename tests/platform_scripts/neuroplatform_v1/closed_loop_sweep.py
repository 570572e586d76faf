"""A search for the electrode that answers best: responses before and after each pulse, from the database.

Source: https://github.com/search?type=code&q=%22from+neuroplatform+import%22+ClosedLoopStimulationExperiment
Left: two names that StimParam does not have, which the platform's own class would take and ignore.
"""

# %% imports
import itertools
import time
from datetime import datetime, timedelta, timezone
import numpy as np
from neuroplatform import StimParam, IntanSofware, Trigger, StimPolarity, Experiment, Database

# %% connections
exp = Experiment("OURTOKEN01")
available = exp.electrodes
center = available[0] if available else 0
intan = IntanSofware()
trigger_gen = Trigger()
db = Database()
exp.start()

# %% refused: StimParam has no post_trigger_delay
stim_param = StimParam()
stim_param.post_trigger_delay = 0

# %% refused: StimParam has no post_stim_refractory_period
stim_param.post_stim_refractory_period = 1000.0


# %% one stimulation, and its response
def stimulate(electrode, amplitude, duration, polarity):
    stim_param = StimParam()
    stim_param.enable = True
    stim_param.index = electrode
    stim_param.trigger_key = 0
    stim_param.polarity = polarity
    stim_param.phase_duration1 = duration
    stim_param.phase_duration2 = duration
    stim_param.phase_amplitude1 = amplitude
    stim_param.phase_amplitude2 = amplitude
    stim_param.interphase_delay = 0.0
    stim_param.nb_pulse = 1
    intan.send_stimparam([stim_param])
    flags = np.zeros(16, dtype=np.uint8)
    flags[0] = 1
    stim_time = datetime.utcnow()
    trigger_gen.send(flags)
    time.sleep(0.3)
    before = db.get_spike_event(stim_time - timedelta(milliseconds=200), stim_time, exp.exp_name)
    after = db.get_spike_event(
        stim_time + timedelta(milliseconds=10), stim_time + timedelta(milliseconds=200), exp.exp_name
    )
    mine = after[after["channel"] == electrode]
    peak = mine["Amplitude"].max() if len(mine) > 0 else 0.0
    stim_param.enable = False
    intan.send_stimparam([stim_param])
    return len(before[before["channel"] == electrode]), len(mine), peak


# %% the sweep
found = {}
for electrode in (center, center + 1):
    for point in itertools.product([2.0, 30.0], [200.0], [StimPolarity.NegativeFirst]):
        found[electrode, point] = stimulate(electrode, *point)
        time.sleep(5)

# %% clean up: one electrode after the other is disabled
for electrode in available:
    stim_param = StimParam()
    stim_param.index = electrode
    stim_param.enable = False
    stim_param.trigger_key = 0
intan.send_stimparam([stim_param])
trigger_gen.close()
intan.close()
exp.stop()

# %% check: four pulses, none armed
assert [each[1] for each in platform.given] == [0, 0, 1, 1]
assert platform._loaded == {}
