"""Readouts, trained on features: ridge regression, online readouts, readouts with weights -1, 0 and 1."""
