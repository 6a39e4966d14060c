"""puredials process, from images whose header lies to merged intensities, and once more."""

import shutil

import gemmi
import h5py
import numpy as np
import pytest

from puredials.cli.process import main


def invert_rotation_axis(name: str, item: object) -> None:
    if name.endswith("/omega") and isinstance(item, h5py.Dataset):
        item.attrs["vector"] = -item.attrs["vector"]


@pytest.mark.slow
def test_an_inverted_axis_is_found_and_mended_and_finished_stages_are_not_repeated(
    insulin_small, tmp_path, monkeypatch, capsys
):
    images = tmp_path / "images"
    shutil.copytree(insulin_small.folder, images)
    master = images / "insulin_1.nxs"
    with h5py.File(master, "r+") as file:
        file.visititems(invert_rotation_axis)
    monkeypatch.chdir(tmp_path)
    assert main([str(master)]) == 0
    said = capsys.readouterr().out
    assert "Geometry: geometry.goniometer.invert_rotation_axis=True" in said
    assert "Symmetry: symmetry" in said
    mtz = gemmi.read_mtz_file("merged.mtz")
    assert np.allclose(mtz.cell.parameters[:3], 77.9, atol=0.2)
    assert mtz.spacegroup is not None
    assert mtz.spacegroup.laue_str() == "m-3"
    assert (tmp_path / "scaled_unmerged.mtz").exists()
    assert "invert_rotation_axis" in (tmp_path / "puredials.process.html").read_text(encoding="utf-8")

    assert main([str(master), "d_min=3"]) == 0
    said = capsys.readouterr().out
    assert "dials.integrate: done before" in said
    assert "dials.scale: done before" in said
    assert "Resolution: 3.00. As asked for" in said
    assert gemmi.read_mtz_file("merged.mtz").resolution_high() > 2.99
