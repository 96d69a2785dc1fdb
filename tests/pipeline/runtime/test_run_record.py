"""Reading manifests and records that may say anything, and writing them whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.runtime.run_record import files_of, identity_of, read_json, write_json


def test_json_files_are_whole_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert read_json(path) == {"a": 1}
    for text in ("", "[1]", "{", '{"a": ' * 5000):
        path.write_text(text)
        assert read_json(path) is None


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    max_leaves=8,
)


# The first draw builds tables, which takes seconds on a busy machine.
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.sampled_from(
            ["schema", "task", "input", "settings", "layers", "sheets", "files", "report_files"]
        ),
        anything,
    )
)
def test_any_manifest_is_read_without_an_error(value: dict[str, object]) -> None:
    assert all(
        "/" not in name.removeprefix("report/") and name not in (".", "..")
        for name in files_of(value)
    )
    assert identity_of(value) is None or value.get("schema") == 1
    assert json.loads(json.dumps(value)) == value
