from .agreement import Agreement, agreement_with_truth
from .config import SimulationConfig, preset_names, read_config
from .dataset import SimulatedSet, SimulatedSweep, simulate

__all__ = [
    "Agreement",
    "SimulatedSet",
    "SimulatedSweep",
    "SimulationConfig",
    "agreement_with_truth",
    "preset_names",
    "read_config",
    "simulate",
]
