"""A rotation that the image headers do not tell: crystals of consecutive stills that turn from one to the next."""

import shlex
from dataclasses import replace

import numpy as np
from jaxtyping import Float64
from scipy.spatial.transform import Rotation

from puredials.geometry import rlp_to_r
from puredials.indexing.finding import TRIAL_SPOTS, Diagnosis
from puredials.indexing.known_symmetry import Known
from puredials.indexing.lattices import smallest_rotation
from puredials.indexing.params import IndexParams
from puredials.indexing.trials import inner, trial_lattice
from puredials.model import Experiment, Experiments, ReflectionTable, Scan

__all__ = ["diagnose_stills", "turn_of_stills"]

FEWEST_PAIRS = 4
# Pairs of stills agree with a steady turn if they are this near to it, relative to it; most have to.
AGREES, AGREEING = 0.6, 0.5
# Images between which turns are measured; turns may be as wide as lattices cannot be confused.
BASELINES = (1, 2, 5, 10)
SMALLEST_TURN, WIDEST_TURN = 0.02, 20.0  # degrees
SAME_WIDTH = 0.03
NEAR_AXIS = 0.9  # cosine of the angle to an axis of the laboratory that is taken for it


def diagnose_stills(
    experiments: Experiments, table: ReflectionTable, known: Known, params: IndexParams, workers: int
) -> tuple[Diagnosis, ...]:
    """That stills, indexed one by one as `experiments`, are images of a rotation; the spots of `table` are theirs."""
    for template in dict.fromkeys(e.imageset.template for e in experiments if e.imageset and e.is_still):
        own = [(n, e) for n, e in enumerate(experiments) if e.imageset and e.imageset.template == template]
        series = sorted(own, key=lambda item: item[1].scan.image_range[0] if item[1].scan else 0)
        turn = turn_of_stills([e for _, e in series])
        if turn is None:
            continue
        axis, width = turn
        numbers = np.array([n for n, _ in series])
        spots = table.select(np.isin(table["id"], numbers))
        sweep, joined = _as_sweep([e for _, e in series], spots, axis, width)
        one = experiments.with_items([sweep])
        trial = trial_lattice(one, inner(one, joined, TRIAL_SPOTS), known=known, params=params, workers=workers)
        if trial is None:
            continue
        explained = trial.share_of(joined, params.indexing.index_assignment.simple.hkl_tolerance)
        text = ",".join(f"{v:g}" for v in axis)
        evidence = (
            f"By their headers these are stills, but the crystal turns by {width:.2f} degrees about {text} from each "
            f"to the next; as a rotation {100 * explained:.0f} % of the spots of all images fit one lattice"
        )
        words = (("geometry.scan.oscillation", f"0,{width:.4g}"), ("geometry.goniometer.axis", text))
        given = " ".join([shlex.quote(f"template={template}"), *(f"{name}={value}" for name, value in words)])
        commands = (
            f"dials.import {given} output.experiments=rotation.expt",
            "dials.find_spots rotation.expt output.reflections=rotation.refl",
            " ".join(["dials.index rotation.expt rotation.refl", *known.words]),
        )
        return (Diagnosis("an unrecorded rotation", explained, evidence, commands, words),)
    return ()


def turn_of_stills(series: list[Experiment]) -> tuple[Float64[np.ndarray, "3"], float] | None:
    """The axis and the angle (degrees) by which crystals turn from each image to the next, if most do so alike.

    Turns from each image to the next tell the angle roughly; with it, those between distant images tell it better.
    """
    numbers = np.array([e.scan.image_range[0] for e in series if e.scan is not None])
    settings = [_as_measured(e) for e in series if e.scan is not None]
    turns = _turns(numbers, settings, 1)
    if len(turns) < FEWEST_PAIRS:
        return None
    middle = np.median(turns, axis=0)
    if np.linalg.norm(middle) < SMALLEST_TURN or len(_alike(turns, middle)) < AGREEING * len(turns):
        return None
    for apart in BASELINES:
        longer = _alike(_turns(numbers, settings, apart) / apart, middle)
        if apart * np.linalg.norm(middle) < WIDEST_TURN and len(longer) >= FEWEST_PAIRS:
            middle = longer.mean(axis=0)
    width = float(np.linalg.norm(middle))
    return _laboratory_axis(middle / width), _round_number(width)


def _alike(turns: Float64[np.ndarray, "n 3"], middle: Float64[np.ndarray, "3"]) -> Float64[np.ndarray, "m 3"]:
    """The turns that are near to the middle one."""
    return turns[np.linalg.norm(turns - middle, axis=1) < AGREES * np.linalg.norm(middle)]


def _round_number(width: float) -> float:
    """The multiple of 0.05 degrees that the width is near to, as instruments mostly have it, or two digits of it."""
    whole = round(width / 0.05) * 0.05
    return round(whole if abs(whole - width) < SAME_WIDTH * width else width, 2)


def _turns(numbers: np.ndarray, settings: list[np.ndarray], apart: int) -> Float64[np.ndarray, "n 3"]:
    """Rotation vectors (degrees) between the images that are `apart`."""
    turns = []
    for i, j in zip(*np.nonzero(numbers[None] - numbers[:, None] == apart), strict=True):
        rotation = smallest_rotation(settings[i], settings[j])
        if rotation is not None:
            turns.append(Rotation.from_matrix(rotation).as_rotvec(degrees=True))
    return np.array(turns).reshape(-1, 3)


def _laboratory_axis(axis: Float64[np.ndarray, "3"]) -> Float64[np.ndarray, "3"]:
    """The nearest axis of the laboratory, as goniometers mostly have it, or the axis itself to three digits."""
    largest = int(np.argmax(np.abs(axis)))
    if abs(axis[largest]) > NEAR_AXIS:
        return np.sign(axis[largest]) * np.eye(3)[largest] + 0.0
    return np.round(axis, 3) + 0.0


def _as_measured(e: Experiment) -> Float64[np.ndarray, "3 3"]:
    """The setting matrix in the laboratory, at the angles of the goniometer."""
    assert e.crystal is not None
    if e.goniometer is None or e.scan is None:
        return e.crystal.A
    phi = np.full(3, np.radians(e.scan.oscillation[0]))
    return rlp_to_r(np.ascontiguousarray(e.crystal.A.T), phi, e.goniometer).T


def _as_sweep(
    series: list[Experiment], spots: ReflectionTable, axis: np.ndarray, width: float
) -> tuple[Experiment, ReflectionTable]:
    """The stills as one sweep about the axis, and their spots in it."""
    first, last = series[0], series[-1]
    assert first.goniometer is not None
    assert first.scan is not None
    assert last.scan is not None
    goniometer = replace(
        first.goniometer, axes=axis[None], angles=np.zeros(1), names=("omega",), scan_axis=0, multi_axis=False
    )
    scan = Scan((first.scan.image_range[0], last.scan.image_range[1]), (0.0, width))
    zeros = np.zeros(spots.n_rows, dtype=np.int32)
    sweep = replace(first, goniometer=goniometer, scan=scan, crystal=None)
    return sweep, spots.with_columns({"id": zeros - 1, "imageset_id": zeros})
