"""SMV images: a text header of KEY=VALUE; lines, then plain pixels. Written by ADSC cameras and many others."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from puredials.errors import FileError
from puredials.io.formats.compressed import check_complete, read_head
from puredials.io.formats.frames import Cache, Frame, epoch, forwards, make_panel, sensor
from puredials.io.formats.quirks import SMV_STATIONS, SmvStation
from puredials.model import Beam, Detector, Goniometer, Group, Panel

__all__ = ["decode_smv", "read_smv_frame"]

_TYPES = {
    "unsigned_short": "u2",
    "short": "i2",
    "signed_short": "i2",
    "unsigned_long": "u4",
    "unsigned_int": "u4",
    "long": "i4",
    "signed_long": "i4",
    "long_integer": "i4",
    "int": "i4",
    "float": "f4",
    "unsigned_char": "u1",
}
_ELECTRONS = 0.05  # Angstrom; shorter waves are electrons


class _Header:
    def __init__(self, data: bytes, path: Path) -> None:
        self.path = path
        text = data.split(b"}", 1)[0].decode("latin-1")
        self._values = {k.strip(): v.strip() for k, v in re.findall(r"([^=;{}\n]+)=([^;]*);", text)}

    def text(self, key: str, default: str = "") -> str:
        return self._values.get(key, default)

    def number(self, *keys: str, default: float | None = None) -> float:
        """The first of the keys that is there."""
        for key in keys:
            if self.text(key):
                try:
                    return float(self.text(key).split()[0])
                except ValueError:
                    raise FileError(f'"{key}={self.text(key)}" in the header of {self.path} is not a number.') from None
        if default is None:
            raise FileError(f"The header of {self.path} has no {keys[0]}, so the geometry of the image is unknown.")
        return default

    @property
    def image_size(self) -> tuple[int, int]:
        return int(self.number("SIZE1")), int(self.number("SIZE2"))

    @property
    def length(self) -> int:
        return int(self.number("HEADER_BYTES"))


def _header(path: Path, head: bytes) -> _Header:
    length = _Header(head, path).length
    return _Header(head if len(head) >= length else read_head(path, length), path)


def read_smv_frame(path: Path, head: bytes, cache: Cache) -> Frame:
    """The frame that an SMV header describes; `head` is the start of the file."""
    header = _header(path, head)
    check_complete(path, header.length + header.image_size[0] * header.image_size[1] * _dtype(header).itemsize)
    station = SMV_STATIONS.get(header.text("BEAMLINE"), SMV_STATIONS[""])
    wavelength = header.number("WAVELENGTH")
    steady = tuple(
        header.text(key)
        for key in ("WAVELENGTH", "DISTANCE", "BEAM_CENTER_X", "BEAM_CENTER_Y", "PIXEL_SIZE", "SIZE1", "SIZE2",
                    "TWOTHETA", "BEAMLINE", "CCD_IMAGE_SATURATION", "IMAGE_PEDESTAL", "DETECTOR_SN")
    )  # fmt: skip
    beam, detector = cache.get(steady, lambda: (_beam(wavelength), _detector(header, station, wavelength)))
    start, width = header.number("OSC_START", "PHI", default=0.0), header.number("OSC_RANGE", default=0.0)
    # Other programs take a width of 0 for a turn backwards.
    axis = station.axis or ((-1.0, 0.0, 0.0) if width == 0 else (1.0, 0.0, 0.0))
    goniometer, start, width = forwards(Goniometer(np.array([axis])), start, width)
    return Frame(
        format="FormatSMVADSC" if station is SMV_STATIONS[""] else f"FormatSMV {header.text('BEAMLINE')}",
        beam=beam,
        detector=detector,
        goniometer=cache.shared(goniometer),
        start=start,
        width=width,
        exposure=station.exposure if station.exposure is not None else header.number("TIME", default=0.0),
        epoch=epoch(header.text("DATE")),
    )


def _beam(wavelength: float) -> Beam:
    direction = np.array([0.0, 0.0, 1.0])
    if wavelength < _ELECTRONS:
        return Beam(direction, wavelength, polarization_fraction=0.5, probe="electron")
    return Beam(direction, wavelength)


def _detector(header: _Header, station: SmvStation, wavelength: float) -> Detector:
    pixel = header.number("PIXEL_SIZE")
    unit = pixel if station.beam_in_pixels else 1.0
    x, y = header.number("BEAM_CENTER_X") * unit, header.number("BEAM_CENTER_Y") * unit
    fast, slow = (y, x) if station.swap_beam else (x, y)
    # Pixels at the top of their 16 bits are overloaded, whatever the header calls saturation.
    saturation = min(header.number("CCD_IMAGE_SATURATION", default=65535.0), 65534.0)
    panel = make_panel(
        distance=header.number("DISTANCE"),
        beam_centre=(fast + station.beam_shift[0] * pixel, slow + station.beam_shift[1] * pixel),
        pixel_size=(pixel, pixel),
        image_size=header.image_size,
        maximum=saturation,
        two_theta=((1, 0, 0), header.number("TWOTHETA", default=0.0)),
        pedestal=header.number("IMAGE_PEDESTAL", default=0.0),
        type=station.panel_type,
        **_sensor(station, wavelength),
    )
    return _quadrants(panel, station) if station.quadrants else Detector((panel,))


def _sensor(station: SmvStation, wavelength: float) -> dict[str, Any]:
    material, thickness = station.sensor
    if wavelength < _ELECTRONS:  # electrons stop at the surface: no parallax
        return {"material": material, "thickness": thickness}
    return sensor(material, thickness, wavelength)


def _quadrants(whole: Panel, station: SmvStation) -> Detector:
    """The chips of a tiled camera as panels, in a group that has the frame of the whole."""
    pixel = whole.pixel_size[0]
    edge = whole.image_size[0] // 2 - station.quadrants[0][0] * 2
    panels: list[Panel] = []
    for k, (x, y, dx, dy) in enumerate(station.quadrants):
        origin = whole.origin + pixel * ((x + dx) * whole.fast + (y + dy) * whole.slow)
        panels.append(
            Panel(
                whole.fast,
                whole.slow,
                origin,
                (edge, edge),
                whole.pixel_size,
                whole.trusted_range,
                name=f"Panel{k}",
                type=whole.type,
                material=whole.material,
                thickness=whole.thickness,
                mu=whole.mu,
                parallax=whole.parallax,
                raw_image_offset=(x, y),
            )
        )
    return Detector(tuple(panels), Group(tuple(range(len(panels))), whole.fast, whole.slow, whole.origin))


def decode_smv(data: bytes, path: Path) -> NDArray[Any]:
    """The image (slow, fast) in the file's content, as uint16, int32 or float32."""
    header = _Header(data, path)
    fast, slow = header.image_size
    dtype = _dtype(header)
    if len(data) < header.length + fast * slow * dtype.itemsize:
        raise FileError(f"The image file {path} is truncated: it ends before its last pixel; copy it again.")
    image = np.frombuffer(data, dtype, fast * slow, header.length).reshape(slow, fast)
    if dtype.str[1:] in ("u2", "f4"):
        return image.astype(dtype.newbyteorder("="), copy=False)
    return image.astype(np.uint16 if dtype.itemsize == 1 else np.int32)


def _dtype(header: _Header) -> np.dtype[Any]:
    kind = _TYPES.get(header.text("TYPE", "unsigned_short").lower())
    if kind is None:
        raise FileError(f"The pixels of {header.path} are of an unknown type (TYPE={header.text('TYPE')}).")
    order = ">" if "big" in header.text("BYTE_ORDER", "little_endian").lower() else "<"
    return np.dtype(order + kind)
