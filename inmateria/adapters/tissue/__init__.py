"""Living tissue: limits of pulses, the guard and log that keep them, and the common part of its adapters."""
