"""Streams of other programs: LSL, BrainFlow and Open Ephys as outputs of a substrate, and a substrate published on LSL."""
