"""puredials: from diffraction images to merged intensities."""

__all__ = ["__version__"]

__version__ = "0.1.0"
