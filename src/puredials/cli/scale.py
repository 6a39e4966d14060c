"""dials.scale: symmetrized.expt symmetrized.refl -> scaled.expt scaled.refl."""

from typing import TYPE_CHECKING

from puredials import __version__
from puredials.cli.program import Job, Program
from puredials.merging.params import FreeFlagParams, MergeParams, ResolutionParams, UnmergedParams
from puredials.params import Params, param
from puredials.scaling.params import ScaleParams

if TYPE_CHECKING:
    from puredials.merging import MergeResult
    from puredials.scaling import ScaleResult

__all__ = ["PROGRAM", "Options", "Output", "main", "run"]


class MergingOutput(Params):
    """Tables of statistics."""

    nbins: int = param(20, "Shells of resolution in the tables.", ge=1)


class Output(Params):
    """Names of the files written."""

    log: str = param("dials.scale.log", "Log.")
    experiments: str = param("scaled.expt", "Experiments with scaling models.")
    reflections: str = param("scaled.refl", "Scaled reflections.")
    html: str | None = param("dials.scale.html", "Page with plots (None: not written).")
    json_: str | None = param("dials.scale.json", "The plots' data (None: not written).", alias="json")
    unmerged_mtz: str | None = param(None, "MTZ file of the unmerged intensities.")
    merged_mtz: str | None = param(None, "MTZ file of the merged intensities.")
    crystal_name: str = param("XTAL", "Name of the crystal in MTZ files.", expert=1)
    project_name: str = param("DIALS", "Name of the project in MTZ files.", expert=1)
    merging: MergingOutput = MergingOutput()


class Options(ScaleParams):
    """Parameters of dials.scale."""

    output: Output = Output()


PROGRAM = Program(
    "dials.scale",
    Options,
    "Scale integrated reflections by the agreement of their equivalents, and judge their errors.",
    takes="symmetrized.expt symmetrized.refl [name=value ...]",
    examples=(
        "dials.scale symmetrized.expt symmetrized.refl",
        "dials.scale symmetrized.expt symmetrized.refl anomalous=True d_min=1.8 absorption_level=high",
    ),
    indexed=True,
)


def run(job: Job) -> None:
    from puredials.errors import TooFewReflectionsError
    from puredials.io.mtz import space_group_of
    from puredials.merging import estimate_resolution, merge_data, merging_statistics
    from puredials.merging.by_sweep import statistics_by_sweep, sweep_summary, sweep_table
    from puredials.merging.observations import symmetry_of
    from puredials.report.attention import attention_section, attention_text, scaled_remarks
    from puredials.report.page import figures_of, write_json, write_page
    from puredials.report.scaling import scaling_sections
    from puredials.report.sweeps import sweep_sections
    from puredials.scaling import scaling_report, selection_report, statistics_report

    params, output = job.params, job.params.output
    group = space_group_of(symmetry_of(job.experiments))
    n = len(job.experiments)
    job.say(f"Found {n} experiment{'s' * (n != 1)} with {job.reflections.n_rows} reflections.")
    job.say(f"Space group being used during scaling is {group.xhm()}")
    result = _filtered(job) if params.filtering.method else _scaled(job)
    job.say("\n" + selection_report(result))
    job.say(scaling_report(result))

    merged = merge_data(
        result.experiments, result.table,
        params=MergeParams(truncate=False, r_free_flags=FreeFlagParams(generate=False),
                           partiality_threshold=params.cut_data.partiality_cutoff),
    )  # fmt: skip
    nbins = output.merging.nbins
    statistics = merging_statistics(merged, nbins)
    limits = ResolutionParams()
    try:
        limit = estimate_resolution(result.experiments, result.table, params=limits).d_min
    except TooFewReflectionsError:
        limit = None
    suggested = None if limit is None else merging_statistics(merged, nbins, d_min=max(limit, float(merged.d.min())))
    threshold = limits.cc_half or 0.0
    job.say("\n\n" + statistics_report(merged, statistics, suggested, threshold) + "\n")
    sweeps = statistics_by_sweep(merged, result.experiments, statistics)
    if len(sweeps) > 1:
        job.say(sweep_table(sweeps) + "\n")

    sections = [*scaling_sections(result, merged, statistics, suggested, threshold), *sweep_sections(sweeps)]
    remarks = scaled_remarks(result.experiments, result.table, merged, statistics)
    job.say(attention_text(sections, remarks) + "\n")
    sections.insert(0, attention_section(sections, remarks))

    job.write_experiments(result.experiments, output.experiments, "the scaled experiments")
    job.write_reflections(result.table, output.reflections, "the scaled reflections")
    content = {**figures_of(sections), "datasets": sweep_summary(sweeps)}
    job.write(output.json_, lambda path: write_json(path, content), None)
    job.write(output.html, lambda path: write_page(path, f"Scaling: {group.xhm()}", sections), "html report")
    if output.unmerged_mtz:
        _write_unmerged(job, result, output.unmerged_mtz)
    if output.merged_mtz:
        _write_merged(job, merged, output.merged_mtz)


def _scaled(job: Job) -> "ScaleResult":
    from puredials.scaling import scale

    params = job.params
    with job.progress("Scaling") as progress:
        return scale(
            job.experiments, job.reflections, params=params, progress=progress,
            executor=job.executor(params.scaling_options.nproc),
        )  # fmt: skip


def _filtered(job: Job) -> "ScaleResult":
    """Scale, and remove what does not agree with the rest."""
    from puredials.report.page import write_json
    from puredials.scaling import filter_cycle_report, filter_report, scale_and_filter
    from puredials.scaling.leave_out_tables import filter_summary

    params = job.params
    with job.progress("Scaling and filtering") as progress:
        found = scale_and_filter(
            job.experiments, job.reflections, params=params, progress=progress,
            executor=job.executor(params.scaling_options.nproc),
        )  # fmt: skip
    for number, cycle in enumerate(found.cycles, 1):
        job.say(filter_cycle_report(cycle, number))
    job.say("\n" + filter_report(found))
    name = params.filtering.output.scale_and_filter_results
    job.write(name, lambda path: write_json(path, filter_summary(found)), "the results of scaling and filtering")
    return found.scaled


def _write_unmerged(job: Job, result: "ScaleResult", name: str) -> None:
    from puredials.io.mtz import space_group_of, write_unmerged_mtz
    from puredials.io.mtz_batches import batch_headers
    from puredials.merging import unmerged_data

    data = unmerged_data(result.experiments, result.table, params=UnmergedParams(intensity="scale"))
    batches = [
        header
        for experiment, offset, number in zip(result.experiments, data.offsets, data.dataset, strict=True)
        for header in batch_headers(experiment, offset=offset, dataset=number)
    ]
    output = job.params.output
    job.write(
        name,
        lambda path: write_unmerged_mtz(
            path, data.hkl, data.batch, data.columns(), batches, cell=data.cell,
            space_group=space_group_of(data.symmetry), wavelengths=data.wavelengths, project=output.project_name,
            crystal=output.crystal_name, history=[f"From puredials {__version__}"],
        ),
        "unmerged intensities",
    )  # fmt: skip


def _write_merged(job: Job, merged: "MergeResult", name: str) -> None:
    from puredials.io.mtz import MtzDataset, space_group_of, write_merged_mtz

    output = job.params.output
    job.write(
        name,
        lambda path: write_merged_mtz(
            path, merged.hkl, [MtzDataset(merged.columns(), merged.wavelength, output.crystal_name)],
            cell=merged.cell, space_group=space_group_of(merged.symmetry), project=output.project_name,
            history=[f"From puredials {__version__}"],
        ),
        "merged intensities",
    )  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
