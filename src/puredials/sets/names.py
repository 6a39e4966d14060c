"""Identifiers, which tell experiments and their reflections apart."""

from collections.abc import Sequence
from dataclasses import replace

from puredials.errors import ParameterError
from puredials.model import Experiments, ReflectionTable
from puredials.sets.combining import named

__all__ = ["assign_identifiers"]


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
