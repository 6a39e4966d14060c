"""Rotation diffraction images with known truth: for tests, demonstrations, docs and benchmarks."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "agreement": ["Agreement", "agreement_with_truth"],
        "config": ["SimulationConfig", "preset_names", "read_config"],
        "dataset": ["SimulatedSet", "SimulatedSweep", "simulate"],
    },
)
