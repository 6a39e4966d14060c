"""The demonstration from images to merged intensities."""

import re
import subprocess
import sys

import gemmi
import pytest

from puredials.cli import demo


@pytest.mark.slow
def test_the_demonstration_ends_at_the_truth(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "puredials.cli.demo"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    said = done.stdout
    overall = re.search(r"(\d\.\d+)   \(all\)", said)
    assert overall is not None
    assert float(overall[1]) > 0.999
    assert "<I/sI>" in said
    mtz = gemmi.read_mtz_file(str(tmp_path / "demo" / "merged.mtz"))
    assert mtz.spacegroup.hm in ("I 2 3", "I 21 3")
    assert mtz.cell.a == pytest.approx(77.9, abs=0.2)
    page = (tmp_path / "demo" / "demo.html").read_text()
    assert all(word in page for word in ("Against the truth", "Completeness", "Time"))


def test_help_says_what_the_demonstration_does(capsys):
    assert demo.main(["--help"]) == 0
    assert "simulate" in capsys.readouterr().out


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert demo.main([str(tmp_path / "file" / "demo")]) == 1
    assert "cannot be made" in capsys.readouterr().err
