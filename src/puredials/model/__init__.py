"""Frozen data: beam, detector, goniometer, scan, crystal, experiments, reflections. No algorithms."""

from puredials.model.beam import Beam
from puredials.model.crystal import Crystal, b_matrix, cell_parameters, u_and_b
from puredials.model.detector import Detector, Group, Panel
from puredials.model.experiment import Experiment, Experiments, Profile
from puredials.model.flags import Flags
from puredials.model.goniometer import Goniometer, rotation_matrix
from puredials.model.images import ImageSet, ImageSource
from puredials.model.reflections import SCHEMA, Column, ReflectionTable
from puredials.model.scan import Scan
from puredials.model.shoebox import MaskBits, Shoeboxes

__all__ = [
    "SCHEMA",
    "Beam",
    "Column",
    "Crystal",
    "Detector",
    "Experiment",
    "Experiments",
    "Flags",
    "Goniometer",
    "Group",
    "ImageSet",
    "ImageSource",
    "MaskBits",
    "Panel",
    "Profile",
    "ReflectionTable",
    "Scan",
    "Shoeboxes",
    "b_matrix",
    "cell_parameters",
    "rotation_matrix",
    "u_and_b",
]
