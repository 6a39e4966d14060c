"""What is simulated: the settings of a data set, with their defaults. JSON files hold those that differ.

Frames are those of `puredials.geometry`. Intensities are expected photon counts; "error" marks what the files that a
simulation writes do not tell: recorded = true + error, unless said otherwise.
"""

from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from puredials.errors import FileError, ParameterError
from puredials.params import Params, param

__all__ = [
    "BackgroundConfig",
    "BeamConfig",
    "CrystalConfig",
    "DetectorConfig",
    "ErrorConfig",
    "GoniometerConfig",
    "ProteinConfig",
    "SecondLattice",
    "SimulationConfig",
    "SweepConfig",
    "preset_names",
    "read_config",
]


class ProteinConfig(Params):
    """True structure factors, the same for all crystals."""

    space_group: str = "P 1"
    cell: tuple[float, float, float, float, float, float] = (50.0, 60.0, 70.0, 90.0, 90.0, 90.0)
    B: float = param(20.0, "Overall B factor.", unit="Angstrom^2")
    seed: int = param(1000, "Of the random intensities.")
    d_min: float = param(1.5, "Limit of the structure factors.", unit="Angstrom", gt=0)
    anomalous_rms: float = param(0.012, "r.m.s. of (I+ - I-) / (I+ + I-).")
    protein_shape: bool = param(True, "Give the Wilson curve the dip and peaks of a protein in solvent.")
    photons_at_4A: float = param(2000.0, "Mean photons of a reflection at 4 Angstrom where L P = 1.")


class BeamConfig(Params):
    wavelength: float = param(0.9763, "True wavelength.", unit="Angstrom", gt=0)
    wavelength_error: float = 0.0
    bandwidth: float = param(1.5e-4, "r.m.s. of dlambda / lambda.")
    divergence_deg: tuple[float, float] = param((0.008, 0.004), "r.m.s., horizontal and vertical.")
    polarization: float = param(0.99, "Fraction polarized along x.")
    direction_error_deg: tuple[float, float] = param((0.01, -0.01), "Tilts of the true beam about x and y.")


class DetectorConfig(Params):
    type: str = param("eiger2_1m", "A key of `detector.DETECTORS`.")
    distance_mm: float = 75.0
    beam_centre_px: tuple[float, float] | None = param(None, "True beam centre (None: a little off the middle).")
    two_theta_deg: float = 0.0
    two_theta_axis: tuple[float, float, float] = (1.0, 0.0, 0.0)
    distance_error_mm: float = 0.15
    beam_centre_error_px: tuple[float, float] = (1.2, -0.9)
    tilt_error_deg: tuple[float, float, float] = param((0.08, -0.06, 0.10), "True tilts about x, y, z, unrecorded.")
    point_spread_px: float = 0.35
    parallax: bool | Literal["dxtbx"] = param(
        True, "Shift spots by the mean depth of conversion (dxtbx: by that depth times its probability)."
    )
    module_shift_px: float = param(0.15, "r.m.s. misplacement of modules, unrecorded.")
    module_turn_deg: float = param(0.01, "r.m.s. rotation of modules, unrecorded.")
    n_dead: int = 60
    n_hot: int = 20
    n_hot_unmasked: int = 2
    hot_rate: float = param(40.0, "Mean counts of hot pixels.")
    split_modules: bool = param(False, "Record each module as a panel of its own (NXmx only).")


class GoniometerConfig(Params):
    type: str = param("omega_chi_phi", "A key of `goniometer.GONIOMETERS`.")
    scan_axis: str = "omega"
    axis_error_deg: float = param(0.05, "r.m.s. tilt of each true axis.")
    angle_error_deg: float = param(0.05, "r.m.s. error of each fixed angle.")


class SecondLattice(Params):
    fraction: float = param(0.3, "Its share of the first lattice's intensity.")
    angle_deg: float = 5.0


class CrystalConfig(Params):
    orientation_seed: int = 1
    alternative_setting: bool = param(False, "Index by a lattice symmetry that is not one of the structure.")
    mosaicity_deg: float = param(0.07, "r.m.s. about each axis.")
    size_mm: float = param(0.035, "r.m.s. extent of the lit volume.")
    cell_variation: float = param(0.0, "r.m.s. relative strain.")
    strength: float = 1.0
    absorption: float = 0.06
    absorption_lmax: int = 4
    volume_variation: float = 0.12
    B_per_degree: float = param(0.02, "Radiation damage.", unit="Angstrom^2")
    decay_per_degree: float = 0.0008
    cell_expansion_per_degree: float = 4e-6
    slip_deg: float = param(0.03, "r.m.s. slip over a sweep, about each axis.")
    second_lattice: SecondLattice | None = None


class SweepConfig(Params):
    crystal: int = 0
    n_images: int = param(450, "Number of images.", ge=1)
    width_deg: float = 0.2
    start_deg: float = 0.0
    fixed_angles_deg: dict[str, float] = param({}, "Angles of the other axes by name; 0 where none is given.")
    name: str | None = None


class BackgroundConfig(Params):
    mean: float = param(0.4, "Counts a pixel and image.")
    air: float = 1.0
    water: float = 1.0
    flat: float = 0.25
    ice: float = 0.0
    modulation: float = param(0.10, "Slow relative variation with rotation.")
    beamstop_mm: float = param(1.2, "Radius of its shadow.")
    beamstop_arm: bool = True


class ErrorConfig(Params):
    multiplicative: float = param(0.02, "r.m.s. relative error of an observation.")
    flicker: float = param(0.01, "r.m.s. relative beam intensity of an image.")
    position_px: float = param(0.15, "r.m.s. shift of a spot (imperfect crystal).")
    phi_deg: float = param(0.015, "r.m.s. shift of a spot along the rotation, times |zeta|.")


class SimulationConfig(Params):
    """A data set: crystals of one protein, and sweeps of them."""

    comment: str = ""
    name: str = "simulated"
    seed: int = 1
    format: Literal["nxmx", "cbf"] = "nxmx"
    images_per_file: int = param(200, "Of the data files of an NXmx set.", ge=1)
    protein: ProteinConfig = ProteinConfig()
    beam: BeamConfig = BeamConfig()
    detector: DetectorConfig = DetectorConfig()
    goniometer: GoniometerConfig = GoniometerConfig()
    exposure_s: float = 0.02
    crystals: tuple[CrystalConfig, ...] = (CrystalConfig(),)
    sweeps: tuple[SweepConfig, ...] = (SweepConfig(),)
    background: BackgroundConfig = BackgroundConfig()
    errors: ErrorConfig = ErrorConfig()

    def sweep_name(self, number: int) -> str:
        """The prefix of the files of a sweep."""
        return self.sweeps[number].name or f"{self.name}_{number + 1}"


def preset_names() -> list[str]:
    """Names of the configurations that come with the package."""
    folder = resources.files("puredials.simulate") / "presets"
    return sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json"))


def read_config(source: str | Path) -> SimulationConfig:
    """The configuration in a JSON file, or of a preset."""
    if str(source) in preset_names():
        text = (resources.files("puredials.simulate") / "presets" / f"{source}.json").read_text()
    else:
        try:
            text = Path(source).read_text()
        except OSError as error:
            presets = ", ".join(preset_names())
            raise FileError(f"{source} is neither a readable JSON file nor one of the presets {presets}") from error
    try:
        return SimulationConfig.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ParameterError(f"{source}: {where or 'the file'}: {first['msg']}") from error
