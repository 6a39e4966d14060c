from .explain import MODES, ThresholdStages
from .find import Counts, SpotResult, find_spots, min_spot_size
from .mask import generate_mask
from .params import Masking, SpotParams
from .tables import image_statistics, spot_counts, spots_per_image, strong_pixels_per_image

__all__ = [
    "MODES",
    "Counts",
    "Masking",
    "SpotParams",
    "SpotResult",
    "ThresholdStages",
    "find_spots",
    "generate_mask",
    "image_statistics",
    "min_spot_size",
    "spot_counts",
    "spots_per_image",
    "strong_pixels_per_image",
]
