"""Guide np_usage: experiments, parameters, triggers, tags, threshold, impedance.

Source: https://github.com/FinalSpark-np/np-docs/blob/09b48ff889c49210ed3c89910d8b6e487f021eb1/neuroplatform-docs/np_core/np_usage.ipynb
"""

# %% imports
import numpy as np
import time
from datetime import datetime
from neuroplatform import StimParam, IntanSofware, Trigger, StimPolarity, Experiment

# %% experiment of a token
token = "OURTOKEN01"
exp = Experiment(token)
print(f"may use {exp.electrodes}")

# %% start and stop
try:
    exp.start()
finally:
    exp.stop()

# %% parameters of the first electrode
left = StimParam()
left.enable = True
left.trigger_key = 4
left.index = 0
left.polarity = StimPolarity.PositiveFirst
left.phase_duration2 = 120
left.phase_duration1 = 120
left.phase_amplitude2 = 3
left.phase_amplitude1 = 3
left.display_attributes()

# %% parameters of one of the booking's electrodes
right = StimParam()
right.index = exp.electrodes[17]
right.enable = True
right.trigger_key = 9
right.polarity = StimPolarity.NegativeFirst
right.display_attributes()

# %% parameters are sent before an experiment is started
intan = IntanSofware()
both = [left, right]
intan.send_stimparam(both)
intan.close()

# %% flags of a trigger
generator = Trigger()
flags = np.zeros(16, dtype=np.uint8)
flags[9] = 1
generator.close()

# %% an experiment
intan = IntanSofware()
generator = Trigger()
stim_params = [left, right]
try:
    if exp.start():
        intan.send_stimparam(stim_params)
        start_exp = datetime.utcnow()
        print(start_exp)
        trigger4 = np.zeros(16, dtype=np.uint8)
        trigger4[4] = 1
        for _ in range(6):
            generator.send(trigger4)
            time.sleep(1)
        stop_exp = datetime.utcnow()
        print(stop_exp)
        for stim in stim_params:
            stim.enable = False
        intan.send_stimparam(stim_params)
finally:
    generator.close()
    intan.close()
    exp.stop()

# %% a tag, after the controller was closed
intan.set_tag_trigger(3)

# %% a threshold that does not vary
try:
    intan.var_threshold(False)
finally:
    intan.var_threshold(True)
    exp.stop()

# %% impedances
intan.impedance()

# %% check: six pulses were given where and as they were asked for, and nothing is armed any more
assert [each[1] for each in platform.given] == [0] * 6
sample = 1 / 30_000  # a phase of 120 us is played as the nearest whole number of samples
assert np.allclose([each[2:] for each in platform.given], [3e-6, 4 * sample, -3e-6, 4 * sample], rtol=1e-6, atol=0)
assert (stop_exp - start_exp).total_seconds() == 6
assert (platform._loaded, platform.tag, len(platform.impedances)) == ({}, 3, 1)
