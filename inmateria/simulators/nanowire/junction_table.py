"""Rows of the table of junctions."""

ROWS = ("state", "conductance", "feels", "conducts", "walk", "drop")
"""State; conductance, S; factor on the voltage it feels; factor on its conductance; noise, log; voltage across it."""

STATE, CONDUCTANCE, FEELS, CONDUCTS, WALK, DROP = range(len(ROWS))
