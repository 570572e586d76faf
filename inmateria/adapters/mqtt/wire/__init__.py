"""The wire: addresses, frames, announcements, and the connection to a broker."""
