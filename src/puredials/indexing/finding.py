"""What is said of a likely cause of poor indexing."""

from dataclasses import dataclass

__all__ = ["CLEARLY_BETTER", "EXPERIMENTS", "REFLECTIONS", "TRIAL_SPOTS", "Diagnosis", "geometry_command"]

# What commands call the files that were indexed; a program puts the user's own names in their place.
EXPERIMENTS, REFLECTIONS = "imported.expt", "strong.refl"

# Something else is spoken of if it indexes this much more of the spots.
CLEARLY_BETTER = 0.2
# The innermost spots, with which it is tried.
TRIAL_SPOTS = 4000


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """A likely cause, the share of the spots that index once it is mended, the evidence for it, and how to mend it.

    `command` is what to type next; `parameters` are the words (name, value) of the geometry to change, if it takes any;
    `search_beam` tells whether the beam centre is to be searched for, once they are changed; `table` is evidence that
    takes more than a sentence.
    """

    cause: str
    share: float
    evidence: str
    command: str
    parameters: tuple[tuple[str, str], ...] = ()
    search_beam: bool = False
    table: str = ""

    @property
    def sentence(self) -> str:
        return f"{self.evidence}: {self.command}."


def geometry_command(parameters: tuple[tuple[str, str], ...], *, search_beam: bool = False) -> str:
    """What to type to change the geometry, and then to index."""
    experiments, steps = EXPERIMENTS, []
    if parameters:
        words = " ".join(f"{name}={value}" for name, value in parameters)
        steps.append(f"dials.modify_geometry {experiments} {words}")
        experiments = "modified.expt"
    if search_beam:
        steps.append(f"dials.search_beam_position {experiments} {REFLECTIONS}")
        experiments = "optimised.expt"
    return ", then ".join([*steps, f"dials.index {experiments} {REFLECTIONS}"])
