"""Short waves beside noise: what the second of two fits is for.

The prior of lengthscales keeps noise from being read as a function of tiny lengthscales, and so it reads an objective of short
waves as noise. A search that does has no reason to look close to its best point, where such an objective is best. So where a
search's fit sees noise, every second suggestion is made by another fit whose lengthscales may be short, provided that this one
foretells each result from the others no worse than the first.
"""

from __future__ import annotations

from rekindle.search.bayesian.gp import GP, Priors

#: Where lengthscales are short, and as likely shorter still as longer.
SHORT = Priors(lengthscale=(0.07, 1.3), shorter=1.3)
#: Among fewer results than this waves cannot be told from noise.
_LEAST_RESULTS = 12
#: One suggestion in so many.
_EVERY = 2
#: A fit sees noise where more than this share of the variance is.
_NOISE_SHARE = 0.05


def has_turn(asked: int, results: int) -> bool:
    """Whether suggestion number ``asked``, after so many ``results``, is one for short waves."""
    return results >= _LEAST_RESULTS and asked % _EVERY == 0


def sees_noise(gp: GP) -> bool:
    """Whether a fit holds a part of what it was fitted to for noise."""
    return gp.hyper.noise > _NOISE_SHARE * (gp.hyper.noise + gp.hyper.signal)
