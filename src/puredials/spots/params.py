"""Parameters of spot finding."""

from typing import Literal

from puredials.params import Params, param

__all__ = [
    "Dispersion",
    "Filter",
    "IceRings",
    "Masking",
    "Multiprocessing",
    "RadialProfile",
    "SpotParams",
    "Threshold",
    "Untrusted",
]


class Untrusted(Params):
    """Regions of a panel that are not used; may be given several times."""

    panel: int | None = param(None, "The panel of the shapes below (None: 0); without a shape the whole panel.", ge=0)
    circle: tuple[tuple[float, float, float], ...] = param((), "An untrusted circle: xc, yc, r.", unit="px")
    rectangle: tuple[tuple[int, int, int, int], ...] = param(
        (), "An untrusted rectangle: x0, x1, y0, y1, half-open.", unit="px"
    )
    polygon: tuple[float, ...] = param((), "Corners of an untrusted polygon: x, y of each.", unit="px")
    pixel: tuple[tuple[int, int], ...] = param((), "An untrusted pixel: y, x.", unit="px")


class IceRings(Params):
    """Rings of crystalline ice."""

    filter: bool = param(False, "Do not use the powder rings of the substance below.")
    unit_cell: tuple[float, float, float, float, float, float] = param(
        (4.498, 4.498, 7.338, 90.0, 90.0, 120.0), "Cell of the substance (hexagonal ice).", unit="Angstrom, degrees"
    )
    space_group: str = param("194", "Number or symbol of its space group.")
    width: float = param(0.002, "Width of a ring in 1/d^2.", unit="1/Angstrom^2", ge=0)
    d_min: float | None = param(None, "Mask rings down to this resolution (Auto: all of the detector).", gt=0)


class Masking(Params):
    """Which pixels are not used."""

    border: int = param(0, "Width of the edge of a panel that is not used.", unit="px", ge=0)
    d_min: float | None = param(None, "Use no pixel of higher resolution than this.", unit="Angstrom", gt=0)
    d_max: float | None = param(None, "Use no pixel of lower resolution than this.", unit="Angstrom", gt=0)
    disable_parallax_correction: bool = param(
        False, "Leave out the parallax correction where the resolution of pixels is calculated.", expert=1
    )
    resolution_range: tuple[tuple[float, float], ...] = param(
        (), "An untrusted range of resolution: its two limits.", unit="Angstrom"
    )
    untrusted: tuple[Untrusted, ...] = ()
    ice_rings: IceRings = IceRings()


class Filter(Masking):
    """Which pixels are searched and which spots are kept."""

    min_spot_size: int | None = param(
        None, "Fewest strong pixels of a spot (Auto: 3 on pixel-array detectors, 6 on others).", ge=1
    )
    max_spot_size: int = param(1000, "Most strong pixels of a spot.", ge=1)
    max_separation: float = param(2.0, "Largest distance of a spot's peak from its centroid.", unit="px", ge=0)
    max_strong_pixel_fraction: float = param(
        0.25, "Stop if more than this share of an image's pixels is strong.", gt=0, le=1
    )


class Dispersion(Params):
    """Thresholds on the ratio of variance to mean."""

    gain: float | None = param(None, "Multiplies the gain of the detector (None: 1).", gt=0)
    kernel_size: tuple[int, int] = param((3, 3), "Half sizes x, y of the window: it spans 2 n + 1 pixels.", unit="px")
    sigma_background: float = param(
        6.0, "Standard deviations of the index of dispersion below which a window is background.", ge=0
    )
    sigma_strong: float = param(3.0, "Standard deviations above the local mean from which a pixel is strong.", ge=0)
    min_local: int = param(2, "Fewest valid pixels of a window (0: all of it).", ge=0)
    global_threshold: float = param(0.0, "Pixels up to this value are never strong.", unit="counts")


class RadialProfile(Params):
    """Thresholds in shells of scattering angle."""

    n_iqr: float = param(6.0, "Interquartile ranges above the median of its shell from which a pixel is strong.", ge=0)
    blur: Literal["narrow", "wide"] | None = param(
        None, "Smooth images first with a Gaussian kernel of 3 x 3 (narrow) or 5 x 5 (wide) pixels."
    )
    n_bins: int = param(100, "Number of shells.", ge=1)


class Threshold(Params):
    """How strong pixels are told from background."""

    algorithm: Literal["dispersion", "dispersion_extended", "radial_profile"] = param(
        "dispersion_extended", "The kind of threshold."
    )
    dispersion: Dispersion = Dispersion()
    radial_profile: RadialProfile = RadialProfile()


class Multiprocessing(Params):
    """Use of processors."""

    nproc: int | None = param(None, "Number of workers (Auto: the processors that may be used).", ge=1)


class SpotParams(Params):
    """Spot finding."""

    force_2d: bool = param(False, "Do not join spots across images.")
    scan_range: tuple[tuple[int, int], ...] = param(
        (), "Images to search: first, last, both included; may be given several times (none: all)."
    )
    region_of_interest: tuple[int, int, int, int] | None = param(
        None, "Search these pixels only: x0, x1, y0, y1, half-open.", unit="px"
    )
    filter: Filter = Filter()
    mp: Multiprocessing = Multiprocessing()
    threshold: Threshold = Threshold()
