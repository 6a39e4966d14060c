"""Image files: what their headers say, and their pixels. One module a file type, one table of beamline quirks."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
