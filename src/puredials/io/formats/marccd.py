"""MarCCD and Rayonix images: a TIFF file with a binary header of 3072 bytes from byte 1024, and plain pixels at 4096.

The offsets are those of the manufacturer's description of the header ("The MarCCD header documentation", Blum).
"""

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from puredials.errors import FileError
from puredials.io.formats.frames import Cache, Frame, forwards, make_panel
from puredials.model import Beam, Detector, Goniometer

__all__ = ["decode_marccd", "is_marccd", "read_marccd_frame"]

_START, _PIXELS = 1024, 4096
# Offsets of 4-byte integers within the header, and the divisors that give pixels, mm, degrees, s and Angstrom.
_FIELDS = {
    "nfast": (80, 1),
    "nslow": (84, 1),
    "depth": (88, 1),
    "saturated": (104, 1),
    "distance": (640, 1e3),
    "beam_x": (644, 1e3),
    "beam_y": (648, 1e3),
    "exposure": (656, 1e3),
    "two_theta": (668, 1e3),
    "start_omega": (672, 1e3),
    "start_phi": (684, 1e3),
    "end_omega": (704, 1e3),
    "end_phi": (716, 1e3),
    "start_distance": (696, 1e3),
    "pixel_x": (772, 1e6),
    "pixel_y": (776, 1e6),
    "wavelength": (908, 1e5),
}


def is_marccd(head: bytes) -> bool:
    """True if the first bytes of a file (2 kB or more) are a TIFF file's with a MarCCD header."""
    if head[:4] not in (b"II*\0", b"MM\0*") or len(head) < _START + 1024:
        return False
    return head[_START + 4 : _START + 7] in (b"MMX", b"MAR", b"MX\0")


def _values(head: bytes, path: Path) -> dict[str, float]:
    if len(head) < _START + 1024:
        raise FileError(f"The image file {path} is truncated within its header; copy it again.")
    order = "<" if head[:2] == b"II" else ">"
    return {
        name: struct.unpack_from(f"{order}i", head, _START + offset)[0] / divisor
        for name, (offset, divisor) in _FIELDS.items()
    }


def read_marccd_frame(path: Path, head: bytes, cache: Cache) -> Frame:
    """The frame that a MarCCD header describes."""
    values = _values(head, path)
    name = "phi" if values["end_phi"] != values["start_phi"] else "omega"
    start, end = values[f"start_{name}"], values[f"end_{name}"]
    goniometer, start, width = forwards(Goniometer(np.array([[1.0, 0.0, 0.0]])), start, end - start)
    steady = tuple(value for key, value in values.items() if not key.startswith(("start_o", "start_p", "end", "exp")))
    beam, detector = cache.get(("marccd", *steady), lambda: _models(values, path))
    return Frame(
        format="FormatTIFFRayonix",
        beam=beam,
        detector=detector,
        goniometer=cache.shared(goniometer),
        start=start,
        width=width,
        exposure=values["exposure"],
    )


def _models(values: dict[str, float], path: Path) -> tuple[Beam, Detector]:
    distance = values["distance"] or values["start_distance"]
    for name, value in (
        ("wavelength", values["wavelength"]),
        ("distance", distance),
        ("pixel size", values["pixel_x"]),
    ):
        if value <= 0:
            raise FileError(f"The header of {path} does not tell the {name}, so the geometry of the image is unknown.")
    pixel = values["pixel_x"], values["pixel_y"]
    panel = make_panel(
        distance=distance,
        beam_centre=(values["beam_x"] * pixel[0], values["beam_y"] * pixel[1]),
        pixel_size=pixel,
        image_size=(int(values["nfast"]), int(values["nslow"])),
        maximum=min(values["saturated"] or 65534.0, 65534.0),
        two_theta=((1, 0, 0), values["two_theta"]),
        type="SENSOR_CCD",
    )
    return Beam(np.array([0.0, 0.0, 1.0]), values["wavelength"]), Detector((panel,))


def decode_marccd(data: bytes, path: Path) -> NDArray[Any]:
    """The image (slow, fast) in the file's content, as uint16 or int32."""
    values = _values(data, path)
    fast, slow, depth = (int(values[name]) for name in ("nfast", "nslow", "depth"))
    dtype = np.dtype(("<" if data[:2] == b"II" else ">") + ("u2" if depth == 2 else "i4"))
    if len(data) < _PIXELS + fast * slow * dtype.itemsize:
        raise FileError(f"The image file {path} is truncated: it ends before its last pixel; copy it again.")
    image = np.frombuffer(data, dtype, fast * slow, _PIXELS).reshape(slow, fast)
    return image.astype(dtype.newbyteorder("="), copy=False)
