"""All exceptions of puredials, as a tree:

    PuredialsError                  one sentence for the user: what, where, how to mend it
    ├── InputError                  something the user gave
    │   ├── ParameterError          an unknown, ambiguous or invalid name=value word
    │   ├── FileError               a missing, empty, truncated or foreign file; a folder that cannot be written
    │   ├── MissingColumnError      reflections without a column that the step needs
    │   └── MismatchError           inputs that are fine by themselves but do not belong together
    └── ProcessingError             the data do not allow the step
        ├── NoSpotsError
        ├── NoLatticeError
        └── TooFewReflectionsError

Libraries raise them; only the command line turns them into a message and exit code 1.
"""

__all__ = [
    "FileError",
    "InputError",
    "MismatchError",
    "MissingColumnError",
    "NoLatticeError",
    "NoSpotsError",
    "ParameterError",
    "ProcessingError",
    "PuredialsError",
    "TooFewReflectionsError",
]


class PuredialsError(Exception):
    """Base of all errors that a user can understand and mend."""


class InputError(PuredialsError):
    """Something the user gave cannot be used."""


class ParameterError(InputError):
    """A parameter is unknown, ambiguous or has an invalid value."""


class FileError(InputError):
    """A file is missing, empty, truncated, of another kind, or cannot be written."""


class MismatchError(InputError):
    """Inputs that do not belong together, such as reflections of other experiments."""


class MissingColumnError(InputError, KeyError):
    """A table of reflections lacks a column."""

    __str__ = Exception.__str__


class ProcessingError(PuredialsError):
    """The data do not allow the step to be carried out."""


class NoSpotsError(ProcessingError):
    """Spot finding found nothing."""


class NoLatticeError(ProcessingError):
    """Indexing found no lattice."""


class TooFewReflectionsError(ProcessingError):
    """Too few reflections for the number of parameters or for statistics."""
