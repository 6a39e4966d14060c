"""dials.export: unmerged intensities, or reciprocal lattice points, for other programs."""

from typing import TYPE_CHECKING, Literal

from puredials import __version__
from puredials.cli.program import Job, Program
from puredials.merging.params import Cell, UnmergedParams
from puredials.params import Params, param

if TYPE_CHECKING:
    from puredials.merging.unmerged import UnmergedData

__all__ = ["PROGRAM", "Options", "main", "run"]


class MtzOptions(Params):
    """Selection for all formats of intensities, and the MTZ file."""

    combine_partials: bool = param(True, "Add the parts of a reflection that was recorded in parts.", expert=1)
    partiality_threshold: float = param(0.4, "Leave out reflections recorded by less than this.", ge=0, le=1)
    min_isigi: float = param(-5.0, "Leave out reflections of a lower I/sigma(I).")
    force_static_model: bool = param(False, "Batch headers with one cell and orientation for all images.", expert=1)
    d_min: float | None = param(None, "Leave out reflections beyond this resolution.", unit="A", gt=0)
    hklout: str | None = param(None, "Name of the file (Auto: scaled_unmerged.mtz or integrated.mtz).")
    crystal_name: str = param("XTAL", "Name of the crystal in the MTZ file.", expert=1)
    project_name: str = param("DIALS", "Name of the project in the MTZ file.", expert=1)
    best_unit_cell: Cell | None = param(None, "Cell for d and for the file; else the median of all crystals.")
    wavelength_tolerance: float = param(
        1e-4, "Data whose wavelengths differ by no more than this are of one data set.", unit="A", ge=0, expert=1
    )


class MmcifOptions(Params):
    """The mmCIF file."""

    hklout: str | None = param(None, "Name of the file (Auto: scaled_unmerged.cif or integrated.cif).")


class ShelxOptions(Params):
    """Files for SHELX."""

    hklout: str = param("dials.hkl", "Name of the file of intensities.")
    ins: str = param("dials.ins", "Name of the file of instructions.")
    scale: bool = param(True, "Scale intensities so that the file keeps as many digits as it can.")


class JsonOptions(Params):
    """Reciprocal lattice points."""

    filename: str = param("rlp.json", "Name of the file.")
    compact: bool = param(True, "Without spaces and line breaks.", expert=1)
    n_digits: int = param(6, "Decimal places.", ge=1, le=16)


class Output(Params):
    """Names of further files."""

    log: str = param("dials.export.log", "Log.")


class Options(Params):
    """Parameters of dials.export."""

    format: Literal["mtz", "mmcif", "shelx", "json"] = param("mtz", "Kind of file.")
    intensity: Literal["auto", "profile", "sum", "scale", "profile+sum"] = param(
        "auto", "Intensities written; auto: scaled ones if there are, else profile-fitted and summed."
    )
    mtz: MtzOptions = MtzOptions()
    mmcif: MmcifOptions = MmcifOptions()
    shelx: ShelxOptions = ShelxOptions()
    json_: JsonOptions = param(JsonOptions(), "Reciprocal lattice points.", alias="json")
    output: Output = Output()


PROGRAM = Program(
    "dials.export",
    Options,
    "Write unmerged intensities (MTZ, mmCIF, SHELX) or reciprocal lattice points (JSON).",
    takes="scaled.expt scaled.refl [name=value ...]",
    examples=("dials.export scaled.expt scaled.refl", "dials.export integrated.expt integrated.refl intensity=sum"),
    indexed=True,
)


def run(job: Job) -> None:
    from puredials.merging.unmerged import unmerged_data

    params, table = job.params, job.reflections
    if params.format == "json":
        from puredials.io.rlp import write_rlp

        options = params.json_
        job.write(
            options.filename,
            lambda path: write_rlp(path, job.experiments, table, n_digits=options.n_digits, compact=options.compact),
            f"{table.n_rows} reciprocal lattice points",
        )
        return
    chosen = params.mtz
    selection = UnmergedParams(
        intensity=params.intensity,
        combine_partials=chosen.combine_partials,
        partiality_threshold=chosen.partiality_threshold,
        min_isigi=chosen.min_isigi,
        d_min=chosen.d_min,
        best_unit_cell=chosen.best_unit_cell,
        wavelength_tolerance=chosen.wavelength_tolerance,
    )
    data = unmerged_data(job.experiments, table, params=selection)
    scaled = "scale" in data.intensities
    state = "scaled" if scaled else "unscaled"
    if params.intensity == "auto":
        job.say(f"Data appears to be {state}, setting intensity = {'+'.join(data.intensities)}")
    job.say(f"Read {data.counts['read']} predicted reflections")
    job.say(f"Selected {data.counts['selected']} {'scaled' if scaled else 'integrated'} reflections")
    if data.counts.get("joined"):
        job.say(f"Combined {data.counts['joined']} partial reflections with other partial reflections")
    job.say(f"Removed {data.counts['removed']} reflections of low partiality, low I/Sig(I) or high resolution")
    base = "scaled_unmerged" if scaled else "integrated"
    match params.format:
        case "mtz":
            _write_mtz(job, data, chosen.hklout or f"{base}.mtz")
        case "mmcif":
            _write_mmcif(job, data, params.mmcif.hklout or f"{base}.cif")
        case _:
            _write_shelx(job, data)


def _write_mtz(job: Job, data: "UnmergedData", name: str) -> None:
    from puredials.cli.mtz_text import mtz_summary
    from puredials.io.mtz import space_group_of, write_unmerged_mtz
    from puredials.io.mtz_batches import batch_headers

    options = job.params.mtz
    group, columns = space_group_of(data.symmetry), data.columns()
    batches = [
        header
        for experiment, offset, number in zip(job.experiments, data.offsets, data.dataset, strict=True)
        for header in batch_headers(experiment, offset=offset, dataset=number, force_static=options.force_static_model)
    ]
    job.write(
        name,
        lambda path: write_unmerged_mtz(
            path, data.hkl, data.batch, columns, batches, cell=data.cell, space_group=group,
            wavelengths=data.wavelengths, project=options.project_name, crystal=options.crystal_name,
            history=[f"From puredials {__version__}"],
        ),
        f"{len(data.hkl)} {'scaled' if 'scale' in data.intensities else 'integrated'} reflections",
    )  # fmt: skip
    job.say(f"\nNumber of batches: {len(batches)}")
    job.say(mtz_summary(data.hkl, columns, data.cell, group, data.d))


def _write_mmcif(job: Job, data: "UnmergedData", name: str) -> None:
    from puredials.io.mmcif import write_unmerged_mmcif
    from puredials.io.mtz import space_group_of

    wavelength = _one_wavelength(data)
    value, sigma = next(iter(data.intensities.values()))
    angle = data.columns()["ROT"][1]
    group = space_group_of(data.symmetry)
    job.write(
        name,
        lambda path: write_unmerged_mmcif(
            path, data.hkl, value, sigma, data.batch, angle, cell=data.cell, space_group=group,
            wavelength=wavelength,
        ),
        f"{len(data.hkl)} reflections",
    )  # fmt: skip


def _write_shelx(job: Job, data: "UnmergedData") -> None:
    from puredials.io.shelx import shelx_scale, write_hkl, write_ins

    options, wavelength = job.params.shelx, _one_wavelength(data)
    value, sigma = next(iter(data.intensities.values()))
    factor = shelx_scale(value, sigma) if options.scale else 1.0
    job.write(
        options.hklout,
        lambda path: write_hkl(path, data.hkl, value * factor, sigma * factor),
        f"{len(data.hkl)} reflections",
    )
    job.write(
        options.ins,
        lambda path: write_ins(path, data.cell, data.symmetry, wavelength, "puredials"),
        "instructions",
    )


def _one_wavelength(data: "UnmergedData") -> float:
    from puredials.errors import MismatchError

    wavelength, *others = data.wavelengths
    if others:
        names = ", ".join(f"{w:.5f}" for w in data.wavelengths)
        raise MismatchError(
            f"The data are of several wavelengths ({names} Angstrom), and this kind of file holds one: divide them "
            "with dials.split_experiments by_wavelength=True, or write format=mtz."
        )
    return wavelength


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
