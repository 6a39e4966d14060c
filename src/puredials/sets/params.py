"""Parameters of the programs that combine, split and slice, and of those that leave out images; names as in DIALS."""

from typing import Literal

from puredials.params import Params, param

__all__ = [
    "Clustering",
    "CombineParams",
    "ImageSelection",
    "ReferenceFrom",
    "SliceParams",
    "SplitParams",
    "SubsetParams",
]


class ReferenceFrom(Params):
    """Experiments, counted from 0, whose models replace those of all others."""

    beam: int | None = param(None, "Give all experiments the beam of this one.", ge=0)
    scan: int | None = param(None, "Give all experiments the scan of this one.", ge=0)
    crystal: int | None = param(None, "Give all experiments the crystal of this one.", ge=0)
    goniometer: int | None = param(None, "Give all experiments the goniometer of this one.", ge=0)
    detector: int | None = param(None, "Give all experiments the detector of this one.", ge=0)
    average_detector: bool = param(False, "Give all experiments the mean of their detectors.")
    compare_models: bool = param(True, "Refuse a reference that differs from the model that it would replace.")


class Clustering(Params):
    """Groups of crystals of similar unit cells; `dials.cluster_unit_cell` shows their tree."""

    use: bool = param(False, "Write one file for each cluster of unit cells: combined_cluster1.expt, the largest, ...")
    threshold: float = param(
        1000.0, "Crystals whose lattices are nearer than this belong to one cluster.", unit="Angstrom^2", ge=0
    )
    max_clusters: int | None = param(None, "Write this many of the largest clusters (None: all).", ge=1)
    exclude_single_crystal_clusters: bool = param(True, "Write no clusters of one crystal.")


class CombineParams(Params):
    """Parameters of `dials.combine_experiments`."""

    reference_from_experiment: ReferenceFrom = ReferenceFrom()
    clustering: Clustering = Clustering()


class ImageSelection(Params):
    """Images that a step leaves out."""

    exclude_images: tuple[str, ...] | None = param(
        None, "Images to leave out, as experiment:first:last (such as 0:150:200); the experiment by number or "
        "identifier.",
    )  # fmt: skip


class SubsetParams(Params):
    """Which of the combined experiments are kept."""

    min_reflections_per_experiment: int | None = param(
        None, "Leave out experiments with fewer reflections than this.", ge=0
    )
    max_reflections_per_experiment: int | None = param(
        None, "Leave out experiments with more reflections than this.", ge=0
    )
    n_subset: int | None = param(None, "Keep this many experiments (None: all).", ge=1)
    n_subset_method: Literal["random", "n_refl"] = param(
        "random", "Keep some at random, or those with the most reflections."
    )
    n_refl_panel_list: tuple[int, ...] | None = param(
        None, "For n_subset_method=n_refl, count the reflections on these panels only."
    )


class SplitParams(Params):
    """Parameters of `dials.split_experiments`."""

    by_detector: bool = param(False, "One group for each detector, not for each experiment.")
    by_wavelength: bool = param(
        False, "One group for each wavelength (equal within 1e-4 of its value), in ascending order."
    )
    experiment_ids: tuple[int, ...] | None = param(None, "Take these experiments only, counted from 0. Auto: all.")


class SliceParams(Params):
    """Parameters of `dials.slice_sequence`."""

    image_range: tuple[tuple[int, int], ...] = param(
        (), "First and last image, both included: one pair for all experiments, or repeated, one for each."
    )
    block_size: float | None = param(
        None, "Cut each scan into equal blocks of about this width; overrides image_range.", unit="degrees", gt=0
    )
