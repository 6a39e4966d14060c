"""Parameters of reindexing; names as in DIALS's `reindex`."""

from puredials.params import Params, param

__all__ = ["ReindexParams"]


class ReindexParams(Params):
    """Parameters of `dials.reindex`."""

    change_of_basis_op: str | None = param(
        "a,b,c",
        "New axes (a+b,a-b,c), indices (h+k,h-k,l) or coordinates (x+y,x-y,z) in terms of the old ones. Auto, or with "
        "a reference: the change that best brings cell and intensities to those of the reference or, where these do "
        "not tell, its orientation.",
    )
    hkl_offset: tuple[int, int, int] | None = param(
        None, "Is added to all indices before the change of basis.", expert=1
    )
    space_group: str | None = param(None, "Space group, or its number, after the change of basis.")
