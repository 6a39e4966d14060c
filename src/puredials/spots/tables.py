"""What a log says about spots."""

import numpy as np

from puredials.spots.find import SpotResult

__all__ = ["image_statistics", "spot_counts", "spots_per_image", "strong_pixels_per_image"]

_COLUMNS, _ROWS = 60, 10


def strong_pixels_per_image(result: SpotResult) -> str:
    """One line an image."""
    pairs = zip(result.image_numbers, result.strong_pixels, strict=True)
    return "\n".join(f"Found {n} strong pixels on image {image}" for image, n in pairs)


def spot_counts(result: SpotResult, *, min_size: int, max_size: int) -> str:
    """What each filter took."""
    counts = result.counts
    return "\n".join(
        [
            f"Extracted {counts.extracted} spots",
            f"Removed {counts.too_small} spots with size < {min_size} pixels",
            f"Removed {counts.too_large} spots with size > {max_size} pixels",
            f"Calculated {counts.measured} spot centroids",
            f"Calculated {counts.measured} spot intensities",
            f"Filtered {counts.kept} of {counts.measured} spots by peak-centroid distance",
        ]
    )


def spots_per_image(result: SpotResult, *, imageset: int = 0) -> str:
    """A histogram in characters of the number of spots along the scan."""
    first, last = int(result.image_numbers[0]), int(result.image_numbers[-1])
    n_images = len(result.image_numbers)
    lines = [f"Histogram of per-image spot count for imageset {imageset}:"]
    if n_images == 1:
        return "\n".join([*lines, f"{result.table.n_rows} spots found on 1 image"])
    columns = min(_COLUMNS, n_images)
    z = result.table["xyzobs.px.value"][:, 2]
    heights, _ = np.histogram(z, bins=columns, range=(first - 1, last))
    tallest = int(heights.max())
    lines.append(f"{result.table.n_rows} spots found on {n_images} images (max {tallest} / bin)")
    stars = heights * _ROWS // max(tallest, 1)
    lines += ["".join("*" if star >= row else " " for star in stars) for row in range(_ROWS, 0, -1)]
    ends = len(str(first)), len(str(last))
    lines.append(f"{first}{'image':^{max(columns - sum(ends), 7)}}{last}")
    return "\n".join(lines)


def image_statistics(result: SpotResult) -> str:
    """A table of spots, strong pixels and intensity for each image; a spot belongs to the image of its centroid."""
    image = np.floor(result.table["xyzobs.px.value"][:, 2]).astype(np.int64) + 1
    row = np.searchsorted(result.image_numbers, image)
    n = len(result.image_numbers)
    spots = np.bincount(row, minlength=n)
    total = np.bincount(row, weights=result.table["intensity.sum.value"], minlength=n)
    rule = f"|{'-' * 9}+{'-' * 9}+{'-' * 17}+{'-' * 19}|"
    lines = [f"| {'image':>7} | {'#spots':>7} | {'strong pixels':>15} | {'total intensity':>17} |", rule]
    lines += [
        f"| {number:>7} | {s:>7} | {pixels:>15} | {intensity:>17.0f} |"
        for number, s, pixels, intensity in zip(result.image_numbers, spots, result.strong_pixels, total, strict=True)
    ]
    return "\n".join(lines)
