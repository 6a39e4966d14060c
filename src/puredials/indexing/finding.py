"""What is said of a likely cause of poor indexing."""

from dataclasses import dataclass

__all__ = ["CLEARLY_BETTER", "TRIAL_SPOTS", "Diagnosis"]

# Something else is spoken of if it indexes this much more of the spots.
CLEARLY_BETTER = 0.2
# The innermost spots, with which it is tried.
TRIAL_SPOTS = 4000


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """A likely cause, the share of the spots that index once it is mended, the evidence for it, and how to mend it.

    `command` is what to type next; `parameters` are the words (name, value) of the geometry to change, if it takes any.
    """

    cause: str
    share: float
    evidence: str
    command: str
    parameters: tuple[tuple[str, str], ...] = ()

    @property
    def sentence(self) -> str:
        return f"{self.evidence}: {self.command}."
