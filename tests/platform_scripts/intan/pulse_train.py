"""A laboratory's example: a train of pulses.

Source: https://github.com/eddt123/Intan_RHX_TCP_Stim/blob/55ffdae387f0310551bf6d18fdd0631e6baa1283/example.py
Left: ten seconds of running, here 0.3 s. It triggers by the name of a channel, which is no key: RHX gives no pulse.
"""

# %% connect
import socket
import time

sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
sock.settimeout(2)
sock.connect(("127.0.0.1", 5000))


def send_command(command, delay=0.1):
    sock.sendall(command.encode("utf-8"))
    time.sleep(delay)


# %% set up a train of five pulses, and upload it
send_command("set a-001.stimenabled true")
send_command("set a-001.shape biphasic")
send_command("set a-001.polarity PositiveFirst")
send_command("set a-001.firstphasedurationmicroseconds 200")
send_command("set a-001.secondphasedurationmicroseconds 200")
send_command("set a-001.interphasedelaymicroseconds 25")
send_command("set a-001.firstphaseamplitudemicroamps 25")
send_command("set a-001.secondphaseamplitudemicroamps 25")
send_command("set a-001.numberofstimpulses 5")
send_command("set a-001.pulsetrainperiodmicroseconds 10000")
send_command("execute uploadstimparameters")

# %% run, and trigger by the channel's name
send_command("set runmode run")
send_command("execute manualstimtriggerpulse a-001")
time.sleep(0.3)
send_command("set runmode stop")

# %% check: the one answer says what was wrong
assert sock.recv(1024) == b"Error - Unrecognized key a-001; allowed are F1 to F8"
assert not platform.pulses
sock.close()
