from .expt import read_experiments, write_experiments
from .refl import read_reflections, write_reflections

__all__ = [
    "read_experiments",
    "read_reflections",
    "write_experiments",
    "write_reflections",
]
