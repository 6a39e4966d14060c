"""dials.merge: scaled data to merged intensities and amplitudes."""

from typing import TYPE_CHECKING, Any

from puredials import __version__
from puredials.cli.program import Job, Program
from puredials.errors import ParameterError
from puredials.merging.params import MergeParams
from puredials.params import Params, param

if TYPE_CHECKING:
    from puredials.merging import MergeResult
    from puredials.report.page import Section

__all__ = ["PROGRAM", "Options", "main", "run"]


class Output(Params):
    """Names of the files written."""

    log: str = param("dials.merge.log", "Log.")
    mtz: str = param("merged.mtz", "Merged data.")
    html: str | None = param("dials.merge.html", "Page with plots (None: not written).")
    json_: str | None = param("dials.merge.json", "The plots' data (None: not written).", alias="json")
    crystal_names: str = param("XTAL", "Name of the crystal in the MTZ file, or names, one a wavelength.", expert=1)
    project_name: str = param("AUTOMATIC", "Name of the project in the MTZ file.", expert=1)
    dataset_names: str = param("NATIVE", "Name of the data set in the MTZ file, or names.", expert=1)


class Options(MergeParams):
    """Parameters of dials.merge."""

    output: Output = Output()


PROGRAM = Program(
    "dials.merge",
    Options,
    "Merge scaled observations and estimate amplitudes.",
    takes="scaled.expt scaled.refl [name=value ...]",
    examples=("dials.merge scaled.expt scaled.refl", "dials.merge scaled.expt scaled.refl d_min=1.8"),
    indexed=True,
)


def run(job: Job) -> None:
    from puredials.cli.mtz_text import mtz_summary
    from puredials.io.mtz import MtzDataset, read_free_flags, space_group_of, write_merged_mtz
    from puredials.merging.wavelengths import joined_columns, merge_wavelengths
    from puredials.report.page import Section, write_json, write_page

    params, output = job.params, job.params.output
    reference = params.r_free_flags.reference
    flags = read_free_flags(reference) if reference else None
    job.say(f"Merging scaled reflection data\n\nRead {job.reflections.n_rows} predicted reflections")
    results = merge_wavelengths(job.experiments, job.reflections, params=params, free_reference=flags)
    content: dict[str, Any] = {}
    sections: list[Section] = []
    for number, result in enumerate(results, 1):
        if len(results) > 1:
            job.say(f"\nData of the wavelength {result.wavelength:.5f} Angstrom (WAVE{number})")
        figures, own = _report(job, result)
        content |= figures if len(results) == 1 else {f"WAVE{number}": figures}
        if len(results) > 1:
            sections.append(Section(f"WAVE{number}: {result.wavelength:.5f} Å"))
        sections += own

    if flags is not None and results[0].free is not None:
        job.say(f"\nFree flags copied from {reference} and extended")
    job.say(f"\nWriting reflections to {output.mtz}")
    hkl, d, columns = joined_columns(results, anomalous=params.anomalous)
    crystals = _names(output.crystal_names, "crystal_names", len(results))
    names = _names(output.dataset_names, "dataset_names", len(results))
    datasets = [
        MtzDataset(own, result.wavelength, crystal, name)
        for own, result, crystal, name in zip(columns, results, crystals, names, strict=True)
    ]
    cell, group = results[0].cell, space_group_of(results[0].symmetry)
    job.write(
        output.mtz,
        lambda path: write_merged_mtz(
            path, hkl, datasets, cell=cell, space_group=group, project=output.project_name,
            history=[f"From puredials {__version__}"],
        ),
        None,
    )  # fmt: skip
    job.say(mtz_summary(hkl, {label: c for own in columns for label, c in own.items()}, cell, group, d))
    job.write(output.json_, lambda path: write_json(path, content), None)
    job.write(output.html, lambda path: write_page(path, "Merged data", sections), "html report")


def _names(text: str, parameter: str, n: int) -> list[str]:
    """A name for each wavelength; one name serves for all, with their numbers."""
    names = text.replace(",", " ").split()
    if len(names) == 1:
        return names if n == 1 else [f"{names[0]}_WAVE{k}" for k in range(1, n + 1)]
    if len(names) != n:
        raise ParameterError(
            f"output.{parameter} holds {len(names)} names, but the data are of {n} wavelengths: give one or {n}."
        )
    return names


def _report(job: Job, result: "MergeResult") -> "tuple[dict[str, Any], list[Section]]":
    """Say how the data of a wavelength merge; the plots' data, and the sections of the page."""
    from puredials.merging.by_sweep import statistics_by_sweep, sweep_summary, sweep_table
    from puredials.merging.tables import anomalous_table, merging_statistics, merging_summary, merging_table
    from puredials.report.attention import attention_section, attention_text, merged_remarks
    from puredials.report.merging import merge_sections
    from puredials.report.page import figures_of
    from puredials.report.sweeps import sweep_sections

    params = job.params
    job.say(f"Selected {len(result.observations.hkl)} scaled reflections")
    if result.F is not None:
        job.say("\nPerforming French-Wilson treatment of scaled intensities")
        job.say(f"Total number of rejected intensities {int(result.F.rejected[~result.equivalents.absent].sum())}")
    if result.wilson is not None:
        job.say(f"\nOverall B factor from the Wilson plot: {result.wilson.B:.2f} A^2")
    if params.anomalous and result.F is not None:
        job.say("\n" + anomalous_table(result, params.merging.n_bins))
    statistics = merging_statistics(result, params.merging.n_bins, anomalous=params.merging.anomalous)
    job.say("\n" + "Merging statistics by resolution bin".join(["-" * 12] * 2).center(110))
    job.say("\n" + merging_table(statistics))
    job.say("\n" + "Summary of merging statistics".join(["-" * 13] * 2).center(70))
    job.say("\n" + merging_summary(statistics, result))
    sweeps = statistics_by_sweep(result, job.experiments, statistics)
    if len(sweeps) > 1:
        job.say("\n" + sweep_table(sweeps))
    sections = [*merge_sections(result, statistics), *sweep_sections(sweeps)]
    remarks = merged_remarks(result, statistics)
    job.say(f"\n{attention_text(sections, remarks)}\n")
    sections.insert(0, attention_section(sections, remarks))
    return {**figures_of(sections), "datasets": sweep_summary(sweeps)}, sections


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
