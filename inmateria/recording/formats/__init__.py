"""Formats of others: neo, NIX, NWB, tables of measurements."""
