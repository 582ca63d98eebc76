"""``ab_ros blocks``: the building blocks of brains: what there is, and what each of them does."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path as FilePath
from typing import Any

from ab_ros.cli.report import check_picture
from ab_ros.engine.blocks import Component, Path, component_names, load_component
from ab_ros.errors import AbRosError

_DEFAULT_FOLDER = FilePath("docs")


def add_parser(commands: Any) -> None:
    """Add the command to the parser's ``commands``."""
    parser = commands.add_parser(
        "blocks",
        help="list, show and draw the building blocks of brains",
        description="The small circuits that recipes put together.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)

    listing = actions.add_parser("list", help="list all shipped blocks")
    listing.set_defaults(run=run_list)

    show = actions.add_parser("show", help="show one block: neurons, paths, terminals")
    show.add_argument("block", metavar="NAME", help="a shipped block, or a path that ends in .json")
    show.add_argument(
        "-o",
        "--output",
        type=FilePath,
        metavar="FILE.png",
        help="also try it, and draw what it does",
    )
    show.set_defaults(run=run_show)

    catalogue = actions.add_parser(
        "catalogue", help="write a page with a line and a picture of each block"
    )
    catalogue.add_argument("names", nargs="*", metavar="NAME", help="only these blocks")
    catalogue.add_argument(
        "-o",
        "--output",
        type=FilePath,
        default=_DEFAULT_FOLDER,
        metavar="DIR",
        help="folder for blocks.md and blocks/NAME.png (default: %(default)s)",
    )
    catalogue.set_defaults(run=run_catalogue)


def run_list(options: argparse.Namespace) -> int:
    """Print a line for each block."""
    shipped = component_names()
    width = max(map(len, shipped), default=0)
    for kind in ("components", "sub_components"):
        print(f"{kind.replace('_', '-')}:")
        for name, path in shipped.items():
            if path.parent.name == kind:
                component = load_component(name)
                inputs = ", ".join(terminal.name for terminal in component.inputs)
                outputs = ", ".join(terminal.name for terminal in component.outputs)
                print(f"  {name:{width}}  {len(component.nodes):2} neurons  {inputs} -> {outputs}")
    return 0


def run_show(options: argparse.Namespace) -> int:
    """Print a block, and draw it if a file is given."""
    check_picture("--output", options.output)
    component = load_component(options.block)
    print(_described(component))
    if options.output is not None:
        catalogue = _catalogue()
        print(f"\n{catalogue.write_picture(component, options.output)}")
    return 0


def run_catalogue(options: argparse.Namespace) -> int:
    """Write the page and its pictures; print the page's path."""
    print(_catalogue().write_catalogue(options.output, options.names))
    return 0


def _described(component: Component) -> str:
    lines = [component.name, component.description, "", "terminals:"]
    lines += [f"  {t.direction:6}  {t.name}: {', '.join(t.nodes)}" for t in component.terminals]
    lines += ["", "neurons:"]
    width = max(map(len, component.node_ids))
    for node in component.nodes:
        p = node.parameters
        text = f"  {node.id:{width}}  {node.type:4}  a {p.a:g}  b {p.b:g}  c {p.c:g}  d {p.d:g}"
        text += f"  bias {node.bias:g}" if node.bias else ""
        lines.append(text + (f"  noise {node.noise:g}" if node.noise else ""))
    # Paths that differ in their delay only are one line: slow inhibition has many.
    delays: dict[str, list[int]] = {}
    for path in component.paths:
        kind = " ".join([path.synapse.type_name, *_settings(path)])
        line = f"{path.source} -> {path.target}  {kind}  weight {path.weight:g}"
        delays.setdefault(line, []).append(path.delay)
    kinds = Counter(path.synapse.type_name for path in component.paths)
    lines += ["", "paths: " + ", ".join(f"{count} {kind}" for kind, count in kinds.items())]
    for line, after in delays.items():
        lines.append(f"  {line}  delay {', '.join(str(delay) for delay in after)}")
    return "\n".join(lines)


def _settings(path: Path) -> Iterator[str]:
    """Yield what of a path's parameters is not the default of its type."""
    for parameter in fields(path.synapse):  # type: ignore[arg-type]
        value = getattr(path.synapse, parameter.name)
        if value != parameter.default:
            yield (
                f"{parameter.name}={value:g}"
                if isinstance(value, float)
                else f"{parameter.name}={value}"
            )
    if path.modulator:
        yield f"modulator={'+'.join(path.modulator)}"
    if path.layer:
        yield f"layer={path.layer}"


def _catalogue() -> Any:
    try:
        from ab_ros.viz import catalogue
    except ImportError as error:
        raise AbRosError(
            f"pictures need Matplotlib and Pillow ({error}): pip install 'ab_ros[plot]'"
        ) from None
    return catalogue
