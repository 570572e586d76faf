"""For operators of devices on a broker: find, observe, record, stop and release them."""
