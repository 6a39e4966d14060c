"""Scales, outliers and standard deviations of integrated intensities, from the agreement of equivalents."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
