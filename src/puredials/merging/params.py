"""Parameters of merging, of the estimate of the resolution, and of exports."""

from typing import Literal

from puredials.params import Params, param

__all__ = [
    "FreeFlagParams",
    "FrenchWilsonParams",
    "MergeParams",
    "MergingStatisticsParams",
    "ResolutionParams",
    "UnmergedParams",
]

Cell = tuple[float, float, float, float, float, float]


class FrenchWilsonParams(Params):
    """Amplitudes from intensities."""

    min_reflections: int = param(200, "Fewer reflections than these do not give a mean intensity.", ge=1, expert=1)
    fallback_to_flat_prior: bool = param(
        True, "With fewer reflections assume a flat prior; otherwise write no amplitudes.", expert=1
    )


class FreeFlagParams(Params):
    """Test set for cross-validation in refinement."""

    generate: bool = param(True, "Write a FreeR_flag column; test reflections have the value 0 (as in CCP4).")
    fraction: float = param(0.05, "Share of the reflections in the test set.", gt=0, le=0.5)
    max_free: int | None = param(2000, "Largest number of test reflections (None: no limit).", ge=1)
    use_lattice_symmetry: bool = param(
        True, "Reflections related by a symmetry of the lattice share a flag, so that twinning leaks nothing."
    )
    lattice_symmetry_max_delta: float = param(
        5.0, "Largest misfit of the cell with a symmetry of the lattice.", unit="deg", ge=0, expert=1
    )
    seed: int = param(0, "Another number chooses other test reflections.", ge=0, expert=1)
    reference: str | None = param(None, "MTZ file whose free flags are copied, and extended to further reflections.")


class MergingStatisticsParams(Params):
    """Statistics printed and plotted."""

    n_bins: int = param(20, "Shells of resolution in the tables.", ge=1)
    anomalous: bool = param(False, "Keep Friedel mates apart in the statistics.")


class MergeParams(Params):
    """Merging of scaled observations."""

    anomalous: bool = param(True, "Write I and F of Friedel mates too.")
    truncate: bool = param(True, "Write amplitudes, estimated as by French & Wilson (1978).")
    french_wilson: FrenchWilsonParams = FrenchWilsonParams()
    d_min: float | None = param(None, "Leave out reflections beyond this resolution.", unit="A", gt=0)
    d_max: float | None = param(None, "Leave out reflections of lower resolution.", unit="A", gt=0)
    combine_partials: bool = param(True, "Add the parts of a reflection that was recorded in parts.", expert=1)
    partiality_threshold: float = param(0.4, "Leave out reflections recorded by less than this.", ge=0, le=1)
    best_unit_cell: Cell | None = param(None, "Cell for d and for the MTZ file; else the median of all crystals.")
    wavelength_tolerance: float = param(
        1e-4, "Data whose wavelengths differ by no more than this are of one data set.", unit="A", ge=0, expert=1
    )
    n_residues: int = param(200, "Residues in the asymmetric unit, for absolute scale.", ge=1, expert=1)
    r_free_flags: FreeFlagParams = FreeFlagParams()
    merging: MergingStatisticsParams = MergingStatisticsParams()


class ResolutionParams(Params):
    """Where the data end: each limit is the resolution at which a fitted curve crosses the value given."""

    cc_half: float | None = param(0.3, "Least correlation of half data sets.", ge=-1, le=1)
    cc_half_method: Literal["half_dataset", "sigma_tau"] = param(
        "half_dataset", "From random halves (their mean over several), or from variances (Assmann et al. 2016)."
    )
    cc_half_significance_level: float | None = param(
        0.1, "Shells whose correlation is not significant at this level end the data too.", gt=0, lt=1
    )
    cc_half_fit: Literal["tanh", "polynomial"] = param("tanh", "Curve fitted to the correlations.")
    cc_ref: float = param(0.1, "Least correlation with the reference data.", ge=-1, le=1)
    isigma: float | None = param(None, "Least unmerged <I/sigma(I)>.", gt=0)
    misigma: float | None = param(None, "Least merged <I/sigma(I)>.", gt=0)
    i_mean_over_sigma_mean: float | None = param(None, "Least unmerged <I>/<sigma(I)>.", gt=0)
    completeness: float | None = param(None, "Least completeness.", gt=0, le=1)
    rmerge: float | None = param(None, "Largest Rmerge.", gt=0)
    nbins: int = param(100, "Largest number of shells.", ge=3)
    reflections_per_bin: int = param(10, "Least number of unique reflections in a shell.", ge=2)
    binning_method: Literal["counting_sorted", "volume"] = param(
        "counting_sorted", "Shells of about equal numbers of reflections, or of equal volume."
    )
    anomalous: bool = param(False, "Keep Friedel mates apart.")
    reference: str | None = param(None, "Merged MTZ file of reference data.")
    emax: float | None = param(4.0, "Leave out intensities of more than emax^2 times the local mean.", gt=0, expert=1)


class UnmergedParams(Params):
    """Which observations are exported unmerged, and which of their intensities."""

    intensity: Literal["auto", "profile", "sum", "scale", "profile+sum"] = param(
        "auto", "Intensities written; auto: scaled ones if there are, else profile-fitted and summed."
    )
    combine_partials: bool = param(True, "Add the parts of a reflection that was recorded in parts.", expert=1)
    partiality_threshold: float = param(0.4, "Leave out reflections recorded by less than this.", ge=0, le=1)
    min_isigi: float = param(-5.0, "Leave out reflections of a lower I/sigma(I).")
    d_min: float | None = param(None, "Leave out reflections beyond this resolution.", unit="A", gt=0)
    best_unit_cell: Cell | None = param(None, "Cell for d and for the file; else the median of all crystals.")
    wavelength_tolerance: float = param(
        1e-4, "Data whose wavelengths differ by no more than this are of one data set.", unit="A", ge=0, expert=1
    )
