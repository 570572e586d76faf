"""Errors of the room: what a passport's reader is told."""

__all__ = ["PassportError"]


class PassportError(Exception):
    """A database of passports cannot be used, or it does not know that device or readout."""
