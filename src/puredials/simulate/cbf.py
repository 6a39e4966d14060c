"""Writing of miniCBF images as Pilatus detectors make them, one file an image."""

import base64
import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from puredials.errors import ParameterError
from puredials.kernels.painting import encode_byte_offset
from puredials.simulate.writing import RecordedSweep

__all__ = ["CbfWriter"]

_BAD = -2
_TAIL = b"\x00" * 4095 + b"\r\n--CIF-BINARY-FORMAT-SECTION----\r\n;\r\n\r\n"


class CbfWriter:
    """Writes PREFIX_00001.cbf and so on. The headers know one axis and no mask: bad pixels have the value -2."""

    gap = -1

    def __init__(self, folder: Path, sweep: RecordedSweep) -> None:
        if len(sweep.detector.modules) > 1:
            raise ParameterError("detector.split_modules needs format nxmx: miniCBF files know one panel only.")
        self.folder, self.sweep = folder, sweep
        self.scan = next(axis for axis in sweep.axes if axis.is_scanned)
        self.overload = sweep.detector.saturation + 1
        self.dtype = np.dtype(np.int32)
        width, height = sweep.detector.image_size
        self._buffer = np.empty(width * height * 15, dtype=np.uint8)
        self._bad = sweep.mask != 0
        self._index = 0

    def write(self, image: NDArray[np.integer]) -> None:
        values = image.astype(np.int32)
        values[self._bad & (values != self.gap)] = _BAD
        size = encode_byte_offset(values.ravel(), self._buffer)
        payload = self._buffer[:size].tobytes()
        stem = f"{self.sweep.prefix}_{self._index + 1:05d}"
        n_excluded = int((self._bad & (values != self.gap)).sum())
        header = self._header(stem, n_excluded) + _binary_header(payload, values.shape)
        text = "\r\n".join([*header, "", ""]).encode()
        (self.folder / f"{stem}.cbf").write_bytes(text + b"\x0c\x1a\x04\xd5" + payload + _TAIL)
        self._index += 1

    def close(self) -> Path:
        return self.folder / f"{self.sweep.prefix}_#####.cbf"

    def _header(self, stem: str, n_excluded: int) -> list[str]:
        sweep, detector = self.sweep, self.sweep.detector
        angle = np.asarray(self.scan.angles)[self._index]
        seconds = self._index * sweep.exposure_s
        clock = f"{int(seconds // 3600):02d}:{int(seconds // 60) % 60:02d}:{seconds % 60:06.3f}"
        pixel_um = f"{detector.pixel_mm * 1e3:.0f}e-6 m"
        return [
            "###CBF: VERSION 1.5, simulated", "", f"data_{stem}", "",
            '_array_data.header_convention "PILATUS_1.2"', "_array_data.header_contents", ";",
            f"# Detector: {detector.description}, S/N 10-0001",
            f"# 2024-01-01T{clock}",
            f"# Pixel_size {pixel_um} x {pixel_um}",
            f"# Silicon sensor, thickness {detector.sensor_mm * 1e-3:.6f} m",
            f"# Exposure_time {sweep.exposure_s:.6f} s",
            f"# Exposure_period {sweep.exposure_s:.6f} s",
            "# Tau = 0.0e-09 s",
            f"# Count_cutoff {detector.saturation} counts",
            f"# Threshold_setting: {12398.42 / sweep.wavelength / 2:.0f} eV",
            "# Gain_setting: mid gain (vrf = -0.200)",
            f"# N_excluded_pixels = {n_excluded}",
            "# Excluded_pixels: badpix_mask.tif",
            "# Flat_field: (nil)",
            "# Trim_file: (nil)",
            "# Image_path: /simulated/",
            f"# Wavelength {sweep.wavelength:.6f} A",
            f"# Detector_distance {detector.distance_mm * 1e-3:.6f} m",
            f"# Beam_xy ({detector.beam_centre_px[0]:.3f}, {detector.beam_centre_px[1]:.3f}) pixels",
            "# Flux 0.0",
            "# Filter_transmission 1.0000",
            f"# Start_angle {angle:.5f} deg.",
            f"# Angle_increment {self.scan.width:.5f} deg.",
            "# Detector_2theta 0.0000 deg.",
            f"# Polarization {sweep.polarization:.3f}",
            "# Alpha 0.0000 deg.", "# Kappa 0.0000 deg.", f"# Phi {angle:.5f} deg.",
            "# Phi_increment 0.0000 deg.", "# Chi 0.0000 deg.",
            "# Oscillation_axis X.CW", "# N_oscillations 1", ";", "",
        ]  # fmt: skip


def _binary_header(payload: bytes, shape: tuple[int, ...]) -> list[str]:
    height, width = shape
    digest = base64.b64encode(hashlib.md5(payload).digest()).decode()
    return [
        "_array_data.data", ";", "--CIF-BINARY-FORMAT-SECTION--",
        "Content-Type: application/octet-stream;", '     conversions="x-CBF_BYTE_OFFSET"',
        "Content-Transfer-Encoding: BINARY",
        f"X-Binary-Size: {len(payload)}", "X-Binary-ID: 1",
        'X-Binary-Element-Type: "signed 32-bit integer"',
        "X-Binary-Element-Byte-Order: LITTLE_ENDIAN",
        f"Content-MD5: {digest}",
        f"X-Binary-Number-of-Elements: {width * height}",
        f"X-Binary-Size-Fastest-Dimension: {width}",
        f"X-Binary-Size-Second-Dimension: {height}",
        "X-Binary-Size-Padding: 4095",
    ]  # fmt: skip
