"""The benchmark's tasks in four sets, by what they have been used for.

``first``: the first constants of the search were chosen on these. ``choosing``: later variants were compared on these.
``confirming``: never used for a choice; what was chosen was run on them afterwards. ``many``: functions of many parameters,
never used for a choice either.
"""

from __future__ import annotations

from functools import cache

from benchmarks.tasks.coco import coco_tasks
from benchmarks.tasks.moved import choosing_tasks, confirming_tasks, many_dimensional_tasks
from benchmarks.tasks.synthetic import synthetic_tasks
from benchmarks.tasks.tables import table_tasks
from benchmarks.tasks.task import Task

SETS = ("many", "first", "choosing", "confirming")
#: The algorithms whose tables belong to each set.
_TABLES = {
    "many": (),
    "first": ("svm", "sgd", "elastic_net"),
    "choosing": ("forest", "tree"),
    "confirming": ("mlp", "boosting", "kernel_ridge"),
}
_OWN = {
    "many": many_dimensional_tasks,
    "first": synthetic_tasks,
    "choosing": choosing_tasks,
    "confirming": lambda: [*confirming_tasks(), *coco_tasks()],
}


@cache
def task_set(name: str) -> tuple[Task, ...]:
    """The tasks of a set, the same objects each time: tasks of one name are compared by what they hold."""
    return (*_OWN[name](), *(t for t in table_tasks() if t.name.split("/")[0] in _TABLES[name]))
