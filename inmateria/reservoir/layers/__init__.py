"""Layers of matter behind one another, each with an encoder of its own, and the ways to train them."""
