"""np-utils, parameters_loader: parameters checked, enabled, sent, disabled.

Source: https://github.com/FinalSpark-np/np-utils/blob/20da0a757b387c8291bbded77021d4359d4610da/src/np_utils/parameters_loader.py
Left: the preview with plotly; triphasic parameters, which the loader checks and the twin refuses to play.
"""

# %% imports
from neuroplatform import StimParam, StimShape, StimPolarity, Experiment
from neuroplatform import IntanSofware as IntanSoftware

# %% parameters
chosen = [(2, True, 0, 100, 1.0), (10, False, 0, 200, 2.0), (18, False, 0, 300, 3.0), (30, True, 1, 400, 4.0)]
stimparams = []
for index, enable, key, duration, current in chosen:
    param = StimParam()
    param.index = index
    param.enable = enable
    param.trigger_key = key
    param.nb_pulse = 1
    param.polarity = StimPolarity.PositiveFirst
    param.phase_duration1 = duration
    param.phase_duration2 = duration
    param.phase_amplitude1 = current
    param.phase_amplitude2 = current
    stimparams.append(param)

# %% checks of the loader
for param in stimparams:
    assert isinstance(param, StimParam)
    assert 0 <= param.index <= 127 and 0 <= param.trigger_key <= 15
    assert param.phase_duration1 * param.phase_amplitude1 == param.phase_duration2 * param.phase_amplitude2
    assert param.stim_shape in (StimShape.Biphasic, StimShape.BiphasicWithInterphaseDelay)
    print(param.display_attributes(), param.pulse_train_period)

# %% enable all and send
experiment = Experiment("OURTOKEN01")
intan = IntanSoftware()
for param in stimparams:
    param.enable = True
intan.send_stimparam(stimparams)

# %% check: all four are armed
assert sorted(platform._loaded) == [2, 10, 18, 30]

# %% disable all and send
for param in stimparams:
    param.enable = False
intan.send_stimparam(stimparams)

# %% check: none is
assert platform._loaded == {}
