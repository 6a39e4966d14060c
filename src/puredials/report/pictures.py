"""Pictures of points in space, as PNG files, drawn without a browser."""

import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Float64, UInt8

__all__ = ["draw_points", "view_down", "write_png"]

Vectors = Float64[np.ndarray, "n 3"]
_FRAME = 0.95


def view_down(direction: Float64[np.ndarray, "3"], up: Float64[np.ndarray, "3"]) -> Float64[np.ndarray, "3 3"]:
    """The rotation that turns `direction` towards the eye: its rows are right, up, and towards the eye."""
    towards = direction / np.linalg.norm(direction)
    right = np.cross(up, towards)
    if np.linalg.norm(right) < 1e-6 * np.linalg.norm(up):
        right = np.cross(np.eye(3)[np.argmin(np.abs(towards))], towards)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(towards, right), towards])


def draw_points(
    points: Vectors,
    colours: UInt8[np.ndarray, "n 3"],
    view: Float64[np.ndarray, "3 3"],
    *,
    size: tuple[int, int],
    marker: float,
    ground: int,
    reach: float | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
    """Points as discs of `marker` px on a picture (width, height) of grey level `ground`, the nearest in front.

    `reach`: the length that fits into half of the shorter side; by default that of the farthest point.
    """
    width, height = size
    image = np.full((height, width, 3), ground, np.uint8)
    if not len(points):
        return image
    reach = reach or float(np.linalg.norm(points, axis=1).max()) or 1.0
    seen = points @ view.T
    order = np.argsort(seen[:, 2], kind="stable")  # of places that are set twice the last counts
    scale = _FRAME * min(width, height) / 2 / reach
    x = np.rint(width / 2 - 0.5 + seen[order, 0] * scale).astype(np.int64)
    y = np.rint(height / 2 - 0.5 - seen[order, 1] * scale).astype(np.int64)
    radius = marker / 2
    steps = np.arange(-int(radius), int(radius) + 1)
    disc = [(dx, dy) for dx in steps for dy in steps if dx * dx + dy * dy <= max(radius, 0.5) ** 2]
    for dx, dy in disc:
        inside = (x + dx >= 0) & (x + dx < width) & (y + dy >= 0) & (y + dy < height)
        image[(y + dy)[inside], (x + dx)[inside]] = colours[order][inside]
    return image


def write_png(path: Path, image: UInt8[np.ndarray, "h w 3"]) -> None:
    """Write an RGB picture (PNG specification, third edition; no filter)."""
    height, width, _ = image.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = np.concatenate([np.zeros((height, 1), np.uint8), image.reshape(height, -1)], axis=1)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(rows.tobytes(), 6)
    signature = b"\x89PNG\r\n\x1a\n"
    Path(path).write_bytes(signature + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b""))
