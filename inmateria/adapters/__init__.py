"""How a substrate is reached: in process, over MQTT, or by a vendor's protocol. `connect(uri)` finds the way."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
