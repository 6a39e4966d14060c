"""The demonstration: simulate a small sweep of cubic insulin, process it to merged intensities, compare with the truth.

``python -m puredials.cli.demo [folder]`` (default: demo) leaves all files of the main sequence in the folder, and
demo.html, which sums up.
"""

import contextlib
import json
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from puredials.errors import PuredialsError

if TYPE_CHECKING:
    from puredials.simulate import Agreement, SimulatedSet

__all__ = ["main"]

_PRESET = "insulin_demo"
_STEPS = (
    ("import", "Describe the images", "insulin_1.nxs"),
    ("find_spots", "Find strong spots", "imported.expt"),
    ("index", "Find the lattice that explains them", "imported.expt strong.refl"),
    ("refine", "Refine crystal, beam and detector, as they change along the scan", "indexed.expt indexed.refl"),
    ("integrate", "Predict all reflections and measure their intensities", "refined.expt refined.refl"),
    ("symmetry", "Find the symmetry of the intensities", "integrated.expt integrated.refl"),
    ("scale", "Put all intensities on one scale", "symmetrized.expt symmetrized.refl"),
    ("estimate_resolution", "How far do the data go?", "scaled.expt scaled.refl"),
    ("merge", "Merge equivalent reflections", "scaled.expt scaled.refl"),
)
# Plots of dials.merge.json that go into the page: name, heading, what is to be seen.
_PLOTS = (
    ("cc_one_half", "CC½", "Correlation of two halves of the data, merged apart."),
    ("i_over_sig_i", "I/σ(I)", "Strength of the merged intensities."),
    ("completeness", "Completeness", "Share of the possible reflections that were measured."),
    ("r_pim", "R factors", "Spread of equivalent reflections about their means."),
)
_WIDTH = 100
_SHELLS = 10


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demonstration; the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if len(words) > 1 or words[:1] in (["-h"], ["--help"]):
        _say(f"{__doc__}")
        return 0 if len(words) == 1 else 1
    folder = Path(words[0] if words else "demo")
    start = time.perf_counter()
    try:
        truth = _simulate(folder).truth.resolve()
        with contextlib.chdir(folder):
            times = _process()
            if times is None:
                return 1
            _compare(truth, times)
    except PuredialsError as error:
        print(f"Sorry: {error}", file=sys.stderr)  # noqa: T201
        return 1
    _say(f"The whole demonstration took {time.perf_counter() - start:.0f} s. Open {folder / 'demo.html'} in a browser.")
    return 0


def _simulate(folder: Path) -> "SimulatedSet":
    from puredials.cli.kernel_cache import choose_kernel_cache

    choose_kernel_cache()
    from puredials.execute import Threads, available_processors
    from puredials.simulate.config import read_config
    from puredials.simulate.dataset import simulate

    config = read_config(_PRESET)
    n = sum(sweep.n_images for sweep in config.sweeps)
    _heading("Simulate", f"{n} images of cubic insulin, of which we know the truth")
    _say("(The first time each step is run, its inner loops are compiled: this takes a minute in all, once.)")
    start = time.perf_counter()
    with Threads(available_processors()) as executor:
        data = simulate(config, folder, executor=executor)
    for sweep in data.sweeps:
        _say(f"{sweep.path}: {sweep.n_images} images with {sweep.n_reflections} reflections")
    _say(f"[{time.perf_counter() - start:.1f} s]")
    return data


def _process() -> list[tuple[str, float]] | None:
    """Run the programs of the main sequence in the current folder; the seconds of each, or None after a failure."""
    times = []
    for name, purpose, files in _STEPS:
        _heading(f"dials.{name} {files}", purpose)
        program = import_module(f"puredials.cli.{'import_' if name == 'import' else name}")
        start = time.perf_counter()
        if program.main(files.split()) != 0:
            return None
        times.append((f"dials.{name}", time.perf_counter() - start))
        _say(f"[{times[-1][1]:.1f} s]")
    return times


def _compare(truth: Path, times: list[tuple[str, float]]) -> None:
    import gemmi
    import numpy as np

    from puredials.simulate.agreement import agreement_with_truth

    _heading("The result", "merging statistics, as dials.scale found them")
    _say(_merging_table())
    _heading("Compare with the truth", "merged.mtz against the intensities that the images were made from")
    mtz = gemmi.read_mtz_file("merged.mtz")
    intensity, sigma = np.array(mtz.column_with_label("IMEAN")), np.array(mtz.column_with_label("SIGIMEAN"))
    hkl = np.asarray(mtz.make_miller_array())
    measured = np.isfinite(intensity) & (sigma > 0)
    agreement = agreement_with_truth(truth, hkl[measured], intensity[measured].astype(np.float64))
    table = _agreement_table(agreement)
    _say(f"Space group {mtz.spacegroup.hm}, cell {' '.join(f'{p:.2f}' for p in mtz.cell.parameters)}")
    _say(table)
    _write_page(agreement, table, times)


def _merging_table() -> str:
    from puredials.io.expt import read_experiments
    from puredials.io.refl import read_reflections
    from puredials.merging.tables import merging_statistics, merging_table
    from puredials.merging.unique import merge_data

    merged = merge_data(read_experiments(Path("scaled.expt")), read_reflections(Path("scaled.refl")))
    return merging_table(merging_statistics(merged, _SHELLS))


def _agreement_table(agreement: "Agreement") -> str:
    lines = ["    d_max    d_min   reflections   CC with true intensities"]
    rows = zip(agreement.d_max, agreement.d_min, agreement.count, agreement.cc, strict=True)
    lines += [f"{d_max:9.2f}{d_min:9.2f}{count:14d}{cc:27.4f}" for d_max, d_min, count, cc in rows]
    whole = agreement.d_max.max(), agreement.d_min.min(), agreement.count.sum(), agreement.cc_all
    lines.append("{:9.2f}{:9.2f}{:14d}{:27.4f}   (all)".format(*whole))
    return "\n".join(lines)


def _write_page(agreement: "Agreement", table: str, times: list[tuple[str, float]]) -> None:
    from puredials.report.page import Section, figure, write_page

    middle = 0.5 * (agreement.d_max**-2 + agreement.d_min**-2)
    truth = figure(
        [{"x": middle.tolist(), "y": agreement.cc.tolist(), "mode": "lines+markers", "name": "CC"}],
        x="1/d² (1/Å²)",
        y="correlation with the true intensities",
    )
    names = [name for name, _ in times]
    bars = [{"type": "bar", "x": names, "y": [round(seconds, 1) for _, seconds in times]}]
    duration = figure(bars, x="", y="time (s), compilation included")
    merging = json.loads(Path("dials.merge.json").read_text())
    sections = [
        Section("Against the truth", "Merged intensities and those that the images were made from.", truth, log=table),
        *(Section(title, text, merging[name]) for name, title, text in _PLOTS if name in merging),
        Section("Time", "What each program took; the first run compiles the inner loops.", duration),
    ]
    write_page(Path("demo.html"), "From simulated images to merged intensities", sections)


def _heading(title: str, purpose: str) -> None:
    _say(f"\n{'=' * _WIDTH}\n{title}\n    {purpose}\n{'=' * _WIDTH}")


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
