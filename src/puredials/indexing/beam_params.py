"""Parameters of the search for the beam centre."""

from puredials.params import Params, param

__all__ = ["BeamSearchParams", "DefaultSearch"]


class DefaultSearch(Params):
    """The `default` scope: the search with the periods of the spots."""

    mm_search_scope: float = param(4.0, "The beam centre is looked for this far from where it is.", unit="mm", gt=0)
    max_cell: float | None = param(
        None,
        "Longest cell edge. Auto: from the distances of neighbouring spots, anew for each trial.",
        unit="Angstrom",
        gt=0,
    )
    d_min: float | None = param(
        None, "Trials use spots to this resolution. Auto: what their grid resolves.", unit="Angstrom", gt=0
    )


class BeamSearchParams(Params):
    """Parameters of `dials.search_beam_position`."""

    nproc: int | None = param(None, "Threads at work (Auto: as many as there are processors).", ge=1)
    image_range: tuple[int, int] | None = param(
        None, "Only spots with centroids on the images from the first to the last one given are used."
    )
    default: DefaultSearch = DefaultSearch()
