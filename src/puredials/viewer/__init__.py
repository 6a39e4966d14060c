"""Viewers in the browser: a local server, pure functions for its data, and a page drawn with WebGL2."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
