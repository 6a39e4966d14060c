"""dials.reindex: another basis, space group or origin of indices for experiments and reflections."""

from typing import TYPE_CHECKING

from puredials.cli.program import Job, Program
from puredials.params import Params, param
from puredials.symmetry.reindex_params import ReindexParams

if TYPE_CHECKING:
    import numpy as np

    from puredials.model import Experiments, ReflectionTable

__all__ = ["PROGRAM", "Options", "Output", "Reference", "main", "run"]


class Reference(Params):
    """Whose setting is wanted, where change_of_basis_op does not say."""

    experiments: str | None = param(None, "Experiments whose setting is wanted.")
    reflections: str | None = param(None, "Their reflections: intensities decide where cells leave a choice.")


class Output(Params):
    """Output files."""

    experiments: str = param("reindexed.expt", "File of the experiments in the new setting.")
    reflections: str = param("reindexed.refl", "File of the reflections in the new setting.")
    log: str = param("dials.reindex.log", "File of all that is printed.")


class Options(ReindexParams):
    reference: Reference = Reference()
    output: Output = Output()


PROGRAM = Program(
    "dials.reindex",
    Options,
    "Change the basis of crystals and indices, by hand or to that of a reference.",
    takes="indexed.expt and/or indexed.refl [name=value ...]",
    examples=(
        "dials.reindex indexed.refl change_of_basis_op=b+c,a+c,a+b hkl_offset=1,0,0",
        "dials.reindex indexed.expt indexed.refl change_of_basis_op=b,c,a space_group=P212121",
        "dials.reindex b.expt b.refl reference.experiments=a.expt reference.reflections=a.refl",
    ),
    indexed=True,
)


def run(job: Job) -> None:
    from puredials.errors import InputError
    from puredials.symmetry.lattice import basis_text
    from puredials.symmetry.reindex import basis_of_operator, move_experiments, reindex_table, with_offset

    params = job.params
    if not job.experiment_paths and not job.reflection_paths:
        raise InputError("dials.reindex needs a file of experiments (.expt) or of reflections (.refl), or both.")
    experiments = job.experiments if job.experiment_paths else None
    table = _reflections(job) if job.reflection_paths else None
    if table is not None and params.hkl_offset is not None:
        table = with_offset(table, params.hkl_offset)
    typed = "change_of_basis_op" in params.model_fields_set
    if params.change_of_basis_op is None or (params.reference.experiments is not None and not typed):
        basis = _to_reference(job, experiments, table)
    else:
        basis = basis_of_operator(params.change_of_basis_op)
    job.say(f"Change of basis operator: {basis_text(basis)}")
    if experiments is not None:
        moved = move_experiments(experiments, basis, params.space_group)
        for crystal in {id(e.crystal): e.crystal for e in moved if e.crystal is not None}.values():
            cell = ", ".join(f"{v:.3f}" for v in crystal.unit_cell.parameters)
            group = crystal.space_group
            job.say(f"Unit cell: {cell}  Space group: {group.xhm() if group else crystal.hall}")
        job.write_experiments(moved, params.output.experiments, "reindexed experimental models")
    if table is not None:
        moved_table = reindex_table(table, basis)
        if lost := table.n_rows - moved_table.n_rows:
            job.say(f"{lost} of {table.n_rows} reflections have no whole indices in the new basis and are left out.")
        job.write_reflections(moved_table, params.output.reflections, "reindexed reflections")


def _reflections(job: Job) -> "ReflectionTable":
    from puredials.errors import InputError

    if job.experiment_paths:
        return job.reflections
    files = job.reflection_files
    if len(files) > 1:
        raise InputError("Several files of reflections can be reindexed together only with their experiments.")
    return next(iter(files))


def _to_reference(job: Job, experiments: "Experiments | None", table: "ReflectionTable | None") -> "np.ndarray":
    from pathlib import Path

    from puredials.errors import InputError, MismatchError
    from puredials.io.expt import read_experiments
    from puredials.io.refl import read_reflections
    from puredials.symmetry.match_reference import match_reference, match_text

    names = job.params.reference
    if names.experiments is None or experiments is None or table is None:
        raise InputError(
            "change_of_basis_op=Auto needs experiments and reflections, and a reference: give reference.experiments=, "
            "and reference.reflections= where intensities must decide."
        )
    ours = next((e.crystal for e in experiments if e.crystal is not None), None)
    theirs = next((e.crystal for e in read_experiments(Path(names.experiments)) if e.crystal is not None), None)
    if ours is None or theirs is None:
        raise MismatchError("There is no crystal to compare: index both sets first.")
    reflections = None if names.reflections is None else read_reflections(Path(names.reflections))
    matches = match_reference(ours, table, theirs, reflections)
    job.say(match_text(matches))
    return matches[0].basis


def main(argv: list[str] | None = None) -> int:
    return PROGRAM.main(run, argv)
