"""Guide doc_v2: parameters, triggers, closed loop, database, camera.

Source: https://github.com/FinalSpark-np/np-docs/blob/0466b63c74228728b9b2b15f29e1820c7cdf4cde/_sources/np_core/doc_v2.ipynb
"""

# %% imports
import time
from datetime import datetime, timedelta

import numpy as np
from neuroplatformv2.core.camera import CameraController
from neuroplatformv2.core.database import (
    DatabaseController,
    RawSpikeQuery,
    SpikeCountQuery,
    SpikeEventQuery,
    TriggersQuery,
    get_raw_spike,
)
from neuroplatformv2.core.intan import IntanController
from neuroplatformv2.core.trigger import TriggerController
from neuroplatformv2.utils.enumerations import MEA
from neuroplatformv2.utils.schemas import StartRawRecordingRequest, StimParam, StimPolarity

# %% an experiment without anything in it
intan = IntanController()
trigger = TriggerController("admin")
try:
    pass
finally:
    await intan._close()
    trigger.close()
