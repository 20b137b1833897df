"""Linear discriminant analysis with shrinkage, factored once for every strength."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from houndsight.maps import Map, unit

__all__ = ["Discriminant", "Settings"]

# Rows in float64 at once: 2,048 x 2,048 x 8 bytes = 32 MB.
BLOCK = 2048


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides a map, beside the photos that it is fitted on.

    Attributes
    ----------
    projection_shrinkage, score_shrinkage
        Strengths for the two parts of a map, above 0, up to 1.
    temperature
        What scores are divided by, above 0.
    blend
        Part of the posteriors in squared distances, 0 to 1.
    """

    projection_shrinkage: float
    score_shrinkage: float
    temperature: float
    blend: float


class Discriminant:
    """Scatter within labels and the labels' means, of vectors scaled to norm 1.

    With n photos, S the scatter within labels divided by n, and m_c and p_c a label's mean and
    share of the photos, shrinkage t replaces S by ``S(t) = (1 - t) S + t trace(S) / dim I`` (Ledoit
    and Wolf, J. Multivariate Analysis 88, 2004; Friedman, Regularized discriminant analysis, JASA
    84, 1989). One eigendecomposition of S gives all S(t).

    Parameters
    ----------
    vectors
        (n, dim); scaled to norm 1 here.
    labels
        int (n,), 0 to n_labels - 1, each at least once. Where no label has two photos that differ,
        S is taken to be I.
    """

    def __init__(self, vectors: NDArray[np.floating], labels: NDArray[np.intp]) -> None:
        n, dim = vectors.shape
        counts = np.bincount(labels)
        # Where photos are fewer than dimensions all happens within what they span: in a basis of
        # that, everything is only as large as there are photos.
        few = np.linalg.qr(unit(vectors.astype(np.float64)).T)[0] if n < dim else None
        size = min(n, dim)
        sums, scatter = np.zeros((len(counts), size)), np.zeros((size, size))
        for start in range(0, n, BLOCK):
            x = unit(vectors[start : start + BLOCK].astype(np.float64))
            x = x if few is None else x @ few
            np.add.at(sums, labels[start : start + BLOCK], x)
            scatter += x.T @ x
        means = sums / counts[:, None]
        values, axes = np.linalg.eigh((scatter - sums.T @ means) / n)
        self._axes = axes if few is None else few @ axes
        self._spread = np.maximum(values, 0.0)
        if self._spread[-1] <= 1e-12:
            # No label has two photos that differ: all directions count alike.
            self._spread = np.ones(size)
        self._mean_spread = float(self._spread.sum()) / dim
        self._shares = counts / n
        centre = self._shares @ means
        self.centre = centre if few is None else few @ centre
        self._turned = (means - centre) @ axes

    def _inverse(self, shrinkage: float) -> NDArray[np.float64]:
        inverse: NDArray[np.float64] = 1.0 / (
            (1 - shrinkage) * self._spread + shrinkage * self._mean_spread
        )
        return inverse

    def projection(self, shrinkage: float) -> NDArray[np.float64]:
        """Return the discriminant axes, (dim, r), r at most one less than there are labels.

        They whiten S(t) and are the principal axes of the labels' means after that (Rao, J. Royal
        Statistical Society B 10, 1948).
        """
        root = np.sqrt(self._inverse(shrinkage))
        weighted = self._turned * root * np.sqrt(self._shares)[:, None]
        # Through the smaller of the two products: many times faster than by singular values.
        wide = len(weighted) <= weighted.shape[1]
        values, axes = np.linalg.eigh(weighted @ weighted.T if wide else weighted.T @ weighted)
        kept = values > 1e-10 * values[-1]
        axes = axes[:, kept][:, ::-1]
        if wide:
            axes = weighted.T @ axes / np.sqrt(values[kept][::-1])
        projection: NDArray[np.float64] = (self._axes * root) @ axes
        return projection

    def scores(self, shrinkage: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return weights (dim, n_labels) and bias (n_labels,) of the labels' linear scores.

        ``s_c(x) = m_c' S(t)^-1 (x - m_c / 2) + log p_c``: the logarithm of the posterior, up to
        what all labels share, if photos of a label spread normally with covariance S(t) (Fisher
        1936; Hastie, Tibshirani, Friedman, Elements of Statistical Learning, 2nd edition, 4.10).
        """
        scaled = self._turned * self._inverse(shrinkage)
        weights = scaled @ self._axes.T
        bias = np.log(self._shares) - 0.5 * np.einsum("cd,cd->c", scaled, self._turned)
        return weights.T, bias - weights @ self.centre

    def map(self, name: str, labels: Sequence[str], settings: Settings) -> Map:
        """Return the map of these settings."""
        weights, bias = self.scores(settings.score_shrinkage)
        return Map(
            name=name,
            centre=self.centre,
            projection=self.projection(settings.projection_shrinkage),
            weights=weights,
            bias=bias,
            labels=tuple(labels),
            temperature=settings.temperature,
            blend=settings.blend,
        )
