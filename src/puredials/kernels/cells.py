"""Distances between lattices."""

from numba import njit

__all__ = ["nearest_image"]


@njit(cache=True, nogil=True)
def nearest_image(images, radius, points, out):
    """Distance of each of `points` (n, d) from the nearest of `images` (m, d), into out (n).

    The images are sorted by `radius`, their distances from the first one: those too far from it to be nearer to a point
    are not looked at. Plain definition: ``np.linalg.norm(images[:, None] - points, axis=2).min(axis=0)``.
    """
    for k in range(len(points)):
        first = 0.0
        for j in range(images.shape[1]):
            first += (images[0, j] - points[k, j]) ** 2
        best, first = first, first**0.5
        for i in range(1, len(images)):
            if radius[i] - first > best**0.5:
                break
            square = 0.0
            for j in range(images.shape[1]):
                square += (images[i, j] - points[k, j]) ** 2
            best = min(best, square)
        out[k] = best**0.5
