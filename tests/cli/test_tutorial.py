"""The tutorial "Processing in Detail", its three parts, typed as it stands but for where the images are.

The images are simulated: insulin on a small detector, named as in the tutorial. Crystals 4 and 6 are in the other of
the two settings that the lattice allows, so that the third part has an ambiguity to resolve.
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import gemmi
import numpy as np
import pytest

from puredials.execute import Threads
from puredials.io.expt import read_experiments
from puredials.io.refl import read_reflections
from puredials.merging import merge_data
from puredials.model import Flags
from puredials.simulate import SimulationConfig, agreement_with_truth, simulate

pytestmark = pytest.mark.slow

PREFIX = "/dls/i03/data/2023/mx37045-1"
PART_1 = """
    dials.version
    dials.index -c -e2 | less
    mkdir tutorial-1
    cd tutorial-1
    dials.import /dls/i03/data/2023/mx37045-1/TestInsulin/ins_1/ins_1_1.nxs image_range=1,450
    dials.image_viewer imported.expt
    dials.find_spots imported.expt
    dials.image_viewer imported.expt strong.refl
    dials.reciprocal_lattice_viewer imported.expt strong.refl
    dials.search_beam_position imported.expt strong.refl
    dials.reciprocal_lattice_viewer optimised.expt strong.refl
    dials.index optimised.expt strong.refl
    dials.index imported.expt strong.refl
    dials.refine_bravais_settings indexed.expt indexed.refl
    dials.refine indexed.expt indexed.refl
    dials.report refined.expt refined.refl
    dials.integrate refined.expt refined.refl
    dials.image_viewer integrated.expt integrated.refl
    dials.show integrated.expt integrated.refl
    dials.symmetry integrated.expt integrated.refl
    dials.scale symmetrized.expt symmetrized.refl anomalous=True
    dials.scale symmetrized.expt symmetrized.refl absorption_level=high
    dials.scale symmetrized.expt symmetrized.refl
    dials.estimate_resolution scaled.expt scaled.refl
    dials.scale symmetrized.expt symmetrized.refl d_min=1.52
    dials.export scaled.expt scaled.refl
    dials.merge scaled.expt scaled.refl
"""
PART_2 = """
    cd ..
    mkdir tutorial-2
    cd tutorial-2
    dials.import /dls/i03/data/2023/mx37045-1/TestInsulin/ins_1/ins_1_{1,2}.nxs image_range=1,225
    dials.find_spots imported.expt
    dials.index imported.expt strong.refl
    dials.reciprocal_lattice_viewer imported.expt strong.refl
    dials.refine indexed.expt indexed.refl
    dials.integrate refined.expt refined.refl
    dials.symmetry integrated.expt integrated.refl
    dials.scale symmetrized.expt symmetrized.refl
"""
PART_3 = """
    cd ..
    mkdir tutorial-3
    cd tutorial-3
    dials.import /dls/i03/data/2023/mx37045-1/TestInsulin/ins_{3,4,5,6}/ins_?_1.nxs image_range=1,225
    dials.find_spots imported.expt
    dials.index imported.expt strong.refl joint=false
    dials.refine indexed.expt indexed.refl
    dials.integrate refined.expt refined.refl
    dials.cosym integrated.expt integrated.refl
    dials.scale symmetrized.expt symmetrized.refl
"""
# Columns of the tables that the tutorial shows.
RMSDS = ("Exp", "Nref", "RMSD_X", "RMSD_Y", "RMSD_Z")
SHARES = ("Imageset", "# indexed", "# unindexed", "% indexed")
LATTICES = ("Solution", "Metric fit", "rmsd", "min/max cc", "#spots", "lattice", "unit_cell", "volume", "cb_op")
OPERATIONS = ("likelihood", "Z-CC", "CC", "N", "", "Operator")
LATTICE_LIST = """
aP: P1
oF: F222
oI: I222 I212121
tI: I4 I41 I422 I4122
hR: R3:H R32:H
cI: I23 I213 I432 I4132
mI: I2
"""
# Programs that serve a page until they are told to end.
VIEWERS = ("dials.image_viewer", "dials.reciprocal_lattice_viewer")


class Student:
    """Types lines into a shell whose folder stays where `cd` has brought it; keeps what was said to each."""

    def __init__(self, folder: Path) -> None:
        self.folder = self._root = folder
        scripts = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        self._environment = {**os.environ, "PATH": scripts, "BROWSER": "true"}

    def types(self, script: str) -> dict[str, str]:
        said = {}
        for line in script.strip().splitlines():
            typed = line.strip()
            here = typed.replace(PREFIX, str(self._root))
            said[typed] = self._look(here) if typed.startswith(VIEWERS) else self._type(here)
        return said

    def _look(self, line: str) -> str:
        """Start a viewer, look at its page, and end it."""
        words = ["bash", "-c", f"exec {line}"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        with subprocess.Popen(words, cwd=self.folder, env=self._environment, **pipes) as viewer:
            assert viewer.stdout is not None
            said = ""
            for text in viewer.stdout:
                said += text
                if "The viewer is at" in text:
                    break
            address = re.search(r"http://\S+", said)
            assert address, said
            with urlopen(address.group(), timeout=60) as page:
                said += page.read().decode()
            viewer.send_signal(signal.SIGTERM)
            viewer.communicate(timeout=60)
        assert viewer.returncode == 0, line
        return said

    def _type(self, line: str) -> str:
        where = self._root / "where"
        shell = ["bash", "-e", "-o", "pipefail", "-c", f"{line}\npwd > '{where}'"]
        done = subprocess.run(shell, cwd=self.folder, env=self._environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        assert done.stderr == "" or "compil" in done.stderr.lower(), f"{line}\n{done.stderr}"
        self.folder = Path(where.read_text().strip())
        return done.stdout


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    """Sits in a folder beside simulated images."""
    root = tmp_path_factory.mktemp("tutorial")
    sweeps = [
        {"name": "ins_1_1", "n_images": 450},
        {"name": "ins_1_2", "n_images": 225, "start_deg": 20, "fixed_angles_deg": {"chi": 30, "phi": 70}},
    ]
    make(root, "ins_1", {"orientation_seed": 3, "mosaicity_deg": 0.09}, sweeps)
    for number in (3, 4, 5, 6):
        crystal = {"orientation_seed": 30 + number, "alternative_setting": number % 2 == 0, "cell_variation": 0.001}
        sweeps = [{"name": f"ins_{number}_1", "n_images": 225, "start_deg": 15 * number}]
        make(root, f"ins_{number}", crystal, sweeps)
    return Student(root)


def make(root: Path, name: str, crystal: dict, sweeps: list[dict]) -> None:
    config = {
        "name": name,
        "seed": int(name[-1]),
        "protein": {
            "space_group": "I 21 3", "cell": [77.9, 77.9, 77.9, 90, 90, 90], "B": 28, "seed": 7790, "d_min": 2.0,
            "photons_at_4A": 1500,
        },
        "detector": {"type": "eiger_500k", "distance_mm": 85, "beam_centre_px": [518.3, 264.9]},
        "crystals": [crystal],
        "sweeps": sweeps,
    }  # fmt: skip
    with Threads(2) as executor:
        simulate(SimulationConfig.model_validate(config), root / "TestInsulin" / name, executor=executor)


def rows(text: str, columns: tuple[str, ...]) -> list[list[str]]:
    """The cells of the last table with these columns."""
    found: list[list[str]] = []
    inside = False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if tuple(cells[: len(columns)]) == columns:
            found, inside = [], True
        elif inside and len(cells) >= len(columns) and not line.startswith("|-") and cells[1] != "":
            found.append(cells)
        elif not line.startswith(("|", "+")):
            inside = False
    assert found, f"no table with the columns {columns} in:\n{text}"
    return found


def numbers(cells: list[str]) -> list[float]:
    return [float(cell.rstrip("%")) for cell in cells]


def indexed_shares(said: str) -> list[float]:
    return [numbers(row)[3] for row in rows(said, SHARES)]


def rmsds(said: str) -> np.ndarray:
    data = [row for row in rows(said, RMSDS) if row[0].isdigit()]
    return np.array([numbers(row) for row in data])[:, 2:]


def correlation_with_truth(student: Student) -> float:
    """Of the merged scaled intensities of the current folder."""
    merged = merge_data(
        read_experiments(student.folder / "scaled.expt"), read_reflections(student.folder / "scaled.refl")
    )
    truth = student.folder.parent / "TestInsulin" / "ins_1" / "truth.h5"
    return agreement_with_truth(truth, merged.hkl, merged.mean.value).cc_all


def overall(said: str, name: str) -> float:
    """A figure of the summary of merging statistics, of all data."""
    line = re.search(rf"^{re.escape(name)}\s.*?(\S+)$", said, re.MULTILINE)
    assert line, f"{name} is not in:\n{said}"
    return float(line.group(1))


def test_part_1_one_sweep(student):
    said = student.types(PART_1)
    assert said["dials.version"].startswith("puredials")
    assert "joint_indexing = True" in said["dials.index -c -e2 | less"]

    assert "num images: 450" in next(text for line, text in said.items() if line.startswith("dials.import"))
    assert "1                         image                          450" in said["dials.find_spots imported.expt"]
    shift = re.search(r"\((\S+), (\S+) px\)", said["dials.search_beam_position imported.expt strong.refl"])
    assert shift
    assert np.allclose([float(v) for v in shift.groups()], [-1.2, 0.9], atol=0.4)  # as the simulation recorded it

    for line in ("dials.index optimised.expt strong.refl", "dials.index imported.expt strong.refl"):
        assert indexed_shares(said[line])[0] > 98.5
        assert "Refined crystal models:\nmodel 1 (" in said[line]
    before = rmsds(said["dials.index imported.expt strong.refl"])
    after = rmsds(said["dials.refine indexed.expt indexed.refl"])
    assert (after <= before + 0.002).all()
    assert (after < 0.2).all()

    bravais = said["dials.refine_bravais_settings indexed.expt indexed.refl"]
    listed = bravais.split("Chiral space groups corresponding to each Bravais lattice:")[1]
    assert all(line in listed.splitlines() for line in LATTICE_LIST.split("\n") if line)
    table = rows(bravais, LATTICES)
    assert len(table) == 22
    assert [row[5] for row in table].count("mI") == 9
    assert table[0][0].startswith("*")
    assert table[0][5] == "cI"
    assert "* = recommended solution" in bravais
    assert (student.folder / "bravais_setting_22.expt").exists()

    symmetry = said["dials.symmetry integrated.expt integrated.refl"]
    operations = rows(symmetry, OPERATIONS)
    assert len(operations) == 17
    present = {row[5][0] for row in operations if row[4] == "***"}
    assert present == {"1", "2", "3"}  # the fourfold axes of the lattice are not in the structure
    assert "Best solution: I m -3" in symmetry

    scaled = said["dials.scale symmetrized.expt symmetrized.refl d_min=1.52"]
    assert overall(scaled, "CC half") > 0.999
    assert overall(scaled, "Rmerge(I)") < 0.03
    assert "Resolution" in said["dials.estimate_resolution scaled.expt scaled.refl"]
    assert "<canvas" in said["dials.image_viewer integrated.expt integrated.refl"]
    assert "<canvas" in said["dials.reciprocal_lattice_viewer imported.expt strong.refl"]
    for page in ("dials.report.html", "dials.scale.html", "dials.estimate_resolution.html", "dials.symmetry.html"):
        assert (student.folder / page).exists()
    assert correlation_with_truth(student) > 0.999
    merged = gemmi.read_mtz_file(str(student.folder / "merged.mtz"))
    assert merged.spacegroup is not None
    assert merged.spacegroup.hm == "I 2 3"
    assert np.allclose(merged.cell.parameters, (77.9, 77.9, 77.9, 90, 90, 90), atol=0.1)
    assert gemmi.read_mtz_file(str(student.folder / "scaled_unmerged.mtz")).nreflections > 10000


def test_part_2_two_sweeps_of_one_crystal(student):
    said = student.types(PART_2)
    found = said["dials.find_spots imported.expt"]
    assert "imageset 0" in found
    assert "imageset 1" in found
    joint = said["dials.index imported.expt strong.refl"]
    shares = indexed_shares(joint)
    assert len(shares) == 2
    assert min(shares) > 98.5
    models = re.findall(r"^model (\d) .*?A = UB:.*?\}\}$", joint, re.MULTILINE | re.DOTALL)
    assert set(models) == {"1", "2"}
    # The recorded angles are a little wrong: it comes out when each sweep has its own crystal.
    before, after = rmsds(joint), rmsds(said["dials.refine indexed.expt indexed.refl"])
    assert before.shape == after.shape == (2, 3)
    assert after.mean() < 0.9 * before.mean()
    assert (after < 0.2).all()
    assert "Best solution: I m -3" in said["dials.symmetry integrated.expt integrated.refl"]
    scaled = said["dials.scale symmetrized.expt symmetrized.refl"]
    assert overall(scaled, "CC half") > 0.999
    assert overall(scaled, "Rmerge(I)") < 0.03
    assert correlation_with_truth(student) > 0.999


def test_part_3_four_crystals(student):
    said = student.types(PART_3)
    table = read_reflections(student.folder / "indexed.refl")
    indexed = np.bincount(table["id"][table.has(Flags.INDEXED)], minlength=4)
    found = np.bincount(table["imageset_id"], minlength=4)
    assert (indexed > 0.97 * found).all()
    assert (rmsds(said["dials.refine indexed.expt indexed.refl"]) < 0.25).all()
    cosym = said["dials.cosym integrated.expt integrated.refl"]
    assert "Reindexing operators:" in cosym
    assert "Recommended space group: I 2 3" in cosym
    scaled = said["dials.scale symmetrized.expt symmetrized.refl"]
    assert overall(scaled, "CC half") > 0.999
    assert overall(scaled, "Rmerge(I)") < 0.035  # 0.3 and more, were they in different settings
    assert correlation_with_truth(student) > 0.999


def test_every_command_that_the_tutorial_shows_is_typed_above(shared):
    text = shared / "TUTORIAL.md"
    shown = re.findall(r"^\s*((?:dials\.\w+ .*|mkdir .*|cd .*))$", text.read_text(encoding="utf-8"), re.MULTILINE)
    typed = {line.strip() for line in (PART_1 + PART_2 + PART_3).splitlines()}
    general = {"dials.program -c -e2", "dials.report step.expt step.refl"}
    assert [line for line in shown if line not in typed | general] == []
