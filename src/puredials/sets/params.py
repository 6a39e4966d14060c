"""Parameters of the programs that combine, split and slice, and of those that leave out images; names as in DIALS."""

from puredials.params import Params, param

__all__ = ["CombineParams", "ImageSelection", "ReferenceFrom", "SliceParams", "SplitParams"]


class ReferenceFrom(Params):
    """Experiments, counted from 0, whose models replace those of all others."""

    beam: int | None = param(None, "Give all experiments the beam of this one.", ge=0)
    scan: int | None = param(None, "Give all experiments the scan of this one.", ge=0)
    crystal: int | None = param(None, "Give all experiments the crystal of this one.", ge=0)
    goniometer: int | None = param(None, "Give all experiments the goniometer of this one.", ge=0)
    detector: int | None = param(None, "Give all experiments the detector of this one.", ge=0)
    compare_models: bool = param(True, "Refuse a reference that differs from the model that it would replace.")


class CombineParams(Params):
    """Parameters of `dials.combine_experiments`."""

    reference_from_experiment: ReferenceFrom = ReferenceFrom()


class ImageSelection(Params):
    """Images that a step leaves out."""

    exclude_images: tuple[str, ...] | None = param(
        None, "Images to leave out, as experiment:first:last (such as 0:150:200); the experiment by number or "
        "identifier.",
    )  # fmt: skip


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
