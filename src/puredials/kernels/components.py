"""Connected components of sparse pixels in a stack of frames, and the moments and boxes of each.

Pixels come as flat indices ``index[starts[f] : starts[f + 1]]`` of frame f, ascending; frames are `width` pixels wide.
"""

import numpy as np
from numba import njit

__all__ = ["fill_boxes", "label", "measure"]


@njit(cache=True, nogil=True)
def _root(parent, p):
    while parent[p] != p:
        parent[p] = parent[parent[p]]
        p = parent[p]
    return p


@njit(cache=True, nogil=True)
def _join(parent, p, q):
    p, q = _root(parent, p), _root(parent, q)
    if p < q:
        parent[q] = p
    else:
        parent[p] = q


@njit(cache=True, nogil=True)
def label(starts, index, width, join_frames, labels):
    """Number the 6-connected components (4-connected within frames, unless `join_frames`) and return how many.

    labels[p] is the component of pixel p; components are numbered by their first pixel, as
    ``scipy.ndimage.label`` numbers them in the dense stack. Joining is a disjoint-set forest (Tarjan 1975, J. ACM 22,
    215) whose roots are first pixels; neighbours are met by walking through two ascending lists.
    """
    parent = labels
    for f in range(starts.shape[0] - 1):
        begin, end = starts[f], starts[f + 1]
        above = begin
        before, before_end = (starts[f - 1], begin) if f > 0 and join_frames else (begin, begin)
        for p in range(begin, end):
            parent[p] = p
            here = index[p]
            if p > begin and index[p - 1] == here - 1 and here % width != 0:
                _join(parent, p - 1, p)
            while index[above] < here - width:
                above += 1
            if index[above] == here - width:
                _join(parent, above, p)
            while before < before_end and index[before] < here:
                before += 1
            if before < before_end and index[before] == here:
                _join(parent, before, p)
    n = 0
    for p in range(labels.shape[0]):
        # Roots precede their members, so that a parent's entry already is its final label when it is looked up.
        if parent[p] == p:
            labels[p] = -1 - n
            n += 1
        else:
            q = parent[p]
            labels[p] = labels[q]
    for p in range(labels.shape[0]):
        labels[p] = -1 - labels[p]
    return n


@njit(cache=True, nogil=True)
def measure(starts, index, values, width, first, labels, size, total, bbox, peak, centroid, variance):
    """Moments of each component; frame f lies at z = first + f, and pixel centres at + 0.5.

    size = number of pixels, total = sum w, bbox = x0, x1, y0, y1, z0, z1 (half-open), peak = centre of the first
    brightest pixel, centroid c = sum(w r) / sum(w); variance = the squared standard error of a weighted mean,
    sum(w (r - c)^2) / (V1 - V2 / V1) / V1 with V1 = sum(w), V2 = sum(w^2), plus 1/12 for the width of a pixel.
    A component whose weights do not sum to more than 0 has the centre of its box for centroid.
    """
    n = size.shape[0]
    brightest, squares = np.full(n, -np.inf), np.zeros(n)
    size[:] = 0
    total[:] = 0.0
    centroid[:] = 0.0
    variance[:] = 0.0
    for k in range(3):
        bbox[:, 2 * k] = np.iinfo(np.int32).max
        bbox[:, 2 * k + 1] = np.iinfo(np.int32).min
    for stage in range(2):
        for f in range(starts.shape[0] - 1):
            for p in range(starts[f], starts[f + 1]):
                s, w = labels[p], np.float64(values[p])
                r = (index[p] % width, index[p] // width, first + f)
                if stage == 1:
                    for k in range(3):
                        variance[s, k] += w * (r[k] + 0.5 - centroid[s, k]) ** 2
                    continue
                size[s] += 1
                total[s] += w
                squares[s] += w * w
                for k in range(3):
                    bbox[s, 2 * k] = min(bbox[s, 2 * k], r[k])
                    bbox[s, 2 * k + 1] = max(bbox[s, 2 * k + 1], r[k] + 1)
                    centroid[s, k] += w * (r[k] + 0.5)
                    if w > brightest[s]:
                        peak[s, k] = r[k] + 0.5
                brightest[s] = max(brightest[s], w)
        if stage == 0:
            for s in range(n):
                for k in range(3):
                    middle = 0.5 * (bbox[s, 2 * k] + bbox[s, 2 * k + 1])
                    centroid[s, k] = centroid[s, k] / total[s] if total[s] > 0 else middle
    for s in range(n):
        effective = total[s] * total[s] - squares[s]
        for k in range(3):
            spread = variance[s, k] / effective if effective > 0 else 0.0
            variance[s, k] = spread + 1.0 / 12.0


@njit(cache=True, nogil=True)
def fill_boxes(starts, index, values, width, first, labels, rows, bbox, offsets, code, data, mask):
    """Write the pixels of component s into box rows[s] (none if -1): data = values, mask = code; 0 elsewhere."""
    data[:] = 0
    mask[:] = 0
    for f in range(starts.shape[0] - 1):
        for p in range(starts[f], starts[f + 1]):
            row = rows[labels[p]]
            if row < 0:
                continue
            b = bbox[row]
            x, y, z = index[p] % width - b[0], index[p] // width - b[2], first + f - b[4]
            at = offsets[row] + (z * (b[3] - b[2]) + y) * (b[1] - b[0]) + x
            data[at] = values[p]
            mask[at] = code
