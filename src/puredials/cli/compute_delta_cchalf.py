"""dials.compute_delta_cchalf: which data sets or images do not agree with the rest."""

from puredials.cli.program import Job, Program
from puredials.params import Params, param
from puredials.scaling.leave_out_params import DeltaCCHalfParams

__all__ = ["PROGRAM", "Options", "Output", "main", "run"]


class Output(Params):
    """Names of the files written."""

    log: str = param("dials.compute_delta_cchalf.log", "Log.")
    experiments: str = param("filtered.expt", "Experiments without the bad data sets or images.")
    reflections: str = param("filtered.refl", "Reflections without those of the bad data sets or images.")
    table: str | None = param("delta_cchalf.dat", "ΔCC1/2 of each group, the worst first (None: not written).")
    html: str | None = param("compute_delta_cchalf.html", "Page with plots (None: not written).")
    json_: str | None = param(
        "compute_delta_cchalf.json", "All values and the plots' data (None: not written).", alias="json"
    )


class Options(DeltaCCHalfParams):
    """Parameters of dials.compute_delta_cchalf."""

    output: Output = Output()


PROGRAM = Program(
    "dials.compute_delta_cchalf",
    Options,
    "Find data sets or images without which scaled data agree better, and remove them.",
    takes="scaled.expt scaled.refl [name=value ...]",
    examples=(
        "dials.compute_delta_cchalf scaled.expt scaled.refl",
        "dials.compute_delta_cchalf scaled.expt scaled.refl mode=image_group group_size=10 stdcutoff=3",
    ),
    indexed=True,
)


def run(job: Job) -> None:
    from pathlib import Path

    import numpy as np

    from puredials.report.leave_out import delta_cc_half_figures, delta_cc_half_sections
    from puredials.report.page import write_json, write_page
    from puredials.scaling import delta_cc_half, without_groups
    from puredials.scaling.leave_out_tables import delta_cc_half_report, delta_cc_half_summary, removal_report
    from puredials.sets import on_valid_images

    output, before = job.params.output, job.experiments
    job.say(f"Read {job.reflections.n_rows} predicted reflections")
    result = delta_cc_half(before, job.reflections, params=job.params)
    job.say(f"Selected {len(result.group)} scaled reflections\n")
    job.say(delta_cc_half_report(result))
    removed = [g for g, bad in zip(result.groups, result.bad, strict=True) if bad]
    experiments, table = without_groups(before, job.reflections, removed)
    table = table.select(on_valid_images(experiments, table))
    job.say()
    n_removed = job.reflections.n_rows - table.n_rows
    job.say(removal_report(removed, before.identifiers, experiments.identifiers, n_removed))

    def write_table(path: Path) -> None:
        order = np.argsort(result.delta, kind="stable")
        path.write_text("".join(f"{k} {result.delta[k]:.6f}\n" for k in order), encoding="utf-8")

    job.write(output.table, write_table, "table")
    job.write_reflections(table, output.reflections, f"{table.n_rows} reflections")
    job.write_experiments(experiments, output.experiments, "the experiments")
    content = {**delta_cc_half_summary(result), "figures": delta_cc_half_figures(result)}
    job.write(output.json_, lambda path: write_json(path, content), None)
    job.write(output.html, lambda path: write_page(path, "ΔCC½", delta_cc_half_sections(result)), "html report")


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
