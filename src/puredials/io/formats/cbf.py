"""CBF images of Pilatus and Eiger detectors: the mini-header, and the binary section of any CBF file.

The mini-header is a list of ``# Key value`` lines after ``_array_data.header_contents``. The image follows a MIME-like
header and the four bytes 0c 1a 04 d5.
"""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from puredials.errors import FileError
from puredials.io.formats.compressed import read_head
from puredials.io.formats.frames import Cache, Frame, eiger_family, epoch, forwards, gap_rectangles, make_panel, sensor
from puredials.io.formats.materials import material_symbol
from puredials.io.formats.quirks import minicbf_goniometer
from puredials.kernels.byte_offset import decode_byte_offset
from puredials.model import Beam, Detector

__all__ = ["Header", "binary_length", "binary_size", "count_limit", "decode_cbf", "read_frame", "split_header"]

_MARKER = b"\x0c\x1a\x04\xd5"
_NUMBER = r"([-+0-9.eE]+)"


def split_header(path: Path, head: bytes) -> str:
    """The text before the binary section; `head` is the start of the file, of which more is read if need be."""
    while True:
        end = head.find(_MARKER)
        if end >= 0:
            return head[:end].decode("latin-1")
        longer = read_head(path, 8 * len(head))
        if len(longer) == len(head):
            raise FileError(f"The CBF file {path} is truncated: it holds no image.")
        head = longer


def binary_length(text: str) -> int:
    """Bytes of the compressed image, as the header tells; 0 if it does not."""
    match = re.search(r"X-Binary-Size:\s*(\d+)", text)
    return int(match.group(1)) if match else 0


class Header:
    """The values of a mini-header by key; a number is taken without its unit."""

    def __init__(self, text: str, path: Path) -> None:
        self.text, self.path = text, path
        self.lines = [line[1:].strip() for line in text.splitlines() if line.startswith("#")]
        self._values: dict[str, str] = {}
        for line in self.lines:
            key, _, value = line.replace("=", " ").replace(":", " ", 1).partition(" ")
            self._values.setdefault(key, value.strip())

    def get(self, key: str, default: str | None = None) -> str:
        value = self._values.get(key, default)
        if value is None:
            raise FileError(f'The header of {self.path} has no "{key}", so the geometry of the image is unknown.')
        return value

    def number(self, key: str, default: float | None = None) -> float:
        text = self.get(key, None if default is None else str(default))
        match = re.match(_NUMBER, text)
        try:
            return float(match.group(1)) if match else float(text)
        except ValueError:
            if default is not None:
                return default
            raise FileError(f'"{key} {text}" in the header of {self.path} is not a number.') from None

    def pair(self, key: str) -> tuple[float, float]:
        """Two numbers, as in ``(12, 34) pixels`` or ``172e-6 m x 172e-6 m``."""
        found = re.findall(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", self.get(key))
        if len(found) < 2:
            raise FileError(f'"{key} {self.get(key)}" in the header of {self.path} is not a pair of numbers.')
        return float(found[0]), float(found[1])

    @property
    def detector(self) -> str:
        """Model and serial number."""
        return self.get("Detector", "").strip()

    @property
    def timestamp(self) -> float:
        """Seconds since 1970, of the first line that is a date."""
        for line in self.lines:
            if re.match(r"\d{4}[-/]", line):
                return epoch(line)
        return 0.0

    @property
    def sensor(self) -> tuple[str, float]:
        """Material (formula) and thickness (mm); ("", 0) if not told."""
        match = re.search(r"(\w+) sensor, thickness\s+" + _NUMBER, self.text)
        return (material_symbol(match.group(1)), float(match.group(2)) * 1000) if match else ("", 0.0)

    @property
    def image_size(self) -> tuple[int, int]:
        """(fast, slow) pixels, from the header of the binary section."""
        return binary_size(self.text, self.path)


def binary_size(text: str, path: Path) -> tuple[int, int]:
    """(fast, slow) size of the image from the MIME-like header."""
    sizes = [re.search(rf"X-Binary-Size-{d}-Dimension:\s*(\d+)", text) for d in ("Fastest", "Second")]
    if None in sizes:
        raise FileError(f"The CBF file {path} does not tell the size of its image (X-Binary-Size-Fastest-Dimension).")
    return int(sizes[0].group(1)), int(sizes[1].group(1))  # type: ignore[union-attr]


# What changes from image to image, or means nothing for the models.
_CHANGING = re.compile(
    r"^(#\s*(\d{4}[-/]|Start_angle|Omega|Kappa|Phi|Chi|Alpha|Exposure|Filter|Image_path|Flux|N_osc)|data_|Content-MD5"
    r"|X-Binary-Size:|X-Binary-ID)"
)


def read_frame(path: Path, text: str, cache: Cache) -> Frame:
    """The frame that the mini-header `text` describes."""
    header = Header(text, path)
    beam, detector = cache.get(_steady(text), lambda: _models(header))
    start = header.number("Start_angle", 0.0)
    angles = header.number("Phi", 0.0), header.number("Chi", 0.0), start
    goniometer, start, width = forwards(
        minicbf_goniometer(header.detector, header.get("Oscillation_axis", ""), angles),
        start,
        header.number("Angle_increment", 0.0),
    )
    return Frame(
        format="FormatCBFMiniEiger" if _is_eiger(header) else "FormatCBFMiniPilatus",
        beam=beam,
        detector=detector,
        goniometer=cache.shared(goniometer),
        start=start,
        width=width,
        exposure=header.number("Exposure_period", header.number("Exposure_time", 0.0)),
        epoch=header.timestamp,
    )


def _steady(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not _CHANGING.match(line))


def _is_eiger(header: Header) -> bool:
    return "EIGER" in header.detector.upper()


def _models(header: Header) -> tuple[Beam, Detector]:
    wavelength = header.number("Wavelength")
    pixel = tuple(1000 * size for size in header.pair("Pixel_size"))
    x, y = header.pair("Beam_xy")
    size = header.image_size
    panel = make_panel(
        distance=1000 * header.number("Detector_distance"),
        beam_centre=(x * pixel[0], y * pixel[1]),
        pixel_size=(pixel[0], pixel[1]),
        image_size=size,
        maximum=count_limit(header),
        two_theta=((1, 0, 0), header.number("Detector_2theta", 0.0)),
        identifier=header.detector,
        mask=gap_rectangles(size, eiger_family(size) if _is_eiger(header) else "PILATUS"),
        **sensor(*header.sensor, wavelength),
    )
    beam = Beam(np.array([0.0, 0.0, 1.0]), wavelength, flux=header.number("Flux", 0.0))
    return beam, Detector((panel,))


def count_limit(header: Header) -> float:
    """The highest trusted count; files that tell none are limited by their 32 bits alone."""
    cutoff = header.number("Count_cutoff", 1e8)
    # The highest value of a counter's bits marks pixels that are overloaded or dead.
    return cutoff - 1 if cutoff in (255, 65535, 2**32 - 1) else cutoff


def decode_cbf(data: bytes, path: Path) -> NDArray[np.int32]:
    """The image (slow, fast) of a CBF file compressed by byte offsets; `data` is the file's content."""
    at = data.find(_MARKER)
    if at < 0:
        raise FileError(f"The CBF file {path} is truncated: it holds no image.")
    text = data[:at].decode("latin-1")
    if "x-CBF_BYTE_OFFSET" not in text:
        raise FileError(f"The image in {path} is not compressed by CBF byte offsets, the only kind that can be read.")
    fast, slow = binary_size(text, path)
    image = np.empty((slow, fast), dtype=np.int32)
    if not decode_byte_offset(np.frombuffer(data, np.uint8, offset=at + 4), image.reshape(-1)):
        raise FileError(f"The CBF file {path} is truncated: its image ends early; copy it again.")
    return image
