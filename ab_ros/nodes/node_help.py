"""What a node says to ``--help``: what it does, its topics and services, its parameters.

Topics are read from the node's source, so that nothing has to be written down twice and none has to
be made: a simulator would render, a brain be wired, for a text.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ab_ros.config import describe, flatten, rules
from ab_ros.nodes.lifecycle import AbNode
from ab_ros.nodes.message_types import type_name

_MAKES: Mapping[str, str] = {
    "advertise": "publishes",
    "subscribe": "takes",
    "serve": "serves",
    "use": "asks",
    "create_client": "asks",
}
"""Methods by which nodes make what others see, see ab_ros.nodes.gated, and the word for each."""
_ROLE = re.compile(r":\w+:`~?(?:[\w.]*\.)?(\w+)`")


@dataclass(frozen=True)
class Made:
    """A topic or service that a node makes.

    Parameters
    ----------
    verb : what the node does with it.
    name : of the topic or service; ``<setting>`` where a parameter names it.
    kind : of message or service, such as ``std_srvs/srv/Trigger``; empty where it depends.
    sometimes : whether it depends on parameters if there is one.
    """

    verb: str
    name: str
    kind: str
    sometimes: bool


def help_of(node_class: type[AbNode[Any]]) -> str:
    """Return the help of a node, for people who start it by hand.

    What it does is the docstring of its module, so that is written for them.
    """
    name = node_class.node_name
    parts = [
        f"usage: ros2 run ab_ros {name} [-h] [--ros-args [-p NAME:=VALUE] [--params-file FILE]"
        f" [-r FROM:=TO] ...]",
        _plain(inspect.cleandoc(sys.modules[node_class.__module__].__doc__ or "")),
        f"Topics and services (~ is /{name}):\n{_table(node_class)}\n\n"
        "It is a lifecycle node that configures and activates itself (autostart:=false leaves it"
        " to\nothers), and publishes its figures on /diagnostics.",
        node_class.help_more(),
        _giving(node_class),
        f"Parameters, as 'ab_ros settings' lists them; '*' stands for a name of yours:\n"
        f"{describe(node_class.settings_class)}",
    ]
    return "\n\n".join(part for part in parts if part)


def _plain(text: str) -> str:
    """Return a docstring without its markup."""
    return _ROLE.sub(r"\1", text).replace("``", "'").replace("`", "'")


def _giving(node_class: type[AbNode[Any]]) -> str:
    name = node_class.node_name
    plain = dataclasses.fields(node_class.settings_class)
    setting, value = next(
        ((item.name, item.default) for item in plain if isinstance(item.default, (str, int))),
        ("NAME", "VALUE"),
    )
    shown = str(value).lower() if isinstance(value, bool) else str(value) or '""'
    return (
        "Parameters are given one by one, or in a file, in which all nodes of a robot may stand:\n"
        f"  ros2 run ab_ros {name} --ros-args -p {setting}:={shown} -r FROM_TOPIC:=TO_TOPIC\n"
        f"  ros2 run ab_ros {name} --ros-args --params-file robot.yaml -r __ns:=/my_robot\n\n"
        f"  /**/{name}:\n"
        f"    ros__parameters:\n"
        f"      {setting}: {shown}\n\n"
        "'ab_ros check robot.yaml' tells what is wrong in a file; 'ros2 param set' changes those"
        " that\nare live while the node runs."
    )


def _table(node_class: type[AbNode[Any]]) -> str:
    made = list(dict.fromkeys(made_by(node_class)))
    if not made:
        return "  those that its parameters name"
    wide = max(len(item.name) for item in made)
    return "\n".join(
        f"  {item.verb:<10} {item.name:<{wide}}  {item.kind or 'by its parameters'}"
        + ("  (if its parameters ask for it)" if item.sometimes else "")
        for item in made
    )


def made_by(node_class: type[AbNode[Any]]) -> Iterator[Made]:
    """Yield the topics and services of a node, as far as they stand in its source."""
    for cls in node_class.__mro__:
        if cls is AbNode:
            return
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
        except OSError:
            continue  # installed without its source
        names = vars(sys.modules[cls.__module__])
        defaults = dict(_defaults(node_class.settings_class))
        yield from _made(tree, names, defaults, False)


def _defaults(cls: type[Any]) -> Iterator[tuple[str, str]]:
    """Yield the settings that may name a topic, and their defaults; empty if there is none."""
    try:
        given = dict(flatten(cls()))
    except Exception:  # it has settings without a default, or refuses its defaults
        given = {}
    for name, hint, _ in rules(cls):
        if hint is str:
            yield name, str(given.get(name, ""))


def _made(
    tree: ast.AST, names: Mapping[str, Any], defaults: Mapping[str, str], sometimes: bool
) -> Iterator[Made]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            verb = _MAKES.get(node.func.attr)
            if verb and ast.unparse(node.func.value) == "self" and len(node.args) > 1:
                name = _name(node.args[1], defaults)
                if name:
                    yield Made(verb, name, _kind(node.args[0], names), sometimes)
        branch = isinstance(node, (ast.If, ast.For, ast.IfExp))
        yield from _made(node, names, defaults, sometimes or branch)


def _name(node: ast.expr, defaults: Mapping[str, str]) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if not isinstance(node, ast.Attribute):
        return ""
    setting = ast.unparse(node).removeprefix("self.settings.").removeprefix("s.")
    if setting in defaults:
        return f"<{setting}>" + (f" ({defaults[setting]})" if defaults[setting] else "")
    return ""


def _kind(node: ast.expr, names: Mapping[str, Any]) -> str:
    found = names.get(node.id) if isinstance(node, ast.Name) else None
    return type_name(found) if isinstance(found, type) else ""
