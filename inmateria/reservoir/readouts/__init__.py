"""What is trained on features: ridge in batch, online readouts, readouts of -1, 0 and 1."""
