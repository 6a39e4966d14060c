"""dials.rl_png: pictures of reciprocal space."""

from typing import TYPE_CHECKING, Literal

from puredials.cli.program import Job, Program
from puredials.params import Params, param

if TYPE_CHECKING:
    import numpy as np

    from puredials.viewer import LatticeView

__all__ = ["PROGRAM", "Options", "Output", "Plot", "main", "pictures", "run"]


class Output(Params):
    """Names of the files written."""

    log: str = param("dials.rl_png.log", "Log.")


class Plot(Params):
    """The pictures."""

    size_inches: tuple[float, float] = param((10.0, 10.0), "Width and height, at 100 pixels an inch.")


class BasisVectorSearch(Params):
    """Vectors of the lattice, looked for among strong spots where there is no crystal yet."""

    n_solutions: int = param(3, "Pictures down so many of them, the best first.", ge=0)


class Options(Params):
    """Parameters of dials.rl_png."""

    reverse_phi: bool = param(False, "Turn about the opposite of the rotation axis.")
    crystal_frame: bool = param(False, "Turn the points of each crystal into its own frame.")
    d_min: float | None = param(None, "High resolution limit.", unit="Angstrom", gt=0)
    z_min: float | None = param(None, "Lowest z of points.", unit="image")
    z_max: float | None = param(None, "Highest z of points.", unit="image")
    display: Literal["all", "unindexed", "indexed", "integrated"] = param("all", "Which points.")
    outlier_display: Literal["outliers", "inliers"] | None = param(None, "Only outliers, or all others.")
    experiment_ids: tuple[int, ...] = param((), "Only points of these experiments (-1: of none).")
    black_background: bool = param(True, "Black ground, else white.")
    marker_size: float = param(5.0, "Diameter of the points.", unit="px", ge=1)
    basis_vector_search: BasisVectorSearch = BasisVectorSearch()
    plot: Plot = Plot()
    output: Output = Output()


PROGRAM = Program(
    "dials.rl_png",
    Options,
    "Write pictures (PNG) of the spots in reciprocal space, down the axes of experiment and crystal.",
    takes="indexed.expt indexed.refl [name=value ...]",
    examples=("dials.rl_png indexed.expt indexed.refl", "dials.rl_png indexed.expt indexed.refl display=unindexed"),
)


def run(job: Job) -> None:
    from puredials.report.pictures import write_png
    from puredials.viewer import LatticeView

    view = LatticeView(job.experiments, job.reflections)
    for name, image in pictures(view, job.params).items():
        job.write(f"rl_{name}.png", lambda path, image=image: write_png(path, image), "the view")


def pictures(view: "LatticeView", params: Options) -> "dict[str, np.ndarray]":
    """RGB pictures by the direction that is looked down."""
    import numpy as np

    from puredials.errors import InputError
    from puredials.report.pictures import draw_points, view_down

    shown = view.shown(
        display=params.display, outlier_display=params.outlier_display, experiment_ids=params.experiment_ids,
        d_min=params.d_min, z_min=params.z_min, z_max=params.z_max,
        invert=params.reverse_phi, crystal_frame=params.crystal_frame,
    )  # fmt: skip
    if len(shown.rlp) == 0:
        raise InputError("No point passes the filters: widen d_min, z_min, z_max, display or experiment_ids.")
    width, height = (max(1, round(100 * inches)) for inches in params.plot.size_inches)
    ground = 0 if params.black_background else 255
    found: dict[str, np.ndarray] = {}
    directions = list(view.directions(crystal_frame=params.crystal_frame))
    if all(experiment.crystal is None for experiment in view.experiments):
        directions += _solutions(view, params.basis_vector_search.n_solutions)
    for name, direction, up in directions:
        found[name] = draw_points(
            shown.rlp, shown.colours, view_down(direction, up), size=(width, height), marker=params.marker_size,
            ground=ground,
        )  # fmt: skip
    return found


def _solutions(view: "LatticeView", n: int) -> "list[tuple[str, np.ndarray, np.ndarray]]":
    """Names of vectors of the lattice, these, and what is upwards; none where the spots show none."""
    from puredials.errors import ProcessingError
    from puredials.indexing.fft3d import find_basis_vectors
    from puredials.indexing.max_cell import estimate_max_cell
    from puredials.indexing.params import Fft3d, MaxCellParams
    from puredials.indexing.reciprocal import map_spots, one_per_set, strong_spots

    if n == 0:
        return []
    try:
        strong = strong_spots(view.experiments, view.reflections.without(["shoebox"]))
        spots = map_spots(one_per_set(view.experiments), strong)
        vectors = find_basis_vectors(spots, estimate_max_cell(spots, MaxCellParams()), Fft3d()).vectors[:n]
    except ProcessingError:
        return []
    return [(f"solution_{k + 1}", v, vectors[(k + 1) % len(vectors)]) for k, v in enumerate(vectors)]


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
