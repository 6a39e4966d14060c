"""Names and identifiers, which tell experiments and their reflections apart."""

import os.path
from collections.abc import Sequence
from dataclasses import replace

from puredials.errors import ParameterError
from puredials.model import Experiments, ReflectionTable
from puredials.sets.combining import named

__all__ = ["assign_identifiers", "image_names"]


def assign_identifiers(
    experiments: Experiments, table: ReflectionTable | None = None, identifiers: Sequence[str] | None = None
) -> tuple[Experiments, ReflectionTable | None]:
    """The experiments with the identifiers given; if none are, with new ones where they have none or one used before.

    The ids of the reflections count the experiments.
    """
    if identifiers is None:
        first = {name: n for n, name in reversed(list(enumerate(experiments.identifiers)))}
        kept = [e if first[e.identifier] == n else replace(e, identifier="") for n, e in enumerate(experiments)]
        renamed = named(experiments.with_items(kept))
    else:
        if len(identifiers) != len(experiments):
            raise ParameterError(
                f"identifiers must be as many as there are experiments, {len(experiments)}; "
                f"{len(identifiers)} were given."
            )
        if len(set(identifiers)) < len(identifiers):
            raise ParameterError("identifiers must differ from each other.")
        pairs = zip(experiments, identifiers, strict=True)
        renamed = experiments.with_items(replace(e, identifier=name) for e, name in pairs)
    if table is not None:
        table = table.with_identifiers(dict(enumerate(renamed.identifiers)))
    return renamed, table


def image_names(experiments: Experiments) -> list[str]:
    """The file, or template of files, of the images of each experiment, below the folder that holds all of them; empty
    where there are none."""
    files = [e.imageset and (e.imageset.template or next(iter(e.imageset.images), "")) for e in experiments]
    folders = [os.path.dirname(os.path.abspath(file)) for file in files if file]
    common = os.path.commonpath(folders) if folders else ""
    return [os.path.relpath(os.path.abspath(file), common) if file else "" for file in files]
