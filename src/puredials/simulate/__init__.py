"""Rotation diffraction images with known truth: for tests, demonstrations, docs and benchmarks."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
