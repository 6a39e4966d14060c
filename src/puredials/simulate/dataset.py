"""Rotation diffraction data sets with known truth.

A reflection h diffracts where |s0 + S R(phi) F A h| = |s0|. Every reflection is a Gaussian in (phi, x, y) whose
covariance is propagated to first order from the mosaic spread, the beam's divergence and bandwidth, the lit volume, the
depth at which photons convert in the sensor, and the point spread. Known limits: spots are Gaussian; there are no split
spots, no diffuse scatter, no pile-up, and no reflections beyond the protein's d_min.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from puredials.errors import FileError
from puredials.execute import SERIAL, Executor, map_blocks
from puredials.kernels.painting import paint_image
from puredials.simulate.background import Background, make_background
from puredials.simulate.cbf import CbfWriter
from puredials.simulate.config import SimulationConfig
from puredials.simulate.crystal import make_crystal
from puredials.simulate.detector import SimulatedDetector, make_detector
from puredials.simulate.diffraction import Sweep
from puredials.simulate.goniometer import SimulatedGoniometer, make_goniometer
from puredials.simulate.nxmx import NxmxWriter
from puredials.simulate.observations import Slices, observe
from puredials.simulate.protein import make_protein
from puredials.simulate.truth import write_common_truth, write_description, write_sweep_truth
from puredials.simulate.writing import RecordedAxis, RecordedSweep, Writer

__all__ = ["SimulatedSet", "SimulatedSweep", "simulate"]

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class SimulatedSweep:
    """One sweep: the NXmx master or the template of CBF files, the patterns of its images, and a few figures."""

    path: Path
    images: tuple[Path, ...]
    n_images: int
    n_reflections: int
    mean_count: float


@dataclass(frozen=True)
class SimulatedSet:
    """The files of a simulation."""

    config: SimulationConfig
    folder: Path
    sweeps: tuple[SimulatedSweep, ...]
    truth: Path
    description: Path


@dataclass(frozen=True, eq=False)
class _Painter:
    """All that is needed to draw the counts of an image of one sweep."""

    background: Background
    detector: SimulatedDetector
    slices: Slices
    starts: NDArray[np.int64]
    frame_scale: NDArray[np.float64]
    seed: int
    gap: int
    overload: int
    dtype: np.dtype

    def image(self, frame: int) -> tuple[NDArray[np.integer], NDArray[np.float64]]:
        """The counts, and the photons of each slice on live pixels."""
        s, detector = self.slices, self.detector
        here = slice(self.starts[frame], self.starts[frame + 1])
        out = np.empty(detector.shape, dtype=self.dtype)
        painted = np.empty(here.stop - here.start)
        spots = (s.x[here], s.y[here], s.cxx[here], s.cxy[here], s.cyy[here], s.photons[here])
        paint_image(
            out, self.background.mean, self.frame_scale[frame], *spots, self.background.state, detector.hot_rate,
            self.seed + frame, detector.kind.saturation, self.overload, self.gap, painted,
        )  # fmt: skip
        return out, painted


def simulate(
    config: SimulationConfig, folder: str | Path, *, executor: Executor = SERIAL, progress: Progress | None = None
) -> SimulatedSet:
    """Write the images of a configuration, truth.h5 and dataset.json into a folder, which is made if need be."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"the folder {folder} cannot be made: {error.strerror}.") from error
    protein = make_protein(config.protein)
    rng = np.random.default_rng(config.seed)
    detector = make_detector(config.detector, config.beam.wavelength, rng)
    goniometer = make_goniometer(config.goniometer, rng)
    crystals = [make_crystal(crystal, protein, config.seed) for crystal in config.crystals]
    background = make_background(config.background, config.beam, detector)
    n_all, done = sum(sweep.n_images for sweep in config.sweeps), 0
    exposed_deg = [0.0] * len(crystals)
    sweeps = []
    with h5py.File(folder / "truth.h5", "w") as truth:
        write_common_truth(truth, config, protein, detector, goniometer, crystals, background)
        for number, settings in enumerate(config.sweeps):
            rng = np.random.default_rng([config.seed, 77, number])
            setting = goniometer.setting(settings.fixed_angles_deg, rng)
            sweep = Sweep(settings, setting, exposed_deg[settings.crystal])
            observations, slices = observe(config, protein, crystals[settings.crystal], detector, sweep, rng)
            flicker = 1 + config.errors.flicker * rng.normal(size=settings.n_images)
            slices.photons[:] *= flicker[slices.frame]

            writer = _writer(config, folder, detector, goniometer, number, sweep)
            painter = _painter(config, background, detector, slices, flicker, sweep, writer, rng)
            painted, total = [], 0.0
            for image, photons in _images(painter, settings.n_images, executor):
                writer.write(image)
                painted.append(photons)
                total += float(image[detector.mask == 0].mean())
                done += 1
                if progress is not None:
                    progress(done, n_all)
            n = len(observations["phi"])
            whole = np.bincount(slices.owner, slices.photons, minlength=n)
            live = np.bincount(slices.owner, np.concatenate(painted), minlength=n)
            observations["photons_expected"] = whole
            observations["fraction_on_live_pixels"] = np.where(whole > 0, live / np.maximum(whole, 1e-12), 0)
            write_sweep_truth(truth, number, config.sweep_name(number), sweep, observations, flicker)
            exposed_deg[settings.crystal] += settings.n_images * settings.width_deg
            path = writer.close()
            files = _files(path, settings.n_images)
            sweeps.append(SimulatedSweep(path, files, settings.n_images, n, total / settings.n_images))
    description = folder / "dataset.json"
    patterns = sorted(_pattern(sweep.path) for sweep in sweeps)
    write_description(config, protein, patterns, description)
    return SimulatedSet(config, folder, tuple(sweeps), folder / "truth.h5", description)


def _images(
    painter: _Painter, n_images: int, executor: Executor
) -> Iterator[tuple[NDArray[np.integer], NDArray[np.float64]]]:
    return map_blocks(painter.image, range(n_images), executor)


def _painter(
    config: SimulationConfig,
    background: Background,
    detector: SimulatedDetector,
    slices: Slices,
    flicker: NDArray[np.float64],
    sweep: Sweep,
    writer: Writer,
    rng: np.random.Generator,
) -> _Painter:
    n = sweep.config.n_images
    wobble = 2 * np.pi * rng.random()
    phi = np.radians(sweep.config.start_deg + sweep.config.width_deg * np.arange(n))
    frame_scale = flicker * (1 + config.background.modulation * np.sin(phi + wobble))
    starts = np.searchsorted(slices.frame, np.arange(n + 1))
    seed = int(rng.integers(1 << 30))
    return _Painter(background, detector, slices, starts, frame_scale, seed, writer.gap, writer.overload, writer.dtype)


def _writer(
    config: SimulationConfig,
    folder: Path,
    detector: SimulatedDetector,
    goniometer: SimulatedGoniometer,
    number: int,
    sweep: Sweep,
) -> Writer:
    settings = sweep.config
    scanned = settings.start_deg + settings.width_deg * np.arange(settings.n_images, dtype=np.float64)
    axes = []
    for k, (name, vector) in enumerate(zip(goniometer.names, goniometer.nominal, strict=True)):
        angles = scanned if k == goniometer.scan else sweep.setting.recorded[name]
        axes.append(RecordedAxis(name, vector, angles, settings.width_deg))
    recorded = RecordedSweep(
        prefix=config.sweep_name(number),
        n_images=settings.n_images,
        detector=detector.recorded,
        mask=detector.mask,
        axes=tuple(reversed(axes)),
        wavelength=config.beam.wavelength + config.beam.wavelength_error,
        polarization=config.beam.polarization,
        exposure_s=config.exposure_s,
        dtype=detector.kind.dtype,
    )
    make = CbfWriter if config.format == "cbf" else partial(NxmxWriter, images_per_file=config.images_per_file)
    return make(folder, recorded)


def _files(path: Path, n_images: int) -> tuple[Path, ...]:
    """The image files that a path stands for."""
    if "#####" not in path.name:
        return (path,)
    return tuple(path.with_name(path.name.replace("#####", f"{k + 1:05d}")) for k in range(n_images))


def _pattern(path: Path) -> str:
    return path.name.replace("#####", "*")
