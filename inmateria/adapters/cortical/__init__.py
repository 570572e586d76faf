"""Cortical Labs' CL1, by the vendor's SDK, and a culture of ours inside the vendor's simulator."""
