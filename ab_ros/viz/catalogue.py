"""The catalogue of building blocks: a page with a line, a description and a picture of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ab_ros.engine.blocks import (
    Component,
    Stimulus,
    component_names,
    load_component,
    probing,
    respond,
)
from ab_ros.engine.blocks.demonstrations import DEMONSTRATIONS
from ab_ros.viz.blocks import component_picture
from ab_ros.viz.saving import save, write_bytes

PAGE = "blocks.md"
PICTURES = "blocks"
_HEADINGS = {"components": "Components", "sub_components": "Sub-components"}
_INTRODUCTION = """\
# Building blocks

Small circuits of 3 to 15 neurons that brains are made of. Each is a JSON file: neurons, the paths
between them, and terminals to join them by. Meaning comes from wiring: no block knows what it is
used for. What a block promises here, a test holds it to.

In the pictures, orange is input: the current into each terminal above, the time of it in the rows
of the neurons that get it. Green spikes leave through an output terminal (its name is at the
right), red ones are of inhibitory types, blue ones of all others.

    ab_ros blocks list
    ab_ros blocks show binary_decision
    ab_ros blocks show my_block.json -o my_block.png
"""


def demonstration_of(component: Component) -> Stimulus:
    """Return what is shown to a component: its demonstration, or its inputs one by one."""
    return DEMONSTRATIONS.get(component.name) or probing(component)


def write_picture(component: Component, path: Path) -> Path:
    """Try a component and save the picture; return its path."""
    stimulus = demonstration_of(component)
    return save(component_picture(component, stimulus, respond(component, stimulus)), path)


def write_catalogue(folder: Path, names: Sequence[str] = ()) -> Path:
    """Write the page ``blocks.md`` and the pictures ``blocks/NAME.png``; return the page's path.

    Parameters
    ----------
    folder : made if it is missing.
    names : of shipped blocks, by default all.

    Raises
    ------
    ConfigError
        for an unknown name, a block with a fault, or a folder that cannot be written.
    """
    shipped = component_names()
    components = [load_component(name) for name in names or shipped]
    for component in components:
        write_picture(component, folder / PICTURES / f"{component.name}.png")
    parts = [_INTRODUCTION]
    for kind, heading in _HEADINGS.items():
        these = [c for c in components if shipped[c.name].parent.name == kind]
        if these:
            parts += [f"## {heading}\n", _table(these), *(_entry(c) for c in these)]
    parts.append("This page and its pictures are written by `ab_ros blocks catalogue`.\n")
    return write_bytes(folder / PAGE, "\n".join(parts).encode())


def first_sentence(component: Component) -> str:
    """Return the first sentence of a component's description."""
    return component.description.split(". ")[0].rstrip(".")


def _table(components: list[Component]) -> str:
    lines = ["| block | neurons | what it does |", "|---|---:|---|"]
    lines += [
        f"| [{c.name}](#{c.name}) | {len(c.nodes)} | {first_sentence(c)} |" for c in components
    ]
    return "\n".join(lines) + "\n"


def _entry(component: Component) -> str:
    inputs = ", ".join(f"`{terminal.name}`" for terminal in component.inputs) or "none"
    outputs = ", ".join(f"`{terminal.name}`" for terminal in component.outputs) or "none"
    shows = demonstration_of(component).shows
    return (
        f"### {component.name}\n\n{component.description}\n\n"
        f"In: {inputs}. Out: {outputs}.\n\n"
        f"![{component.name}: {shows}]({PICTURES}/{component.name}.png)\n"
    )
