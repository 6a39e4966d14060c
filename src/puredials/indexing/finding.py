"""What is said of a likely cause of poor indexing."""

from dataclasses import dataclass

__all__ = [
    "CLEARLY_BETTER",
    "EXPERIMENTS",
    "REFLECTIONS",
    "TRIAL_SPOTS",
    "Diagnosis",
    "advice_text",
    "geometry_commands",
    "index_command",
]

# What commands call the files that were indexed; a program puts the user's own names in their place.
EXPERIMENTS, REFLECTIONS = "imported.expt", "strong.refl"

# Something else is spoken of if it indexes this much more of the spots.
CLEARLY_BETTER = 0.2
# The innermost spots, with which it is tried.
TRIAL_SPOTS = 4000


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """A likely cause, the share of the spots that index once it is mended, the evidence for it, and how to mend it.

    `commands` are what to type next, in order; `parameters` are the words (name, value) of the geometry to change, if
    it takes any; `search_beam` tells whether the beam centre is to be searched for, once they are changed; `table` is
    evidence that takes more than a sentence.
    """

    cause: str
    share: float
    evidence: str
    commands: tuple[str, ...]
    parameters: tuple[tuple[str, str], ...] = ()
    search_beam: bool = False
    table: str = ""

    @property
    def sentence(self) -> str:
        """The evidence alone."""
        return f"{self.evidence}."

    @property
    def advice(self) -> str:
        """The evidence, what to type, and the table."""
        return "\n".join(filter(None, [advice_text(self.evidence, *self.commands), self.table]))


def advice_text(reason: str, *commands: str) -> str:
    """A reason and what to type: each command is a line of its own, which can be copied as it is."""
    return "\n    ".join([f"{reason}:", *commands])


def index_command(*words: str, experiments: str = EXPERIMENTS) -> str:
    """What to type to index."""
    return " ".join(["dials.index", experiments, REFLECTIONS, *words])


def geometry_commands(
    parameters: tuple[tuple[str, str], ...], known: tuple[str, ...] = (), *, search_beam: bool = False
) -> tuple[str, ...]:
    """What to type to change the geometry, and then to index with the words for what is `known`."""
    experiments, steps = EXPERIMENTS, []
    if parameters:
        words = " ".join(f"{name}={value}" for name, value in parameters)
        steps.append(f"dials.modify_geometry {experiments} {words}")
        experiments = "modified.expt"
    if search_beam:
        steps.append(f"dials.search_beam_position {experiments} {REFLECTIONS}")
        experiments = "optimised.expt"
    return (*steps, index_command(*known, experiments=experiments))
