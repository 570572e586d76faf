"""Vendor's demo: run and stimulate.

Source: https://github.com/Neuro-Mechatronics-Interfaces/python-intan/blob/c141e209f1c1c1a60c1a4d5700ce8aebbfdcac26/examples/intan_tcp/RHXRunAndStimulateDemo.py
Left: the second between pulses, here 0.2 s.
Its pulse has no second phase, and the simulated culture does not answer charge that stays.
"""

# %% connect, and ask what the controller is
import socket
import time

COMMAND_BUFFER_SIZE = 1024
scommand = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
scommand.connect(("127.0.0.1", 5000))
scommand.sendall(b"get type")
answer = str(scommand.recv(COMMAND_BUFFER_SIZE), "utf-8")
if answer != "Return: Type ControllerStimRecord":
    raise RuntimeError("this is no stimulating controller")

# %% stop it if it runs
scommand.sendall(b"get runmode")
answer = str(scommand.recv(COMMAND_BUFFER_SIZE), "utf-8")
if answer != "Return: RunMode Stop":
    scommand.sendall(b"set runmode stop")
    time.sleep(0.1)

# %% set up and upload the stimulation of A-010
for command in (
    b"set a-010.stimenabled true",
    b"set a-010.source keypressf1",
    b"set a-010.firstphaseamplitudemicroamps 10",
    b"set a-010.firstphasedurationmicroseconds 500",
    b"execute uploadstimparameters a-010",
):
    scommand.sendall(command)
    time.sleep(0.1)

# %% run, and stimulate again and again
scommand.sendall(b"set runmode run")
for _ in range(5):
    time.sleep(0.2)
    scommand.sendall(b"execute manualstimtriggerpulse f1")
time.sleep(0.1)

# %% stop
scommand.sendall(b"set runmode stop")
time.sleep(0.1)
scommand.close()

# %% check: five pulses with the phases that were set, and nothing was answered with an error
import numpy as np

given = np.array([pulse[1:] for pulse in platform.pulses])
assert np.allclose(given, [(10, -1e-05, 0.0005, 0.0, 0.0001)] * 5, rtol=1e-9, atol=0), given
assert platform.not_simulated == 5
