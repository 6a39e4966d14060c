from .find import Counts, SpotResult, find_spots, min_spot_size
from .params import SpotParams
from .tables import image_statistics, spot_counts, spots_per_image, strong_pixels_per_image

__all__ = [
    "Counts",
    "SpotParams",
    "SpotResult",
    "find_spots",
    "image_statistics",
    "min_spot_size",
    "spot_counts",
    "spots_per_image",
    "strong_pixels_per_image",
]
