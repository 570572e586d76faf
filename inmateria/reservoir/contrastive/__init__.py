"""Estimators whose weights are in a substrate that learns by itself."""
