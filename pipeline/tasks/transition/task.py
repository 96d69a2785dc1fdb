"""Tell the rest of the program about the task ``transition``."""

from pipeline.bench.clips import dissolve
from pipeline.task import BenchClip, RunParts, Task
from pipeline.tasks.transition.confidence import SCENE_CONFIDENCE
from pipeline.tasks.transition.describe import MIXED, headline
from pipeline.tasks.transition.dry_run import dry_run
from pipeline.tasks.transition.probe import diagnose, probe
from pipeline.tasks.transition.run import count_parts, run, separate_part
from pipeline.tasks.transition.separate import checkpoint_folder

TASK = Task(
    name="transition",
    help=(
        "undo dissolves, fades, wipes, irises, pushes, covers, reveals and squeezes: "
        "one whole scene for each shot"
    ),
    roles=("scene", "matte", MIXED),
    run=run,
    uses=frozenset({"confidence", "shots", "timeline", "transition"}),
    parts=RunParts(count=count_parts, do=separate_part, room=checkpoint_folder),
    dry_run=dry_run,
    headline=headline,
    bench=BenchClip(dissolve, 3, "a dissolve needs 3 frames or more, with clean ones on each side"),
    probe=probe,
    diagnose=diagnose,
    auto_order=3,
    confidence_roles=(SCENE_CONFIDENCE,),
)
