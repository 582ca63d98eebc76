"""The definition of a layered brain: a JSON document, read into a plan and written from one."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jsonschema import Draft202012Validator

from ab_ros.config import Source
from ab_ros.engine.atomic import replaced
from ab_ros.engine.documents import check_schema, parse_json, read_json
from ab_ros.errors import ConfigError, one_of
from ab_ros.layered.computation import Computation, SparseComputation, StandardComputation
from ab_ros.layered.learning import HebbianLearning, Learning
from ab_ros.layered.neuron import FeedBackward, FeedForward, LoopBack, Neurons
from ab_ros.layered.plan import CycleSettings, GroupPlan, InputPlan, Plan, make_plan
from ab_ros.layered.sensor import Feedback, Sensor
from ab_ros.layered.source import Emitter, Output

Rule = TypeVar("Rule", Computation, Learning)
Rules = Iterable[type[Computation] | type[Learning]]
OURS: tuple[type[Computation] | type[Learning], ...] = (
    StandardComputation,
    SparseComputation,
    HebbianLearning,
)
_CYCLE = tuple(field.name for field in dataclasses.fields(CycleSettings))


def read_definition(path: Path, *, seed: int | None = None, rules: Rules = ()) -> Plan:
    """Read a definition from a JSON file.

    Parameters
    ----------
    path : of the file; ``layered.schema.json`` describes every key.
    seed : where the definition says none; None is 0.
    rules : classes of computations and learnings of one's own, which the definition calls by their
        names.

    Raises
    ------
    ConfigError
        naming file, JSON path, value and what is allowed, for anything that does not fit.
    """
    return plan_of(read_json(path), str(path), seed=seed, rules=rules)


def parse_definition(
    text: str, where: str, *, seed: int | None = None, rules: Rules = ()
) -> tuple[Plan, float | None]:
    """Return the plan of a definition's text, and its dt in s if it says one."""
    document = parse_json(text, where)
    plan = plan_of(document, where, seed=seed, rules=rules)
    return plan, document.get("dt")


def write_definition(path: Path, plan: Plan, dt: float | None = None) -> None:
    """Write the definition of a plan to a JSON file, atomically.

    Raises
    ------
    ConfigError
        if the file cannot be written, or the plan holds what a definition cannot say.
    """
    text = json.dumps(document_of(plan, dt), indent=2) + "\n"
    try:
        with replaced(Path(path)) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None


def plan_of(
    document: Any, where: str = "definition", *, seed: int | None = None, rules: Rules = ()
) -> Plan:
    """Turn a parsed JSON document into a plan; see :func:`read_definition`."""
    check_schema(document, _validator(), where)
    source = Source(where)
    emitters: dict[str, Emitter] = {}

    def add(name: str, emitter: Emitter, place: str) -> None:
        if name in emitters:
            raise ConfigError(f"{where}: {place}: the name {name!r} is taken already")
        emitters[name] = emitter

    for name, item in document.get("sensors", {}).items():
        sensor = Sensor.of_settings(name, item, source, ("sensors", name))
        add(name, sensor, f"sensors.{name}")
    for name, item in document.get("feedback", {}).items():
        add(name, Feedback(item["size"], name, item["output"]), f"feedback.{name}")
    layers: list[list[Neurons]] = []
    items: list[tuple[str, Any, Neurons]] = []
    for k, entry in enumerate(document["layers"]):
        row = []
        several = isinstance(entry, list)
        for j, item in enumerate(entry if several else [entry]):
            place = f"layers[{k}]" + (f"[{j}]" if several else "")
            group = _group(item, f"{where}: {place}", rules)
            add(
                group.name or (f"layer{k}_{j}" if len(entry) > 1 and several else f"layer{k}"),
                group,
                place,
            )
            row.append(group)
            items.append((place, item, group))
        layers.append(row)
    for connect, key in (
        (FeedForward, "feed_forward"),
        (FeedBackward, "feed_backward"),
        (LoopBack, "loop_back"),
    ):
        for name in document.get(key, []):
            connect(layers, name)
    for place, item, group in items:
        for name, given in item.get("inputs", {}).items():
            _connect(group, name, given, emitters, f"{where}: {place}.inputs.{name}")
    try:
        return make_plan(
            layers,
            [e for e in emitters.values() if isinstance(e, Sensor)],
            _computation(document.get("computation"), rules, f"{where}: computation"),
            _learning(document.get("learning"), rules, f"{where}: learning"),
            feedback=[e for e in emitters.values() if isinstance(e, Feedback)],
            seed=document.get("seed", seed or 0),
            name=document.get("name", "layered"),
            description=document.get("description", ""),
            cycle=CycleSettings(**{key: document[key] for key in _CYCLE if key in document}),
        )
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def document_of(plan: Plan, dt: float | None = None) -> dict[str, Any]:
    """Return the definition of a plan; it has every input by name, and no weights.

    Raises
    ------
    ConfigError
        if the plan holds what a definition cannot say: an encoder without a name, or a rule that
        is no dataclass.
    """
    for sensor in plan.sensors.values():
        sensor.check_named()
    document: dict[str, Any] = {"name": plan.name}
    if plan.description:
        document["description"] = plan.description
    document["seed"] = plan.seed
    if dt is not None:
        document["dt"] = dt
    document.update(dataclasses.asdict(plan.cycle))
    document["sensors"] = {
        name: {
            key: value
            for key, value in dataclasses.asdict(settings).items()
            if value not in (None, "", (), {})
        }
        for name, settings in plan.inputs().items()
    }
    document["feedback"] = {
        name: {"size": each.size, "output": each.output} for name, each in plan.feedback.items()
    }
    document["layers"] = [[_group_document(group) for group in layer] for layer in plan.layers]
    return document


def canonical(plan: Plan) -> str:
    """Return the definition as one line of text; equal brains have equal texts."""
    return json.dumps(document_of(plan), sort_keys=True, separators=(",", ":"))


@functools.cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(read_json(Path(__file__).parent / "layered.schema.json"))


def _group(item: Mapping[str, Any], where: str, rules: Rules) -> Neurons:
    shape = item["shape"]
    try:
        return Neurons(
            shape if isinstance(shape, int) else tuple(shape),
            item.get("name", ""),
            computation=_computation(item.get("computation"), rules, f"{where}.computation"),
            learning=_learning(item.get("learning"), rules, f"{where}.learning"),
            layer=item.get("layer", ""),
            output=item.get("output", False),
        )
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}" if where not in str(error) else str(error)) from None


def _connect(
    group: Neurons, name: str, given: Any, emitters: Mapping[str, Emitter], where: str
) -> None:
    seeded = isinstance(given, dict) and "from" in given
    sources = given["from"] if seeded else given
    several = sources if isinstance(sources, list) else [sources]
    found = [
        _output(each, emitters, f"{where}[{k}]" if sources is several else where)
        for k, each in enumerate(several)
    ]
    group.set(name, found, seed=given["seed"] if seeded else None)


def _output(given: Any, emitters: Mapping[str, Emitter], where: str) -> Output:
    name, bracket, rest = (given["name"], "", "") if isinstance(given, dict) else _parts(given)
    if name not in emitters:
        raise ConfigError(
            f"{where}: there is no group, sensor or feedback {name!r}; {one_of(emitters)}"
        )
    emitter = emitters[name]
    try:
        if isinstance(given, dict):
            flat = np.arange(emitter.size)[given["indices"]]
            whole = Output(emitter.pieces, (emitter.size,))
            return whole[flat]
        return emitter[_index(rest)] if bracket else emitter
    except (IndexError, ValueError) as error:
        raise ConfigError(f"{where}: {given!r}: {error}") from None


def _parts(text: str) -> tuple[str, str, str]:
    name, bracket, rest = text.partition("[")
    return name, bracket, rest.removesuffix("]")


def _index(text: str) -> tuple[slice | int, ...]:
    """Return what NumPy makes of the text between the brackets of an index."""
    steps: list[slice | int] = []
    for part in text.split(","):
        numbers = [int(n) if n.strip() else None for n in part.split(":")]
        if len(numbers) == 1 and numbers[0] is not None:
            steps.append(numbers[0])
        elif 2 <= len(numbers) <= 3:
            steps.append(slice(*numbers))
        else:
            raise ValueError("must be numbers and slices, such as 0:3 or 0, ::2")
    return tuple(steps)


def _group_document(group: GroupPlan) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": group.name,
        "shape": list(group.shape),
        "inputs": {i.name: _input_document(i) for i in group.inputs},
        "computation": _rule_document(group.computation),
    }
    if group.learning is not None:
        document["learning"] = _rule_document(group.learning)
    if group.layer:
        document["layer"] = group.layer
    if group.output:
        document["output"] = True
    return document


def _input_document(plan: InputPlan) -> Any:
    sources = [
        name if indices is None else {"name": name, "indices": indices.tolist()}
        for name, indices in plan.pieces
    ]
    return sources if plan.seed is None else {"from": sources, "seed": plan.seed}


def _computation(item: Any, rules: Rules, where: str) -> Computation | None:
    known = {name_of(r): r for r in (*OURS, *rules) if issubclass(r, Computation)}
    return _rule(item, known, "computation", where)


def _learning(item: Any, rules: Rules, where: str) -> Learning | None:
    known = {name_of(r): r for r in (*OURS, *rules) if issubclass(r, Learning)}
    return _rule(item, known, "learning", where)


def _rule(item: Any, known: Mapping[str, type[Rule]], what: str, where: str) -> Rule | None:
    if item is None:
        return None
    options = {key: value for key, value in item.items() if key != "type"}
    if item["type"] not in known:
        raise ConfigError(
            f"{where}.type: unknown {what} {item['type']!r}; {one_of(known)} (one"
            f" of your own has to be given as a class: rules=[MyClass])"
        )
    rule = known[item["type"]]
    if rule is SparseComputation:
        options = _sparse_options(options, where)
    allowed = {field.name: field for field in dataclasses.fields(rule)}  # type: ignore[arg-type]
    for key in options:
        if key not in allowed:
            raise ConfigError(
                f"{where}.{key}: unknown key; {one_of(allowed) if allowed else 'it takes none'}"
            )
    try:
        return rule(**options)
    except (ConfigError, TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {error}") from None


def _sparse_options(options: dict[str, Any], where: str) -> dict[str, Any]:
    # In JSON 1 and 1.0 are the same number: what n counts has to be said.
    if ("count" in options) == ("fraction" in options) or "n" in options:
        raise ConfigError(f"{where}: a sparse computation needs a count or a fraction")
    rest = {key: value for key, value in options.items() if key not in ("count", "fraction")}
    if "count" in options:
        return {"n": options["count"], **rest}
    fraction = options["fraction"]
    if isinstance(fraction, bool) or not isinstance(fraction, (int, float)):
        raise ConfigError(f"{where}.fraction: must be a number (got {fraction!r})")
    return {"n": float(fraction), **rest}


def name_of(rule: type[Computation] | type[Learning]) -> str:
    """Return what a definition calls a computation or learning."""
    return rule.type_name or rule.__name__


def _rule_document(rule: Computation | Learning) -> dict[str, Any]:
    if not dataclasses.is_dataclass(rule):
        raise ConfigError(
            f"{type(rule).__name__} cannot be saved: make it a frozen dataclass, whose fields are"
            f" its settings"
        )
    given = dataclasses.asdict(rule)
    if isinstance(rule, SparseComputation):
        n = given.pop("n")
        given = {("fraction" if isinstance(n, float) else "count"): n, **given}
    kept = {key: value for key, value in given.items() if value not in ({}, None)}
    try:
        json.dumps(kept, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{type(rule).__name__} cannot be saved: {error}") from None
    return {"type": name_of(type(rule)), **kept}
