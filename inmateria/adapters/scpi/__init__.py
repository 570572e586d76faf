"""Instruments that speak SCPI over TCP: `scpi://` drives one, and `ScpiServer` puts a simulator behind it."""
