"""Reference profiles in a JSON file of plain numbers, beside the reflections that were fitted with them."""

import contextlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from puredials.errors import FileError

__all__ = ["FILE_NAME", "ReferenceProfiles", "profiles_beside", "read_reference_profiles", "write_reference_profiles"]

# What dials.integrate calls the file.
FILE_NAME = "reference_profiles.json"
_KIND = "reference_profiles"
_DOC = (
    "profiles[zone][k3][k2][k1]: share of the intensity at the knot (e3, e2, e1) = (k - half) step, in standard "
    "deviations along the rotation and across the spot, in thousandths of the peak; zones count u fastest (along the "
    "rotation axis), then v, then the scan"
)
# Profiles are stored in these parts of their peak: finer than any picture shows, and than they are known.
_PARTS = 1000


@dataclass(frozen=True, eq=False)
class ReferenceProfiles:
    """The reference profiles of one sweep.

    Attributes:
        identifier: of the experiment.
        image_range: first and last image of the scan.
        across, along: zones along each direction of the detector, and along the scan; u counts fastest, then v.
        step: standard deviations between the knots of a profile.
        numbers: (zones,) reflections that each was learnt from, by weight.
        profiles: (zones, k3, k2, k1) shares of the intensity, relative to the largest of each.
    """

    identifier: str
    image_range: tuple[int, int]
    across: int
    along: int
    step: float
    numbers: Float64[np.ndarray, " zones"]
    profiles: Float64[np.ndarray, "zones k k k"]


def write_reference_profiles(found: Sequence[ReferenceProfiles], path: Path) -> None:
    """Write the profiles of each sweep, rounded to thousandths of the peak."""
    sweeps = [
        {
            "identifier": own.identifier,
            "image_range": list(own.image_range),
            "across": own.across,
            "along": own.along,
            "step": round(own.step, 6),
            "numbers": np.round(own.numbers, 2).tolist(),
            "profiles": [np.rint(_PARTS * p / (p.max() or 1.0)).astype(int).tolist() for p in own.profiles],
        }
        for own in found
    ]
    content = {"__id__": _KIND, "doc": _DOC, "sweeps": sweeps}
    Path(path).write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")


def read_reference_profiles(path: Path) -> list[ReferenceProfiles]:
    """The profiles in a file.

    Raises:
        FileError: it cannot be read, or holds something else.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError:
        raise FileError(f"{path} is not a file of reference profiles, or it is truncated.") from None
    if not isinstance(content, dict) or content.get("__id__") != _KIND:
        raise FileError(f"{path} is not a file of reference profiles.")
    try:
        return [_sweep(stored) for stored in content["sweeps"]]
    except (KeyError, TypeError, ValueError):
        raise FileError(f"{path} is a damaged file of reference profiles: integrate again to write it anew.") from None


def profiles_beside(paths: Iterable[Path]) -> list[ReferenceProfiles]:
    """The profiles in the folders of files of reflections, where integration left some; damaged files count as none."""
    found: list[ReferenceProfiles] = []
    for folder in sorted({Path(path).absolute().parent for path in paths}):
        with contextlib.suppress(FileError):
            found += read_reference_profiles(folder / FILE_NAME)
    return found


def _sweep(stored: dict[str, Any]) -> ReferenceProfiles:
    first, last = stored["image_range"]
    across, along = int(stored["across"]), int(stored["along"])
    profiles = np.array(stored["profiles"], dtype=np.float64) / _PARTS
    numbers = np.array(stored["numbers"], dtype=np.float64)
    zones = across**2 * along
    if profiles.ndim != 4 or len(set(profiles.shape[1:])) != 1 or not len(profiles) == len(numbers) == zones:
        raise ValueError("shapes that do not belong together")
    return ReferenceProfiles(
        str(stored["identifier"]), (int(first), int(last)), across, along, float(stored["step"]), numbers, profiles
    )
