"""Small image files of several kinds, for the tests of formats."""

from pathlib import Path

import fabio
import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

SHAPE = (40, 60)  # slow, fast


def pixels(n: int = 1, *, shape: tuple[int, int] = SHAPE, dtype: str = "u2", seed: int = 0) -> NDArray:
    """Sparse counts like those of a photon-counting detector."""
    rng = np.random.default_rng(seed)
    stack = rng.poisson(0.4, (n, *shape)).astype(dtype)
    stack[rng.random(stack.shape) < 0.01] = 1234
    return stack


def minicbf(
    path: Path, image: NDArray, *, start: float = 0.0, width: float = 0.5, extra: str = "", **replacements: str
) -> Path:
    """A Pilatus miniCBF; `replacements` of header lines by their key."""
    lines = {
        "Detector:": "PILATUS 100K, S/N 10-0001",
        "2024-01-01T00:00:00.000": "",
        "Pixel_size": "172e-6 m x 172e-6 m",
        "Silicon": "sensor, thickness 0.000320 m",
        "Exposure_time": "0.1900 s",
        "Exposure_period": "0.2000 s",
        "Count_cutoff": "1048500 counts",
        "Wavelength": "0.9795 A",
        "Detector_distance": "0.15000 m",
        "Beam_xy": "(30.50, 20.25) pixels",
        "Start_angle": f"{start:.4f} deg.",
        "Angle_increment": f"{width:.4f} deg.",
        "Phi": f"{start:.4f} deg.",
        "Oscillation_axis": "X.CW",
    }
    lines.update(replacements)
    data = fabio.compression.compByteOffset(image.astype(np.int32).ravel())
    header = "".join(f"# {key} {value}\r\n" for key, value in lines.items())
    text = (
        "###CBF: VERSION 1.5\r\ndata_image\r\n_array_data.header_contents\r\n;\r\n"
        f"{header};\r\n{extra}_array_data.data\r\n;\r\n--CIF-BINARY-FORMAT-SECTION--\r\n"
        'Content-Type: application/octet-stream;\r\n     conversions="x-CBF_BYTE_OFFSET"\r\n'
        f"X-Binary-Size: {len(data)}\r\nX-Binary-Number-of-Elements: {image.size}\r\n"
        f"X-Binary-Size-Fastest-Dimension: {image.shape[1]}\r\n"
        f"X-Binary-Size-Second-Dimension: {image.shape[0]}\r\n\r\n"
    )
    path.write_bytes(text.encode() + b"\x0c\x1a\x04\xd5" + bytes(data) + b"\0" * 64)
    return path


def minicbf_sweep(
    folder: Path, n: int = 4, *, prefix: str = "img_1", width: float = 0.5, first: int = 1, **options: str
) -> list[Path]:
    """n miniCBF files of one sweep."""
    return [
        minicbf(folder / f"{prefix}_{k:04d}.cbf", pixels(seed=k)[0], start=(k - first) * width, width=width, **options)
        for k in range(first, first + n)
    ]


def smv(path: Path, image: NDArray, *, start: float = 0.0, **header: object) -> Path:
    """An ADSC image."""
    values: dict[str, object] = {
        "HEADER_BYTES": 512,
        "DIM": 2,
        "BYTE_ORDER": "little_endian",
        "TYPE": "unsigned_short",
        "SIZE1": image.shape[1],
        "SIZE2": image.shape[0],
        "PIXEL_SIZE": 0.1,
        "TIME": 1.5,
        "DISTANCE": 100.0,
        "OSC_START": start,
        "OSC_RANGE": 1.0,
        "WAVELENGTH": 1.2,
        "BEAM_CENTER_X": 2.0,
        "BEAM_CENTER_Y": 3.0,
        "DATE": "Thu May 15 13:17:42 2008",
    } | header
    text = "{\n" + "".join(f"{key}={value};\n" for key, value in values.items()) + "}\n"
    order = "<" if "little" in str(values["BYTE_ORDER"]) else ">"
    path.write_bytes(text.encode().ljust(512) + image.astype(f"{order}u2").tobytes())
    return path


def nxmx(
    path: Path,
    images: NDArray,
    *,
    files: int = 1,
    layout: str = "virtual",
    two_theta: float = 0.0,
    modules: int = 1,
    width: float = 0.2,
    mask: NDArray | None = None,
    filters: dict | None = None,
) -> Path:
    """An NXmx master and its data files: `layout` is "virtual", "links" or "inside"."""
    filters = dict(hdf5plugin.Bitshuffle(cname="lz4")) if filters is None else filters
    n, ny, nx = images.shape
    parts = np.array_split(images, files)
    names = [f"{path.stem}_{k:06d}.h5" for k in range(1, files + 1)]
    for name, part in zip(names, parts, strict=True):
        if layout != "inside":
            with h5py.File(path.parent / name, "w") as file:
                file.create_dataset("data", data=part, chunks=(1, ny, nx), **filters)
    with h5py.File(path, "w") as file:
        entry = file.create_group("entry")
        entry["definition"] = "NXmx"
        data = entry.create_group("data")
        if layout == "inside":
            data.create_dataset("data", data=images, chunks=(1, ny, nx), **filters)
        elif layout == "links":
            for k, name in enumerate(names, 1):
                data[f"data_{k:06d}"] = h5py.ExternalLink(name, "/data")
        else:
            stack = h5py.VirtualLayout(images.shape, images.dtype)
            at = 0
            for name, part in zip(names, parts, strict=True):
                stack[at : at + len(part)] = h5py.VirtualSource(name, "data", part.shape, images.dtype)
                at += len(part)
            data.create_virtual_dataset("data", stack)
        _instrument(entry, (ny, nx), two_theta=two_theta, modules=modules, mask=mask)
        _sample(entry, n, width)
    return path


def _axis(
    group: h5py.Group, name: str, value: object, kind: str, vector: tuple, depends_on: str, **attributes: object
) -> str:
    item = group.create_dataset(name, data=np.atleast_1d(np.asarray(value, dtype=float)))
    item.attrs.update(
        transformation_type=kind,
        vector=vector,
        depends_on=depends_on,
        units="deg" if kind == "rotation" else "mm",
        **attributes,
    )
    return str(item.name)


def _instrument(
    entry: h5py.Group, shape: tuple[int, int], *, two_theta: float, modules: int, mask: NDArray | None
) -> None:
    instrument = entry.create_group("instrument")
    instrument.create_group("beam").create_dataset("incident_wavelength", data=0.9763).attrs["units"] = "angstrom"
    detector = instrument.create_group("detector")
    detector["sensor_material"] = "Si"
    detector.create_dataset("sensor_thickness", data=0.00045).attrs["units"] = "m"
    detector["saturation_value"], detector["underload_value"] = 46000, 0
    detector["frame_time"] = 0.02
    if mask is not None:
        detector["pixel_mask"] = mask
    chain = detector.create_group("transformations")
    arm = _axis(chain, "two_theta", two_theta, "rotation", (-1, 0, 0), ".")
    _axis(chain, "det_z", 100.0, "translation", (0, 0, 1), arm)
    high = shape[0] // modules
    for k in range(modules):
        module = detector.create_group(f"module_{k}" if modules > 1 else "module")
        module.attrs["NX_class"] = "NXdetector_module"
        module["data_origin"], module["data_size"] = [k * high, 0], [high, shape[1]]
        # The corner of the module: half the detector to the left and up of the beam, then down by k modules.
        corner = np.array([30 * 0.075, 20 * 0.075 - k * high * 0.075, 0.0])
        away = float(np.linalg.norm(corner))
        offset = _axis(module, "module_offset", away, "translation", tuple(corner / away), f"{chain.name}/det_z")
        _axis(module, "fast_pixel_direction", 0.075, "translation", (-1, 0, 0), offset, offset=(0.0, 0.0, 0.0))
        _axis(module, "slow_pixel_direction", 0.075, "translation", (0, -1, 0), offset, offset=(0.0, 0.0, 0.0))


def _sample(entry: h5py.Group, n: int, width: float) -> None:
    sample = entry.create_group("sample")
    sample["depends_on"] = "/entry/sample/transformations/phi"
    chain = sample.create_group("transformations")
    omega = _axis(chain, "omega", 10 + width * np.arange(n), "rotation", (-1, 0, 0), ".")
    chain["omega_end"] = 10 + width * np.arange(1, n + 1)
    chi = _axis(chain, "chi", 30.0, "rotation", (0, 0, 1), omega)
    _axis(chain, "phi", 0.0, "rotation", (-1, 0, 0), chi)
