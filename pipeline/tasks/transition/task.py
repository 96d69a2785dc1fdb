"""Tell the rest of the program about the task ``transition``."""

from pipeline.bench.clips import dissolve
from pipeline.task import BenchClip, RunParts, Task
from pipeline.tasks.transition.describe import headline
from pipeline.tasks.transition.dry_run import dry_run
from pipeline.tasks.transition.run import count, do, room_of, run
from pipeline.tasks.transition.search import probe

TASK = Task(
    name="transition",
    help="undo dissolves, fades, wipes and irises: every shot whole, going on through the "
    "transitions at its ends",
    roles=("scene", "matte"),
    run=run,
    uses=frozenset({"transition"}),
    parts=RunParts(count, do, room_of),
    dry_run=dry_run,
    headline=headline,
    bench=BenchClip(dissolve, 3, "a dissolve needs 3 frames or more, with clean ones on each side"),
    probe=probe,
)
