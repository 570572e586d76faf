"""Neurons in culture on an electrode array: tissue, dynamics, and the voltage that electrodes see."""
