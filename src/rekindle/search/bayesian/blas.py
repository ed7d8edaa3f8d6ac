"""One thread for linear algebra, so that a suggestion has the same bits whatever the number of threads.

A threaded BLAS splits a product among its threads and rounds it otherwise than one thread does. Matrices here are small:
one thread is also the fastest.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from numpy.linalg import _umath_linalg
from scipy.linalg import _flapack

#: Names under which builds of OpenBLAS export their setter and getter: (prefix, suffix).
_OPENBLAS = [("scipy_", "64_"), ("scipy_", ""), ("", "64_"), ("", ""), ("", "64"), ("", "_64_")]
#: MKL's own pair.
_MKL = ("MKL_Set_Num_Threads", "MKL_Get_Max_Threads")


@dataclass
class _Scopes:
    """How many callers are inside ``single_thread``, and what the libraries were set to before the first of them."""

    inside: int = 0
    before: tuple[int, ...] = ()


_lock = threading.Lock()
_scopes = _Scopes()


@contextmanager
def single_thread() -> Iterator[None]:
    """Runs the BLAS of numpy and of scipy with one thread inside; restores it after the last caller has left.

    Knows OpenBLAS and MKL. With another library this does nothing: set its number of threads in the environment.
    """
    with _lock:
        if _scopes.inside == 0:
            _scopes.before = tuple(get() for _, get in _controls())
            _set_all([1] * len(_scopes.before))
        _scopes.inside += 1
    try:
        yield
    finally:
        with _lock:
            _scopes.inside -= 1
            if _scopes.inside == 0:
                _set_all(_scopes.before)


def _set_all(counts: tuple[int, ...] | list[int]) -> None:
    for (put, _), count in zip(_controls(), counts, strict=True):
        put(count)


@cache
def _controls() -> tuple[tuple[Callable[[int], object], Callable[[], int]], ...]:
    """Setter and getter of the BLAS behind numpy and of the one behind scipy: a wheel of each brings its own."""
    found = [_control(module.__file__) for module in (_umath_linalg, _flapack)]
    return tuple(pair for pair in found if pair is not None)


def _control(path: str | None) -> tuple[Callable[[int], object], Callable[[], int]] | None:
    if path is None:
        return None
    try:
        library = ctypes.CDLL(path)
    except OSError:
        return None
    pairs = [(f"{a}openblas_set_num_threads{b}", f"{a}openblas_get_num_threads{b}") for a, b in _OPENBLAS]
    for put, get in [*pairs, _MKL]:
        if hasattr(library, put) and hasattr(library, get):
            return getattr(library, put), getattr(library, get)
    return None
