from .capacity import InformationProcessingCapacity, MemoryCapacity, information_processing_capacity, memory_capacity
from .forgetting import FadingMemory, fading_memory
from .information import transmitted_information
from .scores import accuracy, nmse, nrmse
from .separability import (
    Separation,
    StateRank,
    alike_inputs,
    different_inputs,
    generalisation_rank,
    kernel_rank,
    separation,
)

__all__ = [
    "FadingMemory",
    "InformationProcessingCapacity",
    "MemoryCapacity",
    "Separation",
    "StateRank",
    "accuracy",
    "alike_inputs",
    "different_inputs",
    "fading_memory",
    "generalisation_rank",
    "information_processing_capacity",
    "kernel_rank",
    "memory_capacity",
    "nmse",
    "nrmse",
    "separation",
    "transmitted_information",
]
