"""The rules of Apple's DTD of FCPXML 1.10 for the elements that are written here.

Final Cut Pro rejects a document that breaks one of them as a whole. Source: "Document Type
Definition" in Apple's FCPXML reference (developer.apple.com).
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

_CLIPS = "(audio|video|clip|title|mc-clip|ref-clip|sync-clip|asset-clip|audition|gap) "
_MARKERS = "(marker |chapter-marker |rating |keyword |analysis-marker )*"
CHILDREN = {
    "fcpxml": "(import-options )?(resources )?(library |(event )*)",
    "resources": "((asset|effect|format|media|locator) )*",
    "format": "",
    "effect": "",
    "asset": "(media-rep )+(metadata )?",
    "media-rep": "(bookmark )?",
    "library": "((event|smart-collection) )*",
    "event": "((clip|asset-clip|project) )*",
    "project": "sequence ",
    "sequence": "(note )?spine (metadata )?",
    "spine": f"({_CLIPS}|transition )*",
    "asset-clip": f"(note )?{_MARKERS}(filter-video )*(filter-audio )*(metadata )?",
    "gap": f"(note )?{_MARKERS}(metadata )?",
    "transition": f"(filter-video )?(filter-audio )?{_MARKERS}(metadata )?(reserved )?",
    "filter-video": "(data )*(param )*",
    "marker": "",
}
"""The order of an element's children, as a pattern over their names."""
REQUIRED = {
    "fcpxml": {"version"},
    "format": {"id"},
    "effect": {"id", "uid"},
    "asset": {"id"},
    "media-rep": {"src"},
    "sequence": {"format"},
    "asset-clip": {"ref"},
    "gap": {"duration"},
    "transition": {"duration"},
    "filter-video": {"ref"},
    "marker": {"start", "value"},
}
"""The attributes without which an element is invalid."""
WORDS = {
    "tcFormat": {"DF", "NDF"},
    "kind": {"original-media", "proxy-media"},
}
"""The values of attributes that have a list of them."""
_TIMES = ("start", "duration", "offset", "tcStart", "frameDuration")
_TIME = re.compile(r"\d+(/[1-9]\d*)?s")


def faults(root: ET.Element) -> list[str]:
    """Return what of a document breaks the rules, a line each."""
    found = []
    names = [item.attrib["id"] for item in root.iter() if "id" in item.attrib]
    if len(set(names)) < len(names):
        found.append("an id is given twice")
    for item in root.iter():
        children = "".join(f"{child.tag} " for child in item)
        if not re.fullmatch(CHILDREN[item.tag], children):
            found.append(f"{item.tag} holds {children}")
        missing = REQUIRED.get(item.tag, set()) - set(item.attrib)
        if missing:
            found.append(f"{item.tag} lacks {sorted(missing)}")
        for name, value in item.attrib.items():
            if value not in WORDS.get(name, {value}):
                found.append(f"{item.tag} has {name}={value}")
            if name in _TIMES and not _TIME.fullmatch(value):
                found.append(f"{item.tag} has the time {value}")
    return found
