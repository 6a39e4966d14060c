"""Five small images and one spot on them, and stills of two panels, for the tests of the viewer."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from puredials.model import (
    Beam,
    Crystal,
    Detector,
    Experiment,
    Experiments,
    Flags,
    Goniometer,
    ImageSet,
    Panel,
    ReflectionTable,
    Scan,
    Shoeboxes,
)
from puredials.viewer import ImageView


@dataclass(frozen=True, eq=False)
class Shown:
    """An image source of one panel in memory."""

    images: np.ndarray

    def __len__(self):
        return len(self.images)

    def read(self, index):
        return (self.images[index],)

    def static_mask(self):
        mask = np.ones(self.images.shape[1:], dtype=np.bool_)
        mask[:, 0] = False
        return (mask,)


def viewed(name="images_####.cbf", folder=Path()):
    """The view, and its images (5, slow, fast); the spot's largest pixel is (x, y, z) = (20, 30, 2), the first column
    of pixels is masked."""
    images = np.random.default_rng(0).poisson(2.0, (5, 70, 90)).astype(np.int32)
    images[1:4, 28:33, 18:23] += 20
    images[2, 30, 20] = 500
    panel = Panel(np.array([1.0, 0, 0]), np.array([0, -1.0, 0]), np.array([-4.5, 3.5, -10.0]), (90, 70), (0.1, 0.1))
    experiment = Experiment(
        Beam(np.array([0, 0, 1.0]), 1.0),
        Detector((panel,)),
        Goniometer(np.array([1.0, 0, 0])),
        Scan((1, 5), (0.0, 0.2)),
        Crystal(np.diag([0.1, 0.11, 0.12])),
        imageset=ImageSet(template=name),
    )
    bbox = np.array([[18, 23, 28, 33, 1, 4]], dtype=np.int32)
    pixels = images[1:4, 28:33, 18:23].astype(np.float32).ravel()
    boxes = Shoeboxes(
        np.zeros(1, np.uint32),
        bbox,
        np.array([0, len(pixels)]),
        pixels,
        np.full(len(pixels), 1 | 4, np.uint8),
        np.zeros_like(pixels),
    )
    table = ReflectionTable(
        {
            "bbox": bbox,
            "flags": np.array([Flags.STRONG], dtype=np.uint64),
            "id": np.zeros(1, np.int32),
            "miller_index": np.array([[1, -2, 3]], dtype=np.int32),
            "panel": np.zeros(1, np.uint64),
            "shoebox": boxes,
            "xyzcal.px": np.array([[20.7, 30.4, 2.6]]),
            "xyzobs.px.value": np.array([[20.5, 30.5, 2.5]]),
        }
    )
    return ImageView(Experiments((experiment,)), [Shown(images)], table, folder), images


@dataclass(frozen=True, eq=False)
class Stills:
    """Three images of a level panel and of one that is turned by 30 degrees, of fractions and of what is no number."""

    def __len__(self):
        return 3

    def read(self, index):
        first = np.full((60, 80), index + 0.25, np.float32)
        first[5, 6] = np.nan
        return first, np.full((40, 40), index, np.float32)

    def static_mask(self):
        return np.ones((60, 80), np.bool_), np.ones((40, 40), np.bool_)


def with_stills(view):
    """The view with a second set of images, without scan or crystal, and an indexed spot on its turned panel:
    the shoebox there is (10, 30, 12, 22)."""
    first, table, turn = view.sets[0].first, view.reflections, np.radians(30)
    fast, slow = np.array([np.cos(turn), np.sin(turn), 0]), np.array([np.sin(turn), -np.cos(turn), 0])
    level = Panel(np.array([1.0, 0, 0]), np.array([0, -1.0, 0]), np.array([-4.0, 3.0, -10]), (80, 60), (0.1, 0.1))
    turned = Panel(fast, slow, np.array([5.0, 1.0, -10.0]), (40, 40), (0.1, 0.1))
    stills = replace(
        first,
        detector=Detector((level, turned)),
        goniometer=None,
        scan=None,
        crystal=None,
        imageset=ImageSet(template="stills_####.cbf"),
    )
    boxes = table["shoebox"]
    bbox = np.array([*table["bbox"], [10, 30, 12, 22, 0, 1]], dtype=np.int32)
    table = ReflectionTable(
        {
            "bbox": bbox,
            "flags": np.array([Flags.STRONG, Flags.STRONG | Flags.INDEXED], dtype=np.uint64),
            "id": np.array([0, 1], np.int32),
            "miller_index": np.array([*table["miller_index"], [2, 0, 0]], dtype=np.int32),
            "panel": np.array([0, 1], np.uint64),
            "shoebox": Shoeboxes(
                np.array([0, 1], np.uint32),
                bbox,
                np.append(boxes.offsets, boxes.offsets[-1]),
                boxes.data,
                boxes.mask,
                boxes.background,
            ),
            "xyzcal.px": np.array([*table["xyzcal.px"], [20.0, 17.0, 0.5]]),
            "xyzobs.px.value": np.array([*table["xyzobs.px.value"], [20.2, 17.0, 0.5]]),
        }
    )
    return ImageView(Experiments((first, stills)), [view.sets[0].source, Stills()], table, view.folder)


def write_image(path):
    """An image of 10 x 12 pixels in a file (SMV); its counts."""
    image = np.arange(12 * 10, dtype="<u2").reshape(12, 10)
    head = "{\nHEADER_BYTES=512;\nDIM=2;\nBYTE_ORDER=little_endian;\nTYPE=unsigned_short;\nSIZE1=10;\nSIZE2=12;\n"
    head += "WAVELENGTH=1;\nDISTANCE=10;\nPIXEL_SIZE=0.1;\nBEAM_CENTER_X=0.5;\nBEAM_CENTER_Y=0.6;\n"
    head += "PHI=0;\nOSC_START=0;\nOSC_RANGE=0.2;\n}\n"
    path.write_bytes(head.encode().ljust(512) + image.tobytes())
    return image
