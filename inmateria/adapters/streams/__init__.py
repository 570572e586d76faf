"""Streams of other programs, LSL, BrainFlow and Open Ephys, as outputs of a substrate; a substrate as LSL streams."""
