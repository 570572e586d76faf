"""The device's side of the wire: a substrate served on a broker."""
