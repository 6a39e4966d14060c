"""Refined models, and their uncertainties, from the solution of the least-squares problem."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float64

from puredials.leastsq import Solution
from puredials.model import Crystal, Experiments
from puredials.refinement.parts import CrystalPart
from puredials.refinement.problem import Problem

__all__ = ["refined_experiments"]


def refined_experiments(problem: Problem, solution: Solution, *, errors_at_scan_points: bool = False) -> Experiments:
    """The experiments with refined models; shared models stay shared.

    A static crystal gets the covariance of its B. One that varies along its scan keeps the matrix A that it came with
    beside the matrices at the scan points; the covariance of B at these is stored if `errors_at_scan_points`.
    """
    x = solution.value
    covariance = solution.covariance() if len(x) else np.zeros((0, 0))
    beams = {id(p): p.model.moved(p.values(x)) for p in problem.beams}
    detectors = {id(p): p.model.moved(p.values(x)) for p in problem.detectors}
    crystals: dict[int, Crystal] = {}
    items = []
    for i, experiment in enumerate(problem.experiments):
        part = problem.crystals[i]
        if id(part) not in crystals:
            if part.is_scan_varying:
                assert experiment.scan is not None
                first, last = experiment.scan.array_range
                points = np.arange(first, last + 1, dtype=np.float64)
                crystals[id(part)] = _varying(part, x, covariance, points, errors_at_scan_points)
            else:
                crystals[id(part)] = _static(part, x, covariance)
        items.append(
            replace(
                experiment,
                beam=beams[id(problem.beams[i])],
                detector=detectors[id(problem.detectors[i])],
                crystal=crystals[id(part)],
            )
        )
    return problem.experiments.with_items(items)


def _static(part: CrystalPart, x: Float64[np.ndarray, " p"], covariance: Float64[np.ndarray, "p p"]) -> Crystal:
    A, _ = part.state(x, (np.ones((1, 1)), np.ones((1, 1))))
    own = slice(part.cell_start, part.end)
    B_covariance = part.model.crystal.B_covariance
    if part.model.n_cell:
        B_covariance = part.model.cell_covariance(x[own], covariance[own, own])
    return replace(
        part.model.crystal, A=A[0], A_at_scan_points=None, B_covariance=B_covariance, B_covariance_at_scan_points=None
    )


def _varying(
    part: CrystalPart,
    x: Float64[np.ndarray, " p"],
    covariance: Float64[np.ndarray, "p p"],
    points: Float64[np.ndarray, " n"],
    with_errors: bool,
) -> Crystal:
    weights = part.weights(points)
    A, _ = part.state(x, weights)
    B_covariance = None
    if with_errors and part.model.n_cell:
        own = slice(part.cell_start, part.end)
        n, m = part.cell.n_nodes, part.model.n_cell
        of_nodes = covariance[own, own].reshape(n, m, n, m)
        # One product for each scan point: the full (points x points) covariance would be large and is not wanted.
        at_points = np.einsum("za,aibj,zb->zij", weights[1], of_nodes, weights[1], optimize=True)
        g = weights[1] @ part.nodes(x)[1]
        B_covariance = np.array([part.model.cell_covariance(values, c) for values, c in zip(g, at_points, strict=True)])
    return replace(part.model.crystal, A_at_scan_points=A, B_covariance_at_scan_points=B_covariance)
