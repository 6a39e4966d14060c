"""Parameters of the choice of a Bravais lattice; names as in DIALS's `refine_bravais_settings`."""

from puredials.indexing.params import StaticParameterisation, StaticRefinement
from puredials.params import Params, param
from puredials.refinement.params import BeamParams, DetectorParams

__all__ = ["BravaisParams"]


class BravaisParams(Params):
    """Parameters of `dials.refine_bravais_settings`."""

    lepage_max_delta: float = param(
        5.0, "Tolerance of Le Page's angle: how far a lattice may be from a higher symmetry.", unit="degrees", gt=0
    )
    nproc: int | None = param(None, "Settings refined at a time (Auto: as many as there are processors).", ge=1)
    cc_n_bins: int | None = param(
        None, "Bins of resolution in which intensities are compared (None: all together).", ge=1
    )
    best_monoclinic_beta: bool = param(
        True, "The I-centred cell instead of the C-centred one where its monoclinic angle is nearer to 90 degrees."
    )
    crystal_id: int | None = param(None, "Number of the crystal to look at, if there are several, from 0.", ge=0)
    # Beam and detector stay as they are in the triclinic setting: what does not fit must show.
    refinement: StaticRefinement = StaticRefinement(
        parameterisation=StaticParameterisation(beam=BeamParams(fix=("all",)), detector=DetectorParams(fix="all"))
    )
