"""A small rotation sweep with known truth, drawn photon by photon without any of the code under test but prediction."""

from dataclasses import dataclass

import numpy as np

from puredials.integration.frames import Frames, reflection_frames
from puredials.model import (
    Beam,
    Crystal,
    Detector,
    Experiment,
    Flags,
    Goniometer,
    MaskBits,
    Panel,
    Profile,
    ReflectionTable,
    Scan,
    Shoeboxes,
    rotation_matrix,
)
from puredials.prediction import Predicted, predict_sweep

SIGMA_B, SIGMA_M, BACKGROUND = 0.06, 0.12, 0.8
SIZE, N_IMAGES = 240, 40


@dataclass(frozen=True, eq=False)
class ArrayImages:
    """Images in memory, (n, slow, fast) for each panel."""

    panels: tuple[np.ndarray, ...]
    masks: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        return len(self.panels[0])

    def read(self, index: int) -> tuple[np.ndarray, ...]:
        return tuple(panel[index] for panel in self.panels)

    def static_mask(self) -> tuple[np.ndarray, ...]:
        return self.masks


@dataclass(frozen=True, eq=False)
class Truth:
    experiment: Experiment
    images: ArrayImages
    spots: ReflectionTable
    index: np.ndarray
    entering: np.ndarray
    z: np.ndarray
    photons: np.ndarray

    def rows_of(self, table: ReflectionTable) -> list[int]:
        """The predicted reflections that the rows of a table are."""
        number = {(*h, e): k for k, (h, e) in enumerate(zip(self.index.tolist(), self.entering.tolist(), strict=True))}
        rows = zip(table["miller_index"].tolist(), table["entering"].tolist(), strict=True)
        return [number[(*h, e)] for h, e in rows]

    def photons_of(self, table: ReflectionTable) -> np.ndarray:
        """True intensities of the rows of a table."""
        return self.photons[self.rows_of(table)]


def small_experiment() -> Experiment:
    U = rotation_matrix(np.array([0.3, 0.5, 0.8]), 0.7)
    panel = Panel(
        fast=np.array([1.0, 0, 0]), slow=np.array([0, -1.0, 0]), origin=np.array([-SIZE * 0.05, SIZE * 0.05, -60.0]),
        image_size=(SIZE, SIZE), pixel_size=(0.1, 0.1), trusted_range=(-0.5, 60000.5),
    )  # fmt: skip
    return Experiment(
        beam=Beam(direction=np.array([0, 0, 1.0]), wavelength=1.0),
        detector=Detector((panel,)),
        goniometer=Goniometer(axes=np.array([[1.0, 0, 0]])),
        scan=Scan((1, N_IMAGES), (10.0, 0.25)),
        crystal=Crystal(U / 60.0),
        identifier="small",
    )


def draw(experiment: Experiment, seed: int = 1) -> Truth:
    """Photons of Gaussian spots with exponentially distributed intensities, on a flat background."""
    rng = np.random.default_rng(seed)
    index, predicted = predict_sweep(experiment, padding=0.5)
    frames = _frames(experiment, index, predicted)
    photons = rng.exponential(400.0, len(index)) * (rng.random(len(index)) < 0.9)
    owner = np.repeat(np.arange(len(index)), rng.poisson(photons))
    xyz = _positions(frames, owner, rng)[:, ::-1]
    edges = [np.arange(n + 1) for n in (N_IMAGES, SIZE, SIZE)]
    counts = np.histogramdd(xyz, edges)[0] + rng.poisson(BACKGROUND, (N_IMAGES, SIZE, SIZE))
    images = ArrayImages((counts.astype(np.uint16),), (np.ones((SIZE, SIZE), bool),))
    z = predicted.xyz_px[:, 2]
    inside = frames.bbox.copy()
    inside[:, :4] = np.clip(frames.reach, 0, SIZE)
    strong = np.flatnonzero((photons > 300) & (inside[:, 5] > inside[:, 4]) & (z > 0) & (z < N_IMAGES))
    return Truth(
        experiment, images, _spots(counts, inside, index, predicted, strong), index, predicted.entering, z, photons
    )


def _frames(experiment: Experiment, index: np.ndarray, predicted: Predicted) -> Frames:
    none = np.zeros((len(index), 1), np.int32), np.ones((len(index), 1))
    return reflection_frames(experiment, predicted, Profile(SIGMA_B, SIGMA_M), *none)


def _positions(frames: Frames, owner: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Where photons of the reflections `owner` arrive: x, y (px) and z (images)."""
    e = rng.normal(size=(len(owner), 3))
    dz = e[:, 2] / frames.drift[owner]
    inverse = np.linalg.inv(frames.jacobian.reshape(-1, 2, 2))[owner]
    xy = frames.centre[owner, :2] + np.einsum("nij,nj->ni", inverse, e[:, :2]) + frames.slide[owner] * dz[:, None]
    return np.column_stack([xy, frames.centre[owner, 2] + dz])


def least_variances(truth: Truth, table: ReflectionTable, n_photons: int = 20000) -> np.ndarray:
    """Variances of intensities by an integrator that knows background and profiles exactly.

    No unbiased one has a smaller variance than 1 / sum_i p_i^2 / (b + I p_i), with shares p_i of the photons in the
    pixels i (Cramér-Rao bound). Shares are drawn; p^2 of a drawn share is too large by p / n.
    """
    index, predicted = predict_sweep(truth.experiment, padding=0.5)
    frames, rng = _frames(truth.experiment, index, predicted), np.random.default_rng(5)
    variances = []
    for row, photons in zip(truth.rows_of(table), truth.photons_of(table), strict=True):
        pixels = np.floor(_positions(frames, np.full(n_photons, row), rng))
        share = np.unique(pixels, axis=0, return_counts=True)[1] / n_photons
        variances.append(1 / np.sum((share**2 - share / n_photons) / (BACKGROUND + photons * share)))
    return np.array(variances)


def _spots(counts, bbox, index, predicted, strong) -> ReflectionTable:
    """A table of strong spots with shoeboxes whose foreground is what is well above the background."""
    boxes = bbox[strong]
    data = [counts[b[4] : b[5], b[2] : b[3], b[0] : b[1]].ravel() for b in boxes]
    flat = np.concatenate(data).astype(np.float32)
    valid, foreground = np.uint8(MaskBits.VALID), np.uint8(MaskBits.VALID | MaskBits.FOREGROUND)
    mask = np.where(flat > 4, foreground, valid)
    offsets = np.concatenate([[0], np.cumsum([len(d) for d in data])]).astype(np.int64)
    columns = {
        "id": np.zeros(len(strong), np.int32),
        "flags": np.full(len(strong), int(Flags.INDEXED | Flags.STRONG | Flags.USED_IN_REFINEMENT), np.uint64),
        "miller_index": index[strong],
        "entering": predicted.entering[strong],
        "s1": predicted.s1[strong],
        "xyzobs.px.value": predicted.xyz_px[strong],
        "xyzcal.px": predicted.xyz_px[strong],
        "shoebox": Shoeboxes(
            np.zeros(len(strong), np.uint32), boxes, offsets, flat, mask.astype(np.uint8), np.zeros_like(flat)
        ),
    }
    return ReflectionTable(columns, {0: "small"})
