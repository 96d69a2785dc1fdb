"""The account of the things of a foreground: which of them have layers, and in which order."""

from __future__ import annotations

import torch

from pipeline.framewise.findings import Findings
from pipeline.framewise.things import FoundThings
from pipeline.tasks.segment import RECIPE
from stages.context import Separation
from stages.occlusion import Occlusion
from stages.segment.thing_layers import LEVELS


def found_things(*numbers: int, asked: int = 0, pair: tuple[int, int] = (1, 2)) -> FoundThings:
    """Return the account of one window with these things, and evidence about a pair."""
    assert RECIPE.division is not None
    found = FoundThings(RECIPE.division, asked)
    things = torch.tensor(numbers).view(1, 1, 1, -1) / LEVELS
    found.add(Separation({"things": things}, occlusions=(Occlusion(*pair, 0, 90, 1, 2, 3),)))
    return found


def test_what_is_known_of_a_thing_without_a_layer_is_left_out() -> None:
    """A thing of a few pixels is lost where the numbers are brought to full size."""
    found = found_things(1, 3)
    assert found.figures("foreground") == {"things": 2, "order": []}
    assert found.ranks() == {1: 1, 3: 2}
    assert found.warnings("foreground", Findings(0, 4, pictures=False)) == []


def test_the_order_names_things_by_their_rank() -> None:
    found = found_things(1, 2)
    assert found.ranks() == {2: 1, 1: 2}
    pairs = found.figures("foreground")["order"]
    assert isinstance(pairs, list)
    (pair,) = pairs
    assert (pair["front"], pair["behind"]) == ("foreground-001", "foreground-002")
    assert (pair["known_by"], pair["agreement"]) == ("seen where they meet", 1.0)


def test_how_many_of_the_asked_things_were_found_is_said() -> None:
    for numbers, words in (((1,), "1 thing that moves by itself was"), ((1, 2), "2 things that")):
        found = found_things(*numbers, asked=3)
        (warning,) = found.warnings("foreground", Findings(0, 4, pictures=False))
        assert warning.startswith(f"--layers 3: only {words}")
