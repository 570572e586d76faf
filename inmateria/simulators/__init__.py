"""Simulated substrates: physics only, synchronous, seeded, without input or output.

Nothing heavy is imported until a simulator's name is used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
