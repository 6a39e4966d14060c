"""Small perfect data sets: experiments, and the reflections that they would record."""

from dataclasses import dataclass, replace

import gemmi
import numpy as np

from puredials.model import (
    Beam,
    Crystal,
    Detector,
    Experiment,
    Experiments,
    Flags,
    Goniometer,
    Panel,
    ReflectionTable,
    Scan,
    b_matrix,
    rotation_matrix,
)
from puredials.prediction import predict_indexed


@dataclass(frozen=True)
class Synthetic:
    """Makes experiments and tables; all tests of refinement start from here."""

    def experiment(
        self,
        *,
        cell=(40.0, 50.0, 60.0, 90.0, 90.0, 90.0),
        hall="P 1",
        orientation=(0.3, 0.5, 0.8),
        images=60,
        width=0.5,
        axis=(1.0, 0.0, 0.0),
        kappa=False,
        parallax=True,
        tilt=0.0,
        n_panels=1,
        wavelength=1.0,
    ) -> Experiment:
        o = np.array(orientation)
        A = rotation_matrix(o, float(np.linalg.norm(o))) @ b_matrix(gemmi.UnitCell(*cell))
        goniometer = Goniometer([axis])
        if kappa:
            axes = [[1.0, 0, 0], [0.64, 0, 0.77], axis]
            goniometer = Goniometer(axes, [20.0, -40.0, 0.0], ("phi", "kappa", "omega"), 2)
        size, pixel = (400, 400), 0.2
        panel = Panel(
            [1, 0, 0], [0, -1, 0], [-41.0, 39.0, -100.0], size, (pixel, pixel),
            thickness=0.32, material="Si", mu=1.0, parallax=parallax,
        )  # fmt: skip
        if tilt:
            panel = panel.moved(rotation_matrix(np.array([1.0, 0.3, 0.1]), tilt), np.zeros(3))
        rows = size[1] // n_panels
        panels = [
            replace(panel, origin=panel.origin + k * rows * pixel * panel.slow, image_size=(size[0], rows))
            for k in range(n_panels)
        ]
        return Experiment(
            Beam([0.0, 0.0, 1.0], wavelength),
            Detector(panels),
            goniometer,
            Scan((1, images), (0.0, width)),
            Crystal(A, hall),
            identifier="synthetic",
        )

    def still(self, experiment: Experiment) -> Experiment:
        return replace(experiment, goniometer=None, scan=None)

    def table(self, experiments: Experiments, *, n=400, noise=0.0, seed=0, variance=0.1) -> ReflectionTable:
        """Perfect centroids (or with normal noise, in px and images) of about `n` reflections an experiment."""
        rng = np.random.default_rng(seed)
        parts = []
        for i, experiment in enumerate(experiments):
            h_max = int(0.35 / np.linalg.norm(experiment.crystal.A, axis=0).min())
            h = rng.integers(-h_max, h_max + 1, (max(200 * n, 40000), 3))
            h = np.unique(h[(h != 0).any(axis=1)], axis=0)
            h = rng.permutation(h)
            enters = rng.random(len(h)) > 0.5
            p = predict_indexed(experiment, h, entering=enters)
            first, last = experiment.scan.array_range if experiment.scan else (-np.inf, np.inf)
            volume = np.ones(len(h))
            if experiment.goniometer is not None:
                volume = p.s1 @ np.cross(experiment.beam.s0, experiment.goniometer.rotation_axis)
            size = experiment.detector[0].image_size
            with np.errstate(invalid="ignore"):
                keep = p.valid & (p.xyz_px[:, 2] > first + 1) & (p.xyz_px[:, 2] < last - 1) & (np.abs(volume) > 0.05)
                keep &= (p.xyz_px[:, :2] > 1).all(axis=1) & (p.xyz_px[:, :2] < np.array(size) - 1).all(axis=1)
                keep &= np.abs(p.delpsi) < 0.02
            keep = np.flatnonzero(keep)[:n]
            assert len(keep) > n // 2, "the synthetic geometry records too little"
            observed = p.xyz_px[keep] + noise * rng.normal(size=(len(keep), 3))
            parts.append(
                ReflectionTable(
                    {
                        "id": np.full(len(keep), i, dtype=np.int32),
                        "miller_index": h[keep].astype(np.int32),
                        "panel": p.panel[keep].astype(np.uint64),
                        "flags": np.full(len(keep), Flags.INDEXED | Flags.STRONG, dtype=np.uint64),
                        "xyzobs.px.value": observed,
                        "xyzobs.px.variance": np.full((len(keep), 3), variance),
                    },
                    {i: experiment.identifier},
                )
            )
        return ReflectionTable.concatenate(parts)

    def disturbed(self, experiment: Experiment, *, size: float = 1.0) -> Experiment:
        """The experiment with wrong orientation, cell, detector and beam (mrad, per mille, 0.1 mm)."""
        crystal, detector, beam = experiment.crystal, experiment.detector, experiment.beam
        turn = rotation_matrix(np.array([1.0, -2.0, 0.5]), 1e-3 * size)
        lean = rotation_matrix(np.array([0.2, 1.0, 0.7]), 2e-3 * size)
        return replace(
            experiment,
            crystal=replace(crystal, A=turn @ crystal.A * (1 + 1e-3 * size)),
            detector=detector.moved(lean, np.array([0.1, -0.1, 0.3]) * size),
            beam=replace(beam, direction=beam.direction + np.array([2e-4, 0.0, 0.0]) * size),
        )


SYNTHETIC = Synthetic()
