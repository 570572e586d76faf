"""organoid-oi, finalspark_organoid: one trigger, each electrode after a delay of its own.

Source: https://github.com/Metin1558/organoid-oi/blob/6d7d8e621486d0107f92b9dfc192a533f53acade/hardware/finalspark_organoid.py
Left: reading and rewards, which the script itself has not written yet.
"""

# %% connect
import numpy as np
from neuroplatform import Experiment, IntanSofware, Trigger

exp = Experiment("OURTOKEN01")
if not exp.start():
    raise RuntimeError("another experiment runs")
intan = IntanSofware()
trigger_gen = Trigger()

# %% a stimulus: seconds after the trigger, for each active electrode
from neuroplatform import StimParam, StimPolarity

params = []
for electrode, at in enumerate((0.0, 0.012, None, 0.03)):
    if at is None:
        continue
    p = StimParam()
    p.enable = True
    p.index = electrode
    p.trigger_key = 0
    p.polarity = StimPolarity.NegativeFirst
    p.phase_duration1 = 110.0
    p.phase_amplitude1 = 1.5
    p.phase_duration2 = 110.0
    p.phase_amplitude2 = 1.5
    p.trigger_delay = float(at * 1_000_000)
    params.append(p)
intan.send_stimparam(params)
flags = np.zeros(16, dtype=np.uint8)
flags[0] = 1
trigger_gen.send(flags)
for p in params:
    p.enable = False
intan.send_stimparam(params)

# %% close
trigger_gen.close()
intan.close()
exp.stop()

# %% check: each pulse came after its own delay
at = platform.triggers[0][0]
assert [each[1] for each in platform.given] == [0, 1, 3]
assert np.allclose([each[0] - at for each in platform.given], [0, 0.012, 0.03], atol=1e-6)
