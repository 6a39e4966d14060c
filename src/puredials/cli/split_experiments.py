"""dials.split_experiments: combined.expt + combined.refl -> split_0.expt + split_0.refl, split_1.expt, ..."""

from collections.abc import Sequence

from puredials.cli.program import Job, Program
from puredials.params import Params, param
from puredials.sets.params import SplitParams

__all__ = ["PROGRAM", "Options", "Output", "main", "run"]


class Output(Params):
    """Output files."""

    experiments_prefix: str = param("split", "Start of the names of files of experiments.")
    reflections_prefix: str = param("split", "Start of the names of files of reflections.")
    template: str = param(
        "{prefix}_{index:0{maxindexlength:d}d}.{extension}",
        "Names of the files, as a Python format with prefix, index, maxindexlength (digits of the last index) and "
        "extension.",
        expert=2,
    )
    chunk_size: int | None = param(None, "Write files of at most this many experiments.", expert=2, ge=1)
    chunk_sizes: tuple[int, ...] | None = param(None, "Write files of these numbers of experiments.", expert=2)
    log: str = param("dials.split_experiments.log", "File of all that is printed.")


class Options(SplitParams):
    output: Output = Output()


PROGRAM = Program(
    "dials.split_experiments",
    Options,
    "Write each experiment and its reflections to files of their own.",
    takes="combined.expt [combined.refl] [name=value]",
    examples=(
        "dials.split_experiments combined.expt combined.refl",
        "dials.split_experiments combined.expt combined.refl by_wavelength=True",
        "dials.split_experiments combined.expt combined.refl experiment_ids=0,2 output.chunk_size=10",
    ),
)


def run(job: Job) -> None:
    from puredials.sets import select_experiments, split_experiments
    from puredials.sets.splitting import in_chunks

    output = job.params.output
    table = job.reflections if job.reflection_paths else None
    groups = split_experiments(job.experiments, params=job.params)
    chunks = in_chunks(groups, output.chunk_size, output.chunk_sizes)
    told_by_wavelength = job.params.by_wavelength and chunks == groups
    expt_names = _names(output.template, output.experiments_prefix, len(chunks), "expt")
    refl_names = _names(output.template, output.reflections_prefix, len(chunks), "refl")
    for group, expt_name, refl_name in zip(chunks, expt_names, refl_names, strict=True):
        experiments, part = select_experiments(job.experiments, table, group)
        numbers = f"experiment{'s' * (len(group) > 1)} {', '.join(map(str, group))}"
        by = f" with wavelength {experiments[0].beam.wavelength:.6g}" if told_by_wavelength else ""
        job.write_experiments(experiments, expt_name, f"experiments{by}" if by else numbers)
        if part is not None:
            job.write_reflections(part, refl_name, f"reflections{by or f' for {numbers}'}")


def _names(template: str, prefix: str, n: int, extension: str) -> Sequence[str]:
    from puredials.errors import ParameterError

    digits = len(str(max(n - 1, 0)))
    values = {"prefix": prefix, "maxindexlength": digits, "extension": extension}
    try:
        names = [template.format(**values, index=k) for k in range(n)]
    except (KeyError, ValueError, IndexError, AttributeError, TypeError) as error:
        raise ParameterError(f"output.template={template} is no format for the names of files ({error}).") from None
    if len(set(names)) < n or not all(name.endswith(f".{extension}") for name in names):
        raise ParameterError(f"output.template={template} must hold {{index}} and end in .{{extension}}.")
    return names


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
