"""Which plots deserve a look, and why: sentences from measured numbers, silent where these are as they should be.

Each function looks at one thing. The limits are differences that a person would see in the plot and act upon; all have
to stand out of their statistical noise as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from puredials.merging.tables import MergingStatistics
from puredials.merging.twinning import TwinStatistics
from puredials.report.along import Along, find_step
from puredials.report.crystals import CrystalCourse
from puredials.report.damage import PairwiseR
from puredials.report.maps import DetectorMap

__all__ = [
    "Remark",
    "of_absorption",
    "of_background",
    "of_cell",
    "of_completeness",
    "of_correlations",
    "of_damage",
    "of_decay",
    "of_deviations",
    "of_few_spots",
    "of_flicker",
    "of_indexing",
    "of_maps",
    "of_orientation",
    "of_outliers",
    "of_overloads",
    "of_resolution",
    "of_steps",
    "of_twinning",
    "of_uneven_indexing",
]

Values = Float64[np.ndarray, " n"]
# d (Angstrom) of the strongest rings of hexagonal ice (Thorn et al. 2017, Acta D73, 729) that stand alone.
_ICE = (3.90, 3.67, 3.44, 2.67, 2.25, 2.07, 1.95, 1.92, 1.88, 1.72)
# Shells that are wider, in 1/d^2, do not show them; down to this d lies the broad ring of water.
_WIDEST, _WATER = 0.008, 3.0
# Fewer overloaded reflections are worth no sweep of their own.
_OVERLOADS = 20
# Strong reflections that an image needs to say anything, and such images of a sweep.
_ON_AN_IMAGE, _IMAGES = 5, 20
# Order of the absorption surface at absorption_level=low.
_LOW_ORDER = 4
# Completeness of a shell relative to the inner ones, below which it lies in the corners of the detector.
_OF_INNER = 0.95
# Pairs of half sets that a correlation needs to say anything.
_PAIRS = 50


@dataclass(frozen=True)
class Remark:
    """`plot`: name of the section's figure; `text`: a sentence."""

    plot: str
    text: str


def _where(part: Along | CrystalCourse | PairwiseR, parts: Sequence[object]) -> str:
    return f" of data set {part.experiment}" if len(parts) > 1 else ""


def of_steps(
    plot: str,
    what: str,
    parts: Sequence[Along],
    *,
    rise: float | None = None,
    fall: float | None = None,
    unit: str = "",
    ends: float = 0.0,
) -> list[Remark]:
    """Levels that change along the scan: up by the factor `rise`, or down to the share `fall` of what they were.

    `ends`: share of the scan at either end that is left out.
    """
    remarks = []
    for part in parts:
        left_out = int(ends * len(part.image))
        step = find_step(part.inner(left_out))
        if step is None:
            continue
        if (rise and step.ratio > rise) or (fall and step.ratio < fall):
            verb = "rises" if step.ratio > 1 else "falls"
            levels = f"from {step.before:.3g}{unit} to {step.after:.3g}{unit}"
            remarks.append(Remark(plot, f"{what}{_where(part, parts)} {verb} after image {step.image}, {levels}."))
    return remarks


def of_few_spots(parts: Sequence[Along], *, share: float = 0.5, neighbours: int = 10) -> list[Remark]:
    """Images with less than `share` of the spots of those around them."""
    remarks = []
    for part in parts:
        count, n = part.value, len(part.value)
        if n < 2 * neighbours:
            continue
        reach = np.clip(np.arange(n)[:, None] + np.arange(-neighbours, neighbours + 1), 0, n - 1)
        usual = np.median(count[reach], axis=1)
        # Groups of neighbouring spots and images vary by more than Poisson's statistics.
        low = (count < share * usual) & (usual - count > 6 * np.sqrt(usual))
        if low.any():
            images = part.image[low].astype(int)
            listed = ", ".join(map(str, images[:5])) + (f" and {len(images) - 5} more" if len(images) > 5 else "")
            least = int(np.argmin(np.where(low, count / np.maximum(usual, 1), np.inf)))
            text = f"Few spots on image{'s' if len(images) > 1 else ''} {listed}{_where(part, parts)}: as few as "
            text += f"{count[least]:.0f} where its neighbours have {usual[least]:.0f}."
            remarks.append(Remark("spots_per_image", text))
    return remarks


def of_indexing(share: float, n_spots: int, *, least: float = 0.7) -> list[Remark]:
    """Of all spots `share` is indexed."""
    if n_spots < 100 or share >= least:
        return []
    text = f"Only {100 * share:.0f} % of the {n_spots} spots are indexed: look for other lattices, ice or bad images."
    return [Remark("indexed_share", text)]


def of_uneven_indexing(parts: Sequence[Along], *, least: float = 0.7, fewest: int = 100) -> list[Remark]:
    """Sets of `fewest` spots or more of which less than the share `least` is indexed, beside others that are."""
    shares = {
        p.experiment: float(np.nansum(p.value * p.count) / p.count.sum()) for p in parts if p.count.sum() >= fewest
    }
    low = [number for number, share in shares.items() if share < least]
    if not low or len(low) == len(shares):
        return []
    listed = ", ".join(map(str, low[:5])) + (f" and {len(low) - 5} more" if len(low) > 5 else "")
    text = f"Of data set{'s' if len(low) > 1 else ''} {listed} {100 * np.mean([shares[k] for k in low]):.0f} % of the "
    text += "spots are indexed, of the others more: another crystal, angles that are recorded wrong, or bad images. "
    return [Remark("indexed_share", text + "joint_indexing=False indexes each by itself.")]


def of_maps(
    maps: Mapping[str, Sequence[DetectorMap]], rmsd: Float64[np.ndarray, "3"], *, least: float = 0.1
) -> list[Remark]:
    """Residuals that depend on the place on the detector: more than `least` px and a third of the RMSD."""
    remarks = []
    for k, name in enumerate(("x", "y")):
        for found in maps.get(name, ()):
            if found.spread > max(least, rmsd[k] / 3):
                text = f"Residuals in {name} depend on the place on the detector by {found.spread:.2f} px (r.m.s.): "
                text += "its geometry, or that of its panels, is not right."
                remarks.append(Remark(f"residual_map_{name}", text))
    return remarks


def of_cell(courses: Sequence[CrystalCourse], *, most: float = 0.005) -> list[Remark]:
    """Cell lengths that change by more than `most` of themselves."""
    remarks = []
    for course in courses:
        lengths = course.cell[:, :3]
        change = np.ptp(lengths, axis=0) / lengths.mean(axis=0)
        k = int(np.argmax(change))
        if change[k] > most and np.ptp(lengths[:, k]) > 5 * np.median(course.esds[:, k]):
            first, last = lengths[0, k], lengths[-1, k]
            text = f"Cell length {'abc'[k]}{_where(course, courses)} changes by {100 * change[k]:.1f} % along the scan "
            text += f"({first:.3f} to {last:.3f} Å): damage, or a model too free."
            remarks.append(Remark("cell_lengths", text))
    return remarks


def of_orientation(courses: Sequence[CrystalCourse], *, most: float = 0.3) -> list[Remark]:
    """Orientations that change by more than `most` degrees."""
    remarks = []
    for course in courses:
        ranges = np.ptp(course.rotation, axis=0)
        k = int(np.argmax(ranges))
        if ranges[k] > most:
            name = ("about the rotation axis", "about the beam", "across beam and axis")[k]
            text = f"The crystal{_where(course, courses)} turns by {ranges[k]:.2f}° {name} along the scan: "
            text += "it slips, or the axis does."
            remarks.append(Remark("orientation", text))
    return remarks


def of_correlations(correlation: Values, significance: Values, *, least: float = 0.85) -> list[Remark]:
    """Correlations with the reference profiles of reflections whose I/sigma is above 20."""
    strong = np.isfinite(correlation) & (significance > 20)
    if strong.sum() < 100:
        return []
    middle = float(np.median(correlation[strong]))
    if middle >= least:
        return []
    text = f"Strong reflections (I/σ > 20) fit the reference profiles badly: their median correlation is {middle:.2f}."
    return [Remark("profile_correlation_i_over_sigma", text)]


def of_background(s_squared: Values, background: Values, *, excess: float = 1.12) -> list[Remark]:
    """Rings of ice: shells whose background exceeds the mean of the shells to each side by the factor `excess`."""
    width = s_squared[1] - s_squared[0]
    if width > _WIDEST or np.isfinite(background).sum() < 8:
        return []
    # Curvature, unlike differences, is small on the slopes of the water ring.
    noise = float(np.nanmedian(np.abs(np.diff(background, 2)))) / (0.6745 * np.sqrt(6))
    rings = []
    for d in _ICE:
        at = int(np.argmin(np.abs(s_squared - d**-2)))
        if abs(s_squared[at] - d**-2) > width:
            continue
        below, above = background[max(at - 4, 0) : max(at - 1, 0)], background[at + 2 : at + 5]
        if np.isfinite(below).any() and np.isfinite(above).any():
            around = (np.nanmedian(below) + np.nanmedian(above)) / 2
            if background[at] > max(excess * around, around + 6 * noise):
                rings.append(d)
    # One alone may be a ring of something else, or the edge of a panel, and two the top of the water ring.
    if len(rings) < 2 or (len(rings) == 2 and min(rings) > _WATER):
        return []
    listed = ", ".join(f"{d:.2f}" for d in rings)
    return [Remark("background_resolution", f"The background has ice rings, at {listed} Å.")]


def of_overloads(s_squared: Values, share: Values, number: int, *, most: float = 0.02) -> list[Remark]:
    """Of shells (1/d^2) more than `most` have overloaded pixels; `number`: such reflections in all."""
    if number < _OVERLOADS or share.max(initial=0.0) <= most:
        return []
    worst = int(np.argmax(share))
    text = f"{number} reflections have overloaded pixels, {100 * share[worst]:.0f} % of those about "
    text += (
        f"{s_squared[worst] ** -0.5:.1f} Å: their intensities are uncertain; a sweep with less beam would measure them."
    )
    return [Remark("overloaded", text)]


def of_decay(curves: Sequence[tuple[int, Values, Values, Values]], *, least: float = 5.0) -> list[Remark]:
    """Relative B factors (number, angles, values, errors) that fall by more than `least`."""
    remarks = []
    for number, angle, value, error in curves:
        k = int(np.argmin(value))
        fall = float(value[:k].max() - value[k]) if k else 0.0
        if fall > max(least, 3 * float(error[k])):
            which = f" of data set {number}" if len(curves) > 1 else ""
            text = f"The relative B factor{which} falls by {fall:.1f} Å² to the rotation {angle[k]:.0f}°: damage; "
            text += "consider leaving out the end of the scan."
            remarks.append(Remark("decay", text))
    return remarks


def of_absorption(number: int, factors: Values, order: int, *, most: float = 0.15) -> list[Remark]:
    """Corrections that vary by more than `most`, unless the surface is of a high order already."""
    if len(factors) < 100 or order > _LOW_ORDER:
        return []
    spread = float(np.subtract(*np.quantile(factors, (0.99, 0.01))))
    if spread <= most:
        return []
    text = (
        f"Absorption varies by {100 * spread:.0f} %: absorption_level=medium or high in scaling may describe it better."
    )
    return [Remark(f"absorption/{number}", text)]


def of_deviations(deviation: Values, *, low: float = 0.8, high: float = 1.25) -> list[Remark]:
    """Standard deviations that are not those of the data, by the middle half of the deviations."""
    if len(deviation) < 500:
        return []
    spread = float(np.subtract(*np.quantile(deviation, (0.75, 0.25)))) / 1.349
    if low <= spread <= high:
        return []
    small = "small" if spread > 1 else "large"
    text = f"Observations deviate from their equivalents by {spread:.2f} σ: the standard deviations are too {small}."
    return [Remark("normal_probability", text)]


def of_outliers(parts: Sequence[Along], *, most: float = 0.05) -> list[Remark]:
    """Groups of images of whose reflections, recorded in full, more than `most` are outliers."""
    remarks = []
    for part in parts:
        bad = (part.value > most) & (part.count >= 50)
        if bad.any():
            k = int(np.argmax(np.where(bad, part.value, 0)))
            half = (part.width - 1) / 2
            images = f"{part.image[k] - half:.0f}" + (f"-{part.image[k] + half:.0f}" if half else "")
            text = f"{100 * part.value[k]:.0f} % of the whole reflections on images {images}{_where(part, parts)}"
            text += " are outliers"
            more = int(bad.sum()) - 1
            text += f", and on {more} more groups of images more than {100 * most:.0f} %." if more else "."
            remarks.append(Remark("outliers_scan", text))
    return remarks


def of_flicker(parts: Sequence[Along], *, most: float = 0.03) -> list[Remark]:
    """Relative deviations of single images whose r.m.s. exceeds that of their errors by more than `most`."""
    remarks = []
    for part in parts:
        good = part.count >= _ON_AN_IMAGE
        if good.sum() < _IMAGES:
            continue
        value, error = part.value[good], part.error[good]
        # Medians: a few images that are off are no flicker, and have a remark of their own.
        spread = float(np.median(np.abs(np.diff(value)))) / (0.6745 * np.sqrt(2))
        excess = float(np.sqrt(max(spread**2 - float(np.median(error**2)), 0.0)))
        if excess > most:
            text = f"Intensities on neighbouring images{_where(part, parts)} differ by {100 * excess:.0f} % (r.m.s.) "
            text += "beyond their errors: the beam flickers, or the shutter and the rotation are not in step."
            remarks.append(Remark("image_deviation", text))
    return remarks


def of_damage(ratios: Sequence[PairwiseR], *, rise: float = 1.4) -> list[Remark]:
    """R_d that rises by the factor `rise` from the nearest third of the images to the farthest."""
    remarks = []
    for ratio in ratios:
        good = np.isfinite(ratio.value)
        value, apart, count = ratio.value[good], ratio.apart[good], ratio.count[good]
        if len(value) < 6:
            continue
        third = len(value) // 3
        near, far = (
            float(np.average(value[part], weights=count[part])) for part in (slice(third), slice(-third, None))
        )
        slope = float(np.corrcoef(apart, value)[0, 1])
        if near > 0 and far > rise * near and slope > 0.5:
            text = f"Equivalents{_where(ratio, ratios)} disagree more the farther apart they were measured: "
            text += f"R_d rises from {near:.3f} to {far:.3f}."
            remarks.append(Remark("radiation_damage", text))
    return remarks


def _reach(statistics: MergingStatistics) -> int:
    """Shells, from low resolution, up to the first whose CC1/2 is below 0.3 (of pairs enough to say so)."""
    noise = (statistics.shells.cc_half < 0.3) & (statistics.shells.half.n >= _PAIRS)
    return int(np.argmax(noise)) if noise.any() else len(noise)


def of_completeness(statistics: MergingStatistics, *, least: float = 0.9) -> list[Remark]:
    """Incomplete data, to the resolution where they are more than noise, and whole rings fall on the detector.

    Beyond its edges its corners see a part of the reflections only: shells from the first on whose completeness is well
    below that of the inner half do not count.
    """
    shells, reach = statistics.shells, _reach(statistics)
    share = shells.completeness[:reach]
    if not len(share):
        return []
    half = -(-len(share) // 2)
    corners = share[half:] < _OF_INNER * float(np.median(share[:half]))
    end = half + int(np.argmax(corners)) if corners.any() else reach
    possible = float(shells.n_possible[:end].sum())
    measured = float(shells.n_unique[:end].sum()) / possible if possible else 1.0
    if measured >= least:
        return []
    text = f"Only {100 * measured:.0f} % of the possible reflections to {statistics.edges[end]:.2f} Å were measured."
    return [Remark("completeness", text)]


def of_resolution(statistics: MergingStatistics, *, most: float = 0.6, least: float = 0.1) -> list[Remark]:
    """Data that go on beyond the last shell, or end before it."""
    shells, edges = statistics.shells, statistics.edges
    if shells.cc_half[-1] > most and shells.half.n[-1] >= _PAIRS:
        text = f"CC½ is still {shells.cc_half[-1]:.2f} at the resolution limit of {edges[-1]:.2f} Å: "
        return [Remark("cc_one_half", text + "the crystal diffracts beyond it.")]
    reach = _reach(statistics)
    rest = shells.half.n[reach:] >= _PAIRS
    if rest.any() and np.average(shells.cc_half[reach:][rest], weights=shells.half.n[reach:][rest]) < least:
        text = f"Beyond {edges[reach]:.2f} Å there is only noise (CC½ below {least:g}): cut it off."
        return [Remark("cc_one_half", text)]
    return []


def of_twinning(twinning: TwinStatistics | None, *, limit: float = 0.46) -> list[Remark]:
    """<|L|> below `limit`, as for twin fractions above about 0.06."""
    if twinning is None or twinning.mean_l + 3 * twinning.error_l >= limit:
        return []
    text = f"The intensities are those of a twin: ⟨|L|⟩ is {twinning.mean_l:.3f} "
    text += "(0.500 if untwinned, 0.375 for a perfect twin)."
    return [Remark("l_test", text)]
