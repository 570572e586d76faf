"""Errors of passports."""

__all__ = ["PassportError"]


class PassportError(Exception):
    """A database of passports cannot be used, or has no such device or readout."""
