"""Stacks of physical layers, each with an encoder of its own, and methods to train the encoders."""
