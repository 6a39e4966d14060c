"""The automatic pipeline: what to do next, and the record of what was done."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
