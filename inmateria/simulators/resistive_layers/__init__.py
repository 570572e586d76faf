"""Networks of resistors and ideal diodes in layers, which learn by equilibrium propagation."""
