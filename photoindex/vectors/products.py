"""Inner products without threads: NumPy's would fight FAISS's for the cores."""

from __future__ import annotations

import numpy as np

from photoindex.tagger import Floats

_ALONE = 1 << 18  # multiplications that OpenBLAS does on one thread


def inner_products(queries: Floats, rows: Floats) -> Floats:
    """(q, n) float32 from (q, d) and (n, d).

    Threads of two kinds that take turns wait for each other: on two cores a search of 100,000
    photos took 28 ms with OpenBLAS's own, 9 ms without. So blocks are too small for them.
    """
    asked = np.asarray(queries, dtype=np.float32)
    if len(asked) == 1:  # OpenBLAS shares out even small products with one vector
        return np.asarray(np.einsum("qd,nd->qn", asked, rows), dtype=np.float32)
    products = np.empty((len(asked), len(rows)), dtype=np.float32)
    step = max(1, _ALONE // max(1, asked.size))
    for at in range(0, len(rows), step):
        products[:, at : at + step] = asked @ rows[at : at + step].T
    return products
