"""Unmerged intensities in PDBx/mmCIF files."""

from pathlib import Path

import gemmi
import numpy as np
from jaxtyping import Float64, Int, Int32

from puredials.errors import FileError

__all__ = ["write_unmerged_mmcif"]


def write_unmerged_mmcif(
    path: Path | str,
    hkl: Int32[np.ndarray, "n 3"],
    intensity: Float64[np.ndarray, " n"],
    sigma: Float64[np.ndarray, " n"],
    batch: Int[np.ndarray, " n"],
    angle: Float64[np.ndarray, " n"],
    *,
    cell: gemmi.UnitCell,
    space_group: gemmi.SpaceGroup,
    wavelength: float,
) -> None:
    """Write a ``diffrn_refln`` loop with the indices as measured; `angle` is the scan angle in degrees."""
    block = gemmi.cif.Block("unmerged")
    block.set_pair("_entry.id", "unmerged")
    block.set_pair("_diffrn.id", "1")
    block.set_pair("_diffrn_radiation_wavelength.id", "1")
    block.set_pair("_diffrn_radiation_wavelength.wavelength", f"{wavelength:.6g}")
    for name, value in zip(
        ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma"), cell.parameters, strict=True
    ):
        block.set_pair(f"_cell.{name}", f"{value:.6g}")
    block.set_pair("_symmetry.space_group_name_H-M", gemmi.cif.quote(space_group.xhm()))
    block.set_pair("_symmetry.Int_Tables_number", str(space_group.number))
    tags = ["id", "diffrn_id", "wavelength_id", "index_h", "index_k", "index_l", "intensity_net", "intensity_sigma"]
    loop = block.init_loop("_diffrn_refln.", [*tags, "angle_omega", "pdbx_image_id"])
    numbers = (f"{v:.6g}" for v in np.column_stack([intensity, sigma, angle]).ravel())
    text = np.array(list(numbers), dtype=object).reshape(-1, 3)
    columns = [
        [str(i + 1) for i in range(len(hkl))],
        ["1"] * len(hkl),
        ["1"] * len(hkl),
        *([str(v) for v in hkl[:, i].tolist()] for i in range(3)),
        text[:, 0].tolist(),
        text[:, 1].tolist(),
        text[:, 2].tolist(),
        [str(v) for v in batch.tolist()],
    ]
    loop.set_all_values(columns)
    document = gemmi.cif.Document()
    document.add_copied_block(block)
    try:
        document.write_file(str(path))
    except (OSError, RuntimeError) as error:
        raise FileError(f"{path} cannot be written ({error}).") from error
