"""The controller's side of the wire: a device behind a broker as a substrate."""
