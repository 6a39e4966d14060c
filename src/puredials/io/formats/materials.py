"""How strongly sensors attenuate X-rays."""

import numpy as np

from puredials.errors import FileError

__all__ = ["HC", "attenuation", "material_symbol"]

HC = 12398.4197386209  # eV Angstrom

# Mass attenuation coefficients of silicon (keV, cm2/g), Hubbell & Seltzer (1995), NISTIR 5632, without the K edge at
# 1.84 keV. Interpolated in logarithms as its authors do; other programs of the field use the same numbers.
_SILICON = np.array(
    [
        (2.0, 2777.0),
        (3.0, 978.4),
        (4.0, 452.9),
        (5.0, 245.0),
        (6.0, 147.0),
        (8.0, 64.68),
        (10.0, 33.89),
        (15.0, 10.34),
        (20.0, 4.464),
        (30.0, 1.436),
        (40.0, 0.7012),
        (50.0, 0.4385),
        (60.0, 0.3207),
        (80.0, 0.2228),
        (100.0, 0.1835),
    ]
)
_DENSITY = {"Si": 2.33, "CdTe": 5.85, "GaAs": 5.31, "Ge": 5.323}  # g/cm3
_NAMES = {"silicon": "Si", "si": "Si", "cdte": "CdTe", "gaas": "GaAs", "germanium": "Ge", "ge": "Ge"}


def material_symbol(name: str) -> str:
    """The formula of a sensor material as headers name it ("Silicon", "CdTE"); "" for none."""
    if not name.strip():
        return ""
    symbol = _NAMES.get(name.strip().lower())
    if symbol is None:
        raise FileError(
            f'The sensor material "{name}" is not one of {", ".join(_DENSITY)}; its absorption is not known.'
        )
    return symbol


def attenuation(material: str, wavelength: float) -> float:
    """Linear attenuation coefficient (1/mm) of a sensor material (formula) at a wavelength (Angstrom)."""
    energy = HC / wavelength
    if material == "Si" and _SILICON[0, 0] <= energy / 1000 <= _SILICON[-1, 0]:
        log_mu = np.interp(np.log(energy / 1000), np.log(_SILICON[:, 0]), np.log(_SILICON[:, 1]))
        return float(np.exp(log_mu)) * _DENSITY["Si"] / 10
    import xraydb  # slow to import, and seldom needed

    return float(xraydb.material_mu(material, energy, density=_DENSITY[material], kind="total")) / 10
