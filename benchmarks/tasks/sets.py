"""The benchmark's tasks in three sets, by what they have been used for.

``first``: the first constants of the search were chosen on these. ``choosing``: later variants were compared on these.
``confirming``: never used for a choice; what was chosen was run on them afterwards.
"""

from __future__ import annotations

from benchmarks.tasks.coco import coco_tasks
from benchmarks.tasks.moved import choosing_tasks, confirming_tasks
from benchmarks.tasks.synthetic import synthetic_tasks
from benchmarks.tasks.tables import table_tasks
from benchmarks.tasks.task import Task

SETS = ("first", "choosing", "confirming")
#: The algorithms whose tables belong to each set.
_TABLES = {
    "first": ("svm", "sgd", "elastic_net"),
    "choosing": ("forest", "tree"),
    "confirming": ("mlp", "boosting", "kernel_ridge"),
}
_OWN = {
    "first": synthetic_tasks,
    "choosing": choosing_tasks,
    "confirming": lambda: [*confirming_tasks(), *coco_tasks()],
}


def task_set(name: str) -> list[Task]:
    """The tasks of a set."""
    return [*_OWN[name](), *(t for t in table_tasks() if t.name.split("/")[0] in _TABLES[name])]
