"""Image files -> experiments: read the headers, put images of one sweep together, share what is equal."""

import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from puredials.errors import FileError, InputError, MismatchError
from puredials.io.expt import read_experiments
from puredials.io.formats.frames import Cache, Frame, Stack
from puredials.io.formats.headers import read_header
from puredials.io.formats.lookup import read_mask
from puredials.io.import_params import Geometry, ImportParams
from puredials.io.overrides import override, refer
from puredials.io.same_models import same_detector, share_models
from puredials.model import Detector, Experiment, Experiments, ImageSet, Scan

__all__ = ["ImportResult", "describe", "find_images", "import_files"]

# Images belong to one sweep if the start of each is where the last one ended, within this share of the width.
_STEP_TOLERANCE = 0.03


@dataclass(frozen=True)
class ImportResult:
    """The experiments, and what the log says of them."""

    experiments: Experiments
    formats: tuple[str, ...]
    n_images: int
    n_still_sequences: int
    n_sweeps: int
    n_stills: int


@dataclass(frozen=True)
class _Image:
    """One image file: the template of its name and its number there (None: the name has none)."""

    path: Path
    template: str
    number: int | None
    frame: Frame


def import_files(
    paths: Iterable[Path | str],
    *,
    params: ImportParams = ImportParams(),  # noqa: B008 - frozen
    progress: Callable[[int, int], None] | None = None,
) -> ImportResult:
    """Import image files, and those of `params.input`, as experiments."""
    files = find_images(paths, params)
    if not files:
        raise InputError("No images to import: name image files, or give template=img_####.cbf or directory=FOLDER.")
    cache, formats = Cache(), {}
    images: list[_Image] = []
    experiments: list[Experiment] = []
    for k, path in enumerate(files):
        header = read_header(path, cache)
        formats[header.format] = None
        if isinstance(header, Stack):
            experiments += _of_stack(path, header)
        else:
            template, number = split_name(path)
            images.append(_Image(path, template, number, header))
        if progress is not None:
            progress(k + 1, len(files))
    experiments += [_of_files(sweep) for sweep in _sweeps(images)]
    _refuse_mixed(experiments)
    return _summary(_with_geometry(experiments, params), tuple(formats), params)


def describe(result: ImportResult, params: ImportParams) -> str:
    """The summary of an import for the log."""
    applied = ["Reference geometry"] if params.input.reference_geometry else []
    applied += ["Manual geometry"] if params.geometry != Geometry() else []
    lines = [
        "Applying input geometry in the following order:",
        *(f"  {k}. {name}" for k, name in enumerate(applied, 1)),
    ]
    lines = [*lines, ""] if applied else []
    rule = "-" * 80
    names = {e.imageset.template: None for e in result.experiments if e.imageset and e.imageset.template}
    return "\n".join(
        [
            *lines,
            rule,
            *(f"  format: {name}" for name in result.formats),
            *(f"  template: {name}" for name in names),
            f"  num images: {result.n_images}",
            "  sequences:",
            f"    still:    {result.n_still_sequences}",
            f"    sweep:    {result.n_sweeps}",
            f"  num stills: {result.n_stills}",
            rule,
        ]
    )


# Names of files


def find_images(paths: Iterable[Path | str], params: ImportParams) -> list[Path]:
    """All image files, absolute, each once, in order."""
    found = [Path(path).absolute() for path in paths]
    for path in [path for path in found if path.is_dir()]:
        found[found.index(path) : found.index(path) + 1] = _in_folder(path)
    for template in params.input.template:
        found += _of_template(template)
    for folder in params.input.directory:
        if not Path(folder).is_dir():
            raise FileError(f"The folder {folder} (directory=) does not exist.")
        found += _in_folder(Path(folder).absolute())
    return _without_data_files(list(dict.fromkeys(found)))


_IMAGE_NAME = re.compile(
    r"(\.(cbf|img|osc|mccd|mar\d*|tiff?|edf|sfrm|rodhypix|esperanto|mrc)(\.(bz2|gz))?|_master\.h5|\.nxs|\d\d\d\d?)$",
    re.I,
)


def _in_folder(folder: Path) -> list[Path]:
    found = [path for path in sorted(folder.iterdir()) if path.is_file() and _IMAGE_NAME.search(path.name)]
    if not found:
        raise FileError(f"The folder {folder} holds no files that look like images.")
    return found


def _of_template(template: str) -> list[Path]:
    path = Path(template).absolute()
    if "#" not in path.name:
        if path.exists():
            return [path]
        raise FileError(f"The template {template} has no # for the image number, and no file of that name exists.")
    pattern = re.compile(re.escape(path.name).replace(r"\#", r"\d"))
    found = sorted(p for p in path.parent.iterdir() if pattern.fullmatch(p.name)) if path.parent.is_dir() else []
    if not found:
        raise FileError(f"No file fits the template {template}.")
    return found


def _without_data_files(files: list[Path]) -> list[Path]:
    """Files without the data files of masters among them, which hold images but no geometry."""
    names = {path.name for path in files}
    prefixes = {re.sub(r"(_master\.h5|\.nxs)$", "", name) for name in names if re.search(r"(_master\.h5|\.nxs)$", name)}

    def is_data(path: Path) -> bool:
        match = re.fullmatch(r"(.*?)(_data)?_\d{6}\.h5", path.name)
        return bool(match) and match.group(1) in prefixes

    return [path for path in files if not is_data(path)]


def split_name(path: Path) -> tuple[str, int | None]:
    """The template of an image file's name and the image's number: its last digits before the extensions."""
    match = re.fullmatch(r"(.*?)(\d+)(\.[A-Za-z][\w.]*|)", path.name) or re.fullmatch(r"(.*?)(\d+)(\D*)", path.name)
    if match is None:
        return str(path), None
    before, digits, after = match.groups()
    return str(path.parent / f"{before}{'#' * len(digits)}{after}"), int(digits)


# From headers to experiments


def _sweeps(images: Sequence[_Image]) -> Iterator[list[_Image]]:
    """Images that continue each other: same template, next number, equal models, next angle."""
    order: dict[str, list[_Image]] = {}
    for image in images:
        order.setdefault(image.template, []).append(image)
    for group in order.values():
        group.sort(key=lambda image: image.number or 0)
        sweep: list[_Image] = []
        for image in group:
            if sweep and not _continues(sweep[-1], image):
                yield sweep
                sweep = []
            sweep.append(image)
        yield sweep


def _continues(last: _Image, image: _Image) -> bool:
    a, b = last.frame, image.frame
    if image.number is None or last.number is None or image.number != last.number + 1:
        return False
    if a.beam is not b.beam or a.goniometer is not b.goniometer:
        return False
    if not same_detector(a.detector, b.detector):
        return False
    if not a.width and not b.width:
        return True
    step = (b.start - a.start - a.width + 180) % 360 - 180
    return abs(a.width - b.width) <= _STEP_TOLERANCE * abs(a.width) and abs(step) <= _STEP_TOLERANCE * abs(a.width)


def _of_files(sweep: Sequence[_Image]) -> Experiment:
    first = sweep[0]
    frame, number = first.frame, first.number if first.number is not None else 1
    scan = Scan(
        (number, number + len(sweep) - 1),
        (frame.start, frame.width),
        np.array([image.frame.exposure for image in sweep]),
        np.array([image.frame.epoch for image in sweep]),
        batch_offset=max(number - 1, 0),
    )
    return Experiment(frame.beam, frame.detector, frame.goniometer, scan, imageset=ImageSet(template=first.template))


def _of_stack(path: Path, stack: Stack) -> list[Experiment]:
    if stack.goniometer is None or not stack.width:
        return [
            Experiment(
                stack.beam,
                stack.detector,
                imageset=ImageSet(images=(str(path),), single_file_indices=(k,), kind="ImageSet"),
            )
            for k in range(stack.n_images)
        ]
    scan = Scan((1, stack.n_images), (stack.start, stack.width), stack.exposure, stack.epochs)
    imageset = ImageSet(template=str(path), single_file_indices=tuple(range(stack.n_images)))
    return [Experiment(stack.beam, stack.detector, stack.goniometer, scan, imageset=imageset)]


def _refuse_mixed(experiments: Sequence[Experiment]) -> None:
    """Images of one template must be of one detector."""
    seen: dict[str, Detector] = {}
    for experiment in experiments:
        template = experiment.imageset.template if experiment.imageset else ""
        if not template:
            continue
        known = seen.setdefault(template, experiment.detector)
        if known is not experiment.detector and _make(known) != _make(experiment.detector):
            raise MismatchError(
                f"The images {template} are of different detectors ({_size(known)} and {_size(experiment.detector)} "
                "pixels); import them separately."
            )


def _make(detector: Detector) -> tuple[object, ...]:
    return tuple((panel.image_size, panel.pixel_size) for panel in detector.panels)


def _size(detector: Detector) -> str:
    return f"{detector[0].image_size[0]} x {detector[0].image_size[1]}"


def _with_geometry(experiments: Sequence[Experiment], params: ImportParams) -> list[Experiment]:
    """The sequences with the user's geometry and mask, sharing equal models."""
    if params.input.reference_geometry:
        reference = read_experiments(params.input.reference_geometry)[0]
        experiments = [refer(e, reference, params) for e in experiments]
    experiments = [_sliced(override(e, params.geometry)) for e in experiments]
    if params.lookup.mask:
        mask = Path(params.lookup.mask).absolute()
        for detector in {id(e.detector): e.detector for e in experiments}.values():
            read_mask(mask, detector)
        experiments = [replace(e, imageset=replace(e.imageset, mask=str(mask))) for e in experiments if e.imageset]
    return share_models(experiments)


def _sliced(experiment: Experiment) -> Experiment:
    """The frames of an HDF5 file that belong to the scan."""
    imageset, scan = experiment.imageset, experiment.scan
    if imageset is None or scan is None or imageset.single_file_indices is None:
        return experiment
    return replace(experiment, imageset=replace(imageset, single_file_indices=tuple(range(*scan.array_range))))


def _summary(sequences: list[Experiment], formats: tuple[str, ...], params: ImportParams) -> ImportResult:
    if not params.input.allow_multiple_sequences and len(sequences) > 1:
        raise InputError(f"The images are {len(sequences)} sequences, but allow_multiple_sequences=False allows one.")
    experiments = [replace(e, identifier=str(uuid.uuid4())) for s in sequences for e in _stills_apart(s)]
    scans = [e.scan for e in sequences if e.scan is not None]
    n_stills = len(sequences) - len(scans)
    return ImportResult(
        experiments=Experiments(tuple(experiments)),
        formats=formats,
        n_images=n_stills + sum(len(scan) for scan in scans),
        n_still_sequences=sum(scan.is_still for scan in scans),
        n_sweeps=sum(not scan.is_still for scan in scans),
        n_stills=n_stills,
    )


def _stills_apart(sequence: Experiment) -> list[Experiment]:
    """A still sequence as one experiment an image, which have the image set in common; a sweep as it is."""
    scan = sequence.scan
    if scan is None or not scan.is_still:
        return [sequence]
    first, last = scan.image_range
    return [replace(sequence, scan=scan.sliced(number, number)) for number in range(first, last + 1)]
