"""Guide closed_loop: counts after a trigger, with and without a pulse.

Source: https://github.com/FinalSpark-np/np-docs/blob/73825d322dc6968ee54ac343a2d7d33c7badb5f2/neuroplatform-docs/np_core/closed_loop.ipynb
"""

# %% imports, which the notebook has from the page before
import time
from datetime import datetime
import numpy as np
from neuroplatform import Experiment, IntanSofware, StimParam, Trigger

# %% experiment of a token
token = "OURTOKEN01"
exp = Experiment(token)
print(f"may use {exp.electrodes}")

# %% parameters
stim_param1 = StimParam()
stim_param1.index = exp.electrodes[5]
stim_param1.trigger_key = 0
stim_param1.phase_amplitude1 = 60.0
stim_param1.phase_amplitude2 = 60.0
stim_param1.display_attributes()

# %% the loop
intan = IntanSofware()
trigger_gen = Trigger()
intan.set_count([0, 1])
stim_params = [stim_param1]
driven, alone = [], []
try:
    if exp.start():
        intan.send_stimparam(stim_params)
        start_exp = datetime.utcnow()
        trigger0 = np.zeros(16, dtype=np.uint8)
        trigger0[0] = 1
        for i in range(5):
            trigger_gen.send(trigger0)
            time.sleep(0.2)
            count_spikes = intan.read_count()
            driven.append(count_spikes[5])
            trigger1 = np.zeros(16, dtype=np.uint8)
            trigger1[1] = 1
            trigger_gen.send(trigger1)
            time.sleep(0.2)
            count_spikes = intan.read_count()
            alone.append(count_spikes[5])
            print(f"{driven[-1]} spikes after a pulse, {alone[-1]} without")
            time.sleep(1)
        stop_exp = datetime.utcnow()
        for stim in stim_params:
            stim.enable = False
        intan.send_stimparam(stim_params)
finally:
    trigger_gen.close()
    intan.close()
    exp.stop()

# %% check: counts have all electrodes, and only the first trigger gave a pulse
assert count_spikes.shape == (128,)
assert [each[1] for each in platform.given] == [5] * 5
assert [key for _, key, _ in platform.triggers] == [0, 1] * 5
