"""Intan's RHX software, by its three TCP servers, and an emulator of them."""
