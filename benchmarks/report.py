"""Tables for RESULTS.md: means, ranks, bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

BOOTSTRAPS = 1000


def task_means(curves: np.ndarray, n: int, rng: np.random.Generator | None = None) -> np.ndarray:
    """Mean regret of each task after ``n`` evaluations, shape (tasks,); over seeds drawn again with ``rng``."""
    at = np.sort(curves[:, :, n - 1], axis=1)
    seeds = (~np.isnan(at)).sum(axis=1, keepdims=True)
    # Sorting put the missing runs last: the first ``seeds`` columns are those of a task.
    place = np.arange(at.shape[1])[None, :]
    drawn = place if rng is None else (rng.random(at.shape) * seeds).astype(np.intp)
    values = np.take_along_axis(at, np.broadcast_to(drawn, at.shape), axis=1)
    return np.asarray(np.sum(np.where(place < seeds, values, 0.0), axis=1) / seeds[:, 0])


def interval(samples: np.ndarray) -> str:
    """The 95 % interval of bootstrap samples."""
    low, high = np.quantile(samples, [0.025, 0.975])
    return f"{low:.3f}-{high:.3f}"


def ranks(means: np.ndarray) -> np.ndarray:
    """Average rank of each method, shape (methods,), from mean regrets of shape (methods, tasks); 1 is best."""
    return np.asarray(rankdata(means, axis=0).mean(axis=1))


def bootstrap(curves: Sequence[np.ndarray], n: int) -> tuple[np.ndarray, np.ndarray]:
    """Samples of mean regret and of average rank, each (samples, methods): tasks and seeds drawn again."""
    rng = np.random.default_rng(0)
    regret, rank = [], []
    for _ in range(BOOTSTRAPS):
        picked = rng.integers(0, len(curves[0]), len(curves[0]))
        means = np.array([task_means(c[picked], n, rng) for c in curves])
        regret.append(means.mean(axis=1))
        rank.append(ranks(means))
    return np.array(regret), np.array(rank)


def markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    rows = [list(header), ["---"] * len(header), *[list(line) for line in lines]]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def quality_section(
    name: str, found: Mapping[str, np.ndarray], tasks: Sequence[str], budgets: Sequence[int], workers: int
) -> str:
    """Each method beside ours on the tasks that both have run; then regret and average rank of the methods that have run every
    task, and each task's regret."""
    if "rekindle" not in found:
        return f"No runs with {workers} worker(s) on the set `{name}`."
    title = f"### {workers} worker{'s' * (workers > 1)}, {len(tasks)} tasks of the set `{name}`"
    beside = [line for m in found if m != "rekindle" for line in _beside(m, found["rekindle"], found[m], budgets)]
    header = ["method", "tasks", "seeds", "at", "rekindle", "method's", "rekindle's less method's", "rekindle better / worse"]
    return f"{title}\n\nPaired, task by task:\n\n{markdown(header, beside)}\n\n{_all_tasks(found, tasks, budgets)}"


def _beside(method: str, ours: np.ndarray, theirs: np.ndarray, budgets: Sequence[int]) -> list[list[str]]:
    """A line for each budget: mean regrets on the tasks that both have run, their difference with its interval (bootstrap over
    tasks, and over seeds within each), and on how many tasks ours is better or worse by more than 0.001."""
    both = np.flatnonzero(~np.isnan(ours[:, :, 0]).all(axis=1) & ~np.isnan(theirs[:, :, 0]).all(axis=1))
    if len(both) == 0:
        return []
    seeds = f"{_seeds(ours[both])} / {_seeds(theirs[both])}"
    lines, rng = [], np.random.default_rng(0)
    for n in budgets:
        a, b = task_means(ours[both], n), task_means(theirs[both], n)
        samples = []
        for _ in range(BOOTSTRAPS):
            drawn = rng.choice(both, len(both))
            samples.append(task_means(ours[drawn], n, rng).mean() - task_means(theirs[drawn], n, rng).mean())
        low, high = np.quantile(samples, [0.025, 0.975])
        difference = f"{(a - b).mean():+.3f} ({low:+.3f} to {high:+.3f})"
        wins = f"{np.sum(a < b - 0.001)} / {np.sum(a > b + 0.001)}"
        lines.append([method, str(len(both)), seeds, str(n), f"{a.mean():.3f}", f"{b.mean():.3f}", difference, wins])
    return lines


def _seeds(curves: np.ndarray) -> str:
    counts = (~np.isnan(curves[:, :, 0])).sum(axis=1)
    return f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"


def _all_tasks(found: Mapping[str, np.ndarray], tasks: Sequence[str], budgets: Sequence[int]) -> str:
    """Regret and average rank of the methods that have run every task, and each task's regret."""
    whole = {m: c for m, c in found.items() if not np.isnan(c[:, :, 0]).all(axis=1).any()}
    if len(whole) < 2:
        return ""
    names, curves = list(whole), list(whole.values())
    cells: dict[str, list[str]] = {m: [] for m in names}
    for n in budgets:
        means = np.array([task_means(c, n) for c in curves])
        regret, rank = bootstrap(curves, n)
        for i, (m, r) in enumerate(zip(names, ranks(means), strict=True)):
            cells[m].append(f"{means[i].mean():.3f} ({interval(regret[:, i])})")
            cells[m].append(f"{r:.2f} ({interval(rank[:, i])})")
    order = sorted(names, key=lambda m: task_means(whole[m], 50).mean())
    header = ["method", "seeds", *[f"{what} at {n}" for n in budgets for what in ("regret", "rank")]]
    summary = markdown(header, [[m, _seeds(whole[m]), *cells[m]] for m in order])
    detail = markdown(
        ["task", *order], [[t, *[f"{task_means(whole[m], 50)[i]:.3f}" for m in order]] for i, t in enumerate(tasks)]
    )
    return f"Methods that have run every task:\n\n{summary}\n\nRegret at 50 evaluations, task by task:\n\n{detail}"


def replace_section(path: Path, name: str, text: str) -> None:
    """Puts ``text`` between the markers of a section of a Markdown file, adding both at the end when they are not there."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    old = path.read_text() if path.exists() else "# Results\n"
    block = f"{begin}\n{text}\n{end}"
    if begin in old:
        head, rest = old.split(begin, 1)
        path.write_text(head + block + rest.split(end, 1)[1])
    else:
        path.write_text(f"{old.rstrip()}\n\n{block}\n")
