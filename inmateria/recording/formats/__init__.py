"""What others wrote and read: neo, NIX, NWB, measured tables."""
