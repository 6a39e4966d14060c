"""Cells of several crystals brought to one reduced cell."""

import itertools

import numpy as np
from jaxtyping import Float64

from puredials.model import Crystal, cell_parameters
from puredials.symmetry.lattice import metric_tensor, primitive_reduced_basis

__all__ = ["common_minimum_bases", "unimodular"]


def unimodular() -> Float64[np.ndarray, "n 3 3"]:
    """All changes of basis of determinant 1 with elements -1, 0 and 1, the identity first: they connect the reduced
    cells of nearly equal lattices (Gruber 1973, Acta A29, 433)."""
    matrices = np.array(list(itertools.product((-1, 0, 1), repeat=9)), dtype=float).reshape(-1, 3, 3)
    proper = matrices[np.rint(np.linalg.det(matrices)) == 1]
    return proper[np.argsort(np.abs(proper - np.eye(3)).sum(axis=(1, 2)), kind="stable")]


def common_minimum_bases(crystals: list[Crystal]) -> tuple[list[np.ndarray], Float64[np.ndarray, "n 6"]]:
    """P from each crystal's cell to the common minimum cell, and the cells there.

    Each Niggli cell is taken to the setting that is nearest, in its metric tensor, to a reference. The reference is the
    set to which the others come nearest (median distance). Settings that the symmetry of the lattice relates are
    equally near; the intensities decide between them.
    """
    niggli = [primitive_reduced_basis(c.unit_cell, c.operations.find_centering()) for c in crystals]
    real = [np.linalg.inv(c.A @ np.linalg.inv(p).T) for c, p in zip(crystals, niggli, strict=True)]
    metrics = np.array([metric_tensor(r) for r in real])
    changes = unimodular()
    settings = np.array([np.einsum("mji,jk,mkl->mil", changes, g, changes) for g in metrics])

    def distances(reference: np.ndarray) -> np.ndarray:
        size = np.sqrt(np.outer(np.diag(reference), np.diag(reference)))
        return (np.abs(settings - reference) / size).max(axis=(2, 3))

    # The medoid of a sample is as good as that of all.
    sample = np.unique(np.linspace(0, len(metrics) - 1, 15).astype(int))
    reference = min(sample, key=lambda k: float(np.median(distances(metrics[k]).min(axis=1))))
    near = distances(metrics[reference])
    best = np.argmin(near > near.min(axis=1, keepdims=True) + 1e-6, axis=1)
    bases = [p @ changes[b] for p, b in zip(niggli, best, strict=True)]
    cells = [cell_parameters(c.A @ np.linalg.inv(p).T) for c, p in zip(crystals, bases, strict=True)]
    return bases, np.array(cells)
