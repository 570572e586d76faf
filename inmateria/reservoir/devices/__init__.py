"""Readouts and the devices they were trained on: calibration, drift, identity, transfer, twins."""
