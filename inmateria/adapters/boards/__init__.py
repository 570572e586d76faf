"""Boards that run our firmware, over a serial line or TCP; docs/board_protocol.md."""
