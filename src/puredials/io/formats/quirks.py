"""What beamlines know and their image headers do not tell, as data.

Each line belongs to a detector by its serial number, or to a station by the name in its headers.
"""

import re
from dataclasses import dataclass

import numpy as np

from puredials.model import Goniometer

__all__ = ["SMV_STATIONS", "SmvStation", "master_axis", "minicbf_goniometer", "serial_number"]

# Rotation axes that differ from +x, by the serial number of the detector.
_AXES: dict[str, tuple[float, float, float]] = {
    "60-0114": (0, 1, 0),  # PILATUS 6M on a vertical spindle
    "60-0119": (0, 1, 0),  # PILATUS3 6M at Diamond, on a vertical spindle
    "60-0125": (-1, 0, 0),  # PILATUS3 6M, SPring-8
    "60-0127": (-1, 0, 0),  # PILATUS3 6M
    "E-32-0107": (0, 1, 0),  # EIGER 16M, PETRA III P14: vertical spindle
}
# Master files of Dectris's file writer turn about +x but for these.
_MASTER_AXES: dict[str, tuple[float, float, float]] = {"E-32-0105": (0, 1, 0)}

# Goniometers with more axes than the mini-header's oscillation axis: axes from the crystal outwards, named as in the
# beamline's full headers, at the header's Phi, Chi and Start_angle.
_SMARGON = {"160-0001"}  # EIGER 16M at Diamond


def serial_number(detector: str) -> str:
    """The serial number in a header's description of the detector ("PILATUS 2M, S/N 24-0107 Diamond")."""
    match = re.search(r"S/N\s+([\w-]+)", detector)
    return match.group(1) if match else ""


def minicbf_goniometer(detector: str, axis: str, angles: tuple[float, float, float]) -> Goniometer:
    """The goniometer of a mini-header: `axis` is its oscillation axis, `angles` its Phi, Chi and start (degrees)."""
    serial = serial_number(detector)
    if serial in _SMARGON:
        axes = np.array([[1, 0, 0], [0, 0, -1], [1, 0, 0]])
        names = ("GON_PHI", "GON_CHI", "GON_OMEGA")
        return Goniometer(axes, np.array(angles), names, 2, multi_axis=True)
    vector = _AXES.get(serial, (1.0, 0.0, 0.0))
    if "SLOW" in axis.upper():
        vector = (0.0, -1.0 if "-SLOW" in axis.upper() else 1.0, 0.0)
    return Goniometer(np.array([vector]))


def master_axis(detector_number: str) -> tuple[float, float, float]:
    """The rotation axis of a master file by the detector's serial number."""
    return _MASTER_AXES.get(detector_number, (1.0, 0.0, 0.0))


@dataclass(frozen=True)
class SmvStation:
    """How to read the SMV headers of one station.

    Attributes:
        beam_shift: pixels to add to the beam centre (fast, slow).
        beam_in_pixels: the centre is given in pixels; else mm.
        swap_beam: BEAM_CENTER_X runs along slow, as on ADSC detectors.
        axis: the rotation axis; None: +x, or -x if OSC_RANGE is not positive.
        quadrants: raw offsets (fast, slow), size and shift of the four chips in pixels, if they are told apart.
        panel_type: of the sensor; sensor: material and thickness (mm).
        exposure: seconds, where the header's TIME means nothing.
    """

    beam_shift: tuple[float, float] = (0, 0)
    beam_in_pixels: bool = False
    swap_beam: bool = True
    axis: tuple[float, float, float] | None = None
    quadrants: tuple[tuple[int, int, int, int], ...] = ()
    panel_type: str = "SENSOR_CCD"
    sensor: tuple[str, float] = ("", 0.0)
    exposure: float | None = None


# By BEAMLINE; "" is the rule for ADSC and everything that writes its headers.
SMV_STATIONS: dict[str, SmvStation] = {
    "": SmvStation(),
    # Four Timepix chips of 256 x 256 pixels; their outer rows are of another size, and 4 pixels part them.
    "TimePix_SU": SmvStation(
        beam_shift=(2, 2),
        beam_in_pixels=True,
        swap_beam=False,
        axis=(-0.7548637593860367, -0.6558816240493246, 0.0),
        quadrants=((1, 1, 2, 2), (257, 1, 6, 2), (1, 257, 2, 6), (257, 257, 6, 6)),
        panel_type="SENSOR_PAD",
        sensor=("Si", 0.3),
    ),
    # Simulations by nanoBragg of simtbx.
    "fake": SmvStation(beam_shift=(1, 1), swap_beam=False, axis=(1, 0, 0), exposure=1.0),
}
