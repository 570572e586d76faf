"""LSL for tests: on this machine only, without multicast, and with a session of this process's own."""

import os
import tempfile
from pathlib import Path

CONFIGURATION = f"""
[ports]
IPv6 = disable
PortRange = 256
[multicast]
ResolveScope = machine
[lab]
KnownPeers = {{127.0.0.1}}
SessionID = inmateria-test-{os.getpid()}
[log]
level = -3
[tuning]
TimeProbeCount = 4
TimeProbeInterval = 0.01
TimeUpdateMinProbes = 3
TimeUpdateInterval = 0.2
WatchdogCheckInterval = 0.3
WatchdogTimeThreshold = 1
MulticastMinRTT = 0.1
UnicastMinRTT = 0.1
"""


def use() -> None:
    """Have liblsl read this configuration when it is first used, here and in processes started from here."""
    folder = Path(tempfile.mkdtemp(prefix="inmateria-lsl-"))
    (folder / "lsl_api.cfg").write_text(CONFIGURATION)
    os.environ["LSLAPICFG"] = str(folder / "lsl_api.cfg")
