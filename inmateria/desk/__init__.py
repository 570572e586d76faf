"""Many runs: listed, compared, repeated, and made in sweeps by any number of processes."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
