"""dials.merge: scaled data to merged intensities and amplitudes."""

from puredials import __version__
from puredials.cli.program import Job, Program
from puredials.merging.params import MergeParams
from puredials.params import Params, param

__all__ = ["PROGRAM", "Options", "main", "run"]


class Output(Params):
    """Names of the files written."""

    log: str = param("dials.merge.log", "Log.")
    mtz: str = param("merged.mtz", "Merged data.")
    html: str | None = param("dials.merge.html", "Page with plots (None: not written).")
    json_: str | None = param("dials.merge.json", "The plots' data (None: not written).", alias="json")
    crystal_names: str = param("XTAL", "Name of the crystal in the MTZ file.", expert=1)
    project_name: str = param("AUTOMATIC", "Name of the project in the MTZ file.", expert=1)
    dataset_names: str = param("NATIVE", "Name of the data set in the MTZ file.", expert=1)


class Options(MergeParams):
    """Parameters of dials.merge."""

    output: Output = Output()


PROGRAM = Program(
    "dials.merge",
    Options,
    "Merge scaled observations and estimate amplitudes.",
    takes="scaled.expt scaled.refl [name=value ...]",
    examples=("dials.merge scaled.expt scaled.refl", "dials.merge scaled.expt scaled.refl d_min=1.8"),
)


def run(job: Job) -> None:
    from puredials.cli.mtz_text import mtz_summary
    from puredials.io.mtz import read_free_flags, space_group_of, write_merged_mtz
    from puredials.merging.by_sweep import statistics_by_sweep, sweep_summary, sweep_table
    from puredials.merging.tables import anomalous_table, merging_statistics, merging_summary, merging_table
    from puredials.merging.unique import merge_data
    from puredials.report.merging import merge_sections
    from puredials.report.page import figures_of, write_json, write_page
    from puredials.report.sweeps import sweep_sections

    params, output = job.params, job.params.output
    experiments, table = job.experiments, job.reflections
    reference = params.r_free_flags.reference
    flags = read_free_flags(reference) if reference else None
    job.say(f"Merging scaled reflection data\n\nRead {table.n_rows} predicted reflections")
    result = merge_data(experiments, table, params=params, free_reference=flags)
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

    sweeps = statistics_by_sweep(result, experiments, statistics)
    if len(sweeps) > 1:
        job.say("\n" + sweep_table(sweeps))
    if flags is not None and result.free is not None:
        job.say(f"\nFree flags copied from {reference} and extended")
    job.say(f"\nWriting reflections to {output.mtz}")
    columns, group = result.columns(anomalous=params.anomalous), space_group_of(result.symmetry)
    job.write(
        output.mtz,
        lambda path: write_merged_mtz(
            path, result.hkl, columns, cell=result.cell, space_group=group, wavelength=result.wavelength,
            project=output.project_name, crystal=output.crystal_names, dataset=output.dataset_names,
            history=[f"From puredials {__version__}"],
        ),
        None,
    )  # fmt: skip
    job.say(mtz_summary(result.hkl, columns, result.cell, group, result.d))
    sections = [*merge_sections(result, statistics), *sweep_sections(sweeps)]
    content = {**figures_of(sections), "datasets": sweep_summary(sweeps)}
    job.write(output.json_, lambda path: write_json(path, content), None)
    job.write(output.html, lambda path: write_page(path, "Merged data", sections), None)


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
