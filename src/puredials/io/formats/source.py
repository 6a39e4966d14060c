"""Image sources: the images of one experiment, panel by panel."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from puredials.errors import FileError, MismatchError
from puredials.io.formats.lookup import read_mask
from puredials.io.formats.recognise import is_hdf5, read_raster
from puredials.model import Detector, Experiment, ImageSet, ImageSource
from puredials.model.detector import Panel

__all__ = ["FileSource", "StackSource", "image_file", "open_images"]


def open_images(experiment: Experiment, base: Path | None = None) -> ImageSource:
    """The images of an experiment; relative names start from `base`. No image is read yet."""
    imageset = experiment.imageset
    if imageset is None:
        raise FileError("The experiment names no images; import them again with dials.import.")
    for kind in ("gain", "pedestal", "dx", "dy"):
        if name := getattr(imageset, kind):
            raise FileError(f"The experiment corrects its images by the {kind} in {name}, which puredials cannot do.")
    folder = Path() if base is None else base
    mask = None if not imageset.mask else str(folder / imageset.mask)
    name = imageset.template or (imageset.images[0] if imageset.images else "")
    if not name:
        raise FileError("The experiment's image set names no file; import the images again with dials.import.")
    if "#" not in name and is_hdf5(folder / name):
        from puredials.io.formats.hdf5_images import Hdf5Images

        stack = Hdf5Images(str(folder / name))
        frames = _frames(experiment, imageset, len(stack))
        if max(frames, default=0) >= len(stack):
            raise FileError(f"{folder / name} holds {len(stack)} images, but the experiment goes to {max(frames) + 1}.")
        return StackSource(stack, frames, experiment.detector, mask)
    if imageset.images:
        files = tuple(str(folder / image) for image in imageset.images)
    else:
        first, last = experiment.scan.image_range if experiment.scan else (1, 1)
        files = tuple(str(folder / image_file(name, number)) for number in range(first, last + 1))
    return FileSource(files, experiment.detector, mask)


def image_file(template: str, number: int) -> str:
    """The file of an image number: the last run of # in the template holds it."""
    end = template.rfind("#") + 1
    start = end
    while start > 0 and template[start - 1] == "#":
        start -= 1
    return template if end == 0 else f"{template[:start]}{number:0{end - start}d}{template[end:]}"


def _frames(experiment: Experiment, imageset: ImageSet, n_images: int) -> tuple[int, ...]:
    """The frames of an HDF5 file, 0 for its first.

    Image numbers count the frames of the file. `single_file_indices` agree, but not as DIALS 3.12 writes them for a
    part of a sweep (from 0), and for stills one list may serve many experiments.
    """
    stored = imageset.single_file_indices
    if experiment.scan is None:
        return tuple(stored) if stored is not None else tuple(range(n_images))
    first, last = experiment.scan.array_range
    if stored is not None and len(stored) == last - first and not (stored[0] == 0 and first > 0):
        return tuple(stored)
    return tuple(range(first, last))


def _cut(raster: NDArray[Any], detector: Detector, where: str) -> tuple[NDArray[Any], ...]:
    """The panels' parts of a raster (slow, fast)."""
    return tuple(raster[_window(panel, raster.shape, where)] for panel in detector.panels)


def _window(panel: Panel, shape: tuple[int, ...], where: str) -> tuple[slice, slice]:
    (x, y), (nx, ny) = panel.raw_image_offset, panel.image_size
    if x + nx > shape[1] or y + ny > shape[0]:
        has = f"{shape[1]} x {shape[0]}"
        raise MismatchError(
            f"The image in {where} has {has} pixels, fewer than the detector of the experiment expects."
        )
    return slice(y, y + ny), slice(x, x + nx)


def _static_mask(
    detector: Detector, raster: NDArray[np.bool_] | None, lookup: str | None, where: str
) -> tuple[NDArray[np.bool_], ...]:
    """The file's mask, the detector's rectangles and the lookup mask in one; True where a pixel may be used."""
    if raster is None:
        masks = tuple(np.ones(panel.image_size[::-1], dtype=bool) for panel in detector.panels)
    else:
        masks = tuple(part.copy() for part in _cut(raster, detector, where))
    for panel, mask in zip(detector.panels, masks, strict=True):
        for x0, y0, x1, y1 in panel.mask:
            mask[max(y0, 0) : y1, max(x0, 0) : x1] = False
    if lookup is not None:
        for mask, other in zip(masks, read_mask(Path(lookup), detector), strict=True):
            mask &= other
    return masks


@dataclass(frozen=True, eq=False)
class FileSource:
    """Images in files of their own."""

    files: tuple[str, ...]
    detector: Detector
    mask: str | None = None

    def __len__(self) -> int:
        return len(self.files)

    def read(self, index: int) -> tuple[NDArray[Any], ...]:
        """The image, one (slow, fast) array a panel."""
        path = self.files[index]
        return _cut(read_raster(Path(path)), self.detector, path)

    def static_mask(self) -> tuple[NDArray[np.bool_], ...]:
        """One (slow, fast) array a panel: True where a pixel may be used in all images."""
        return _static_mask(self.detector, None, self.mask, self.files[0])


@dataclass(frozen=True, eq=False)
class StackSource:
    """Images in one HDF5 file (and the files it refers to)."""

    stack: Any
    frames: tuple[int, ...]
    detector: Detector
    mask: str | None = None

    def __len__(self) -> int:
        return len(self.frames)

    def read(self, index: int) -> tuple[NDArray[Any], ...]:
        """The image, one (slow, fast) array a panel."""
        return _cut(self.stack.read(self.frames[index]), self.detector, self.stack.path)

    def static_mask(self) -> tuple[NDArray[np.bool_], ...]:
        """One (slow, fast) array a panel: True where a pixel may be used in all images."""
        return _static_mask(self.detector, self.stack.file_mask, self.mask, self.stack.path)
