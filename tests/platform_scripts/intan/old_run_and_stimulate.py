"""Vendor's demo of RHX 3.0: run and stimulate.

Source: https://github.com/sjafari2/K8sKafkaPipeline/blob/dca8eefc9e52882b21ecd1ad2e03cdd1967bc610/seizureproject/ExamplePythonTCPclients/RHXRunAndStimulateDemo.py
Left: the second between pulses, here 0.2 s.
It asks for the controller's old name, with which the emulator answers as version 3.0.6.
"""

# %% connect, and ask what the controller is
import socket
import time

COMMAND_BUFFER_SIZE = 1024
scommand = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
scommand.connect(("127.0.0.1", 5000))
scommand.sendall(b"get type")
answer = str(scommand.recv(COMMAND_BUFFER_SIZE), "utf-8")
if answer != "Return: Type ControllerStimRecordUSB2":
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
