"""Strong spots in diffraction images."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "find": ["Counts", "SpotResult", "find_spots", "min_spot_size"],
        "params": ["SpotParams"],
        "tables": ["image_statistics", "spot_counts", "spots_per_image", "strong_pixels_per_image"],
    },
)
