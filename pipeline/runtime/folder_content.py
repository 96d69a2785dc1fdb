"""Say which interrupted run a folder holds, from the record that it left (``run.json``)."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.runtime.folder_decision import Content
from pipeline.runtime.run_record import Identity, identity_in_record, is_same_run


def interrupted_content(
    record: Mapping[str, object] | None, identity: Identity, versions: object
) -> Content:
    """Return which kind of interrupted run left ``record``, the contents of ``run.json``.

    identity, versions: as in :meth:`RunFolder.content_for`.
    """
    if record is None:
        return Content.INTERRUPTED_UNKNOWN
    is_same = is_same_run(identity_in_record(record), identity)
    if is_same and record.get("versions") == versions:
        return Content.INTERRUPTED
    return Content.INTERRUPTED_OTHER


def is_replacing(record: Mapping[str, object], identity: Identity, finished: Content) -> bool:
    """Return whether the run ``identity`` was interrupted while it was replacing a finished one.

    record: the contents of ``run.json``. finished: what the manifest beside it says.
    """
    # A record that lists files beside complete layers: the run was interrupted in its clean-up.
    is_published = finished is Content.FINISHED and "files" in record
    return identity_in_record(record) == identity and not is_published
