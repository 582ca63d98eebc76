"""Recipes are read from JSON files.

A file is checked twice: its structure against ``recipe.schema.json``, which documents every key,
then its meaning (components, terminals, what the synapse types allow) by the code below.
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from jsonschema import Draft202012Validator

from ab_ros.engine.blocks.component import Component, load_component
from ab_ros.engine.documents import check_schema, read_json, shown
from ab_ros.engine.recipes.recipe import (
    Entry,
    Interface,
    Line,
    Port,
    Projection,
    Recipe,
    Wiring,
)
from ab_ros.engine.synapses import SYNAPSE_TYPES, Gated, RewardPlastic, Synapse
from ab_ros.errors import ConfigError, EngineError, one_of

_FOLDER = Path(__file__).parent
_SIDES = ("from", "to")
# What a recipe says in other words.
_NOT_IN_PARAMS = ("modulator", "modulator_neurons")


def recipe_names() -> dict[str, Path]:
    """Return the files of all shipped recipes by name, sorted."""
    found = [p for p in _FOLDER.glob("*.json") if not p.name.endswith(".schema.json")]
    return {path.stem: path for path in sorted(found, key=lambda path: path.stem)}


def load_recipe(name_or_path: str | Path) -> Recipe:
    """Read a recipe.

    Parameters
    ----------
    name_or_path : name of a shipped recipe, or path of a file (text with a separator or the ending
        .json, or a Path).

    Raises
    ------
    ConfigError
        for an unknown name; and, naming file, JSON path, value and what is allowed, for anything
        in the file that does not fit.
    """
    shipped = recipe_names()
    text = str(name_or_path)
    is_path = isinstance(name_or_path, Path) or "/" in text or text.endswith(".json")
    if not is_path and text not in shipped:
        raise ConfigError(
            f"recipe {text!r}: unknown; a path that ends in .json, or {one_of(shipped)}"
        )
    path = Path(text) if is_path else shipped[text]
    return recipe_of(read_json(path), str(path), path.parent)


def recipe_of(document: Any, where: str = "recipe", folder: Path | None = None) -> Recipe:
    """Turn a parsed JSON document into a recipe.

    Parameters
    ----------
    document : as JSON gives it.
    where : starts the messages of errors.
    folder : what paths of components are relative to; None is the working directory.

    Raises
    ------
    ConfigError
        see :func:`load_recipe`.
    """
    check_schema(document, _validator(), where)
    entries = _entries(document["components"], where, folder or Path())
    reader = _Reader(where, entries)
    projections = reader.projections(document.get("projections", []))
    wiring = reader.wiring(document["wiring"]) if "wiring" in document else None
    layers = _layers(entries, projections, wiring)
    return Recipe(
        document["name"],
        document.get("description", ""),
        document.get("seed", 42),
        float(document.get("layer_spacing", 50)),
        float(document.get("instance_spacing", 10)),
        tuple(entries),
        tuple(projections),
        wiring,
        reader.interface(document["io"], layers) if "io" in document else None,
        json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False),
        where,
    )


@functools.cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(read_json(_FOLDER / "recipe.schema.json"))


def _entries(documents: list[Any], where: str, folder: Path) -> list[Entry]:
    unnamed: Counter[str] = Counter()
    files: dict[str, str] = {}
    found: list[tuple[Component, Any]] = []
    for i, document in enumerate(documents):
        place = f"{where}: components[{i}]"
        if ("path" in document) == ("type" in document):
            raise ConfigError(
                f"{place}: needs either a type, of a component that ships with ab_ros, or a path,"
                f" of a component file (got {shown(document)})"
            )
        try:
            given = folder / document["path"] if "path" in document else document["type"]
            component = load_component(given)
        except ConfigError as error:
            key = "path" if "path" in document else "type"
            raise ConfigError(f"{place}.{key}: {error}") from None
        if files.setdefault(component.name, component.file) != component.file:
            raise ConfigError(
                f"{place}: two files hold a component named {component.name!r}:"
                f" {files[component.name]} and {component.file}"
            )
        unnamed[component.name] += "name" not in document
        found.append((component, document))
    entries: list[Entry] = []
    numbers: Counter[str] = Counter()
    for i, (component, document) in enumerate(found):
        name = document.get("name", component.name)
        if "name" not in document and unnamed[name] > 1:
            numbers[name] += 1
            name = f"{name}_{numbers[name]}"
        if any(entry.name == name for entry in entries):
            raise ConfigError(f"{where}: components[{i}].name: {name!r} stands twice")
        extent, center = document.get("extent"), document.get("center", (0, 0))
        entries.append(
            Entry(
                name,
                component,
                document["count"],
                document.get("layer", 0),
                (float(extent[0]), float(extent[1])) if extent else None,
                (float(center[0]), float(center[1])),
            )
        )
    return entries


def _layers(
    entries: Iterable[Entry], projections: Iterable[Projection], wiring: Wiring | None
) -> tuple[str, ...]:
    """Return the reward layers in the order in which they first appear."""
    inside = [path.layer for entry in entries for path in entry.component.paths]
    between = [projection.layer for projection in projections]
    found = [*inside, *between, wiring.layer if wiring and wiring.enabled else None]
    return tuple(dict.fromkeys(layer for layer in found if layer))


class _Reader:
    """Reads the parts of a recipe that refer to its components."""

    def __init__(self, where: str, entries: list[Entry]) -> None:
        self._where = where
        self._entries = entries

    def projections(self, documents: list[Any]) -> list[Projection]:
        """Read all projections; names that are not given are made."""
        found: list[Projection] = []
        taken = {document["name"] for document in documents if "name" in document}
        for i, document in enumerate(documents):
            where = f"{self._where}: projections[{i}]"
            projection = self._projection(document, where)
            if "name" in document:
                if any(other.name == projection.name for other in found):
                    raise ConfigError(f"{where}.name: {projection.name!r} stands twice")
            else:
                name, number = projection.name, 1
                while name in taken:
                    number += 1
                    name = f"{projection.name}#{number}"
                taken.add(name)
                projection = replace(projection, name=name)
            found.append(projection)
        return found

    def _projection(self, document: Any, where: str) -> Projection:
        source = self._port(document, "from", "output", where)
        target = self._port(document, "to", "input", where)
        synapse = _synapse(document, where)
        weight, spread = float(document.get("weight", 8)), float(document.get("weight_spread", 0))
        delay = document.get("delay", 1)
        _check_weight(synapse, weight, spread, where)
        try:
            synapse.check_connection(True, delay, "the projection")
        except EngineError as error:
            raise ConfigError(f"{where}.delay: {error}") from None
        pattern = document.get("pattern", "random")
        if ("offset" in document) != (pattern == "shift"):
            raise ConfigError(
                f"{where}.offset: the pattern shift needs one, and no other pattern has it"
                f" (pattern is {shown(pattern)}, offset is {shown(document.get('offset'))})"
            )
        sizes = source.count, target.count
        if pattern == "shift" and sizes[0] != sizes[1]:
            raise ConfigError(
                f"{where}.pattern: shift needs as many instances of {document['from_type']!r} as"
                f" of {document['to_type']!r} (got {sizes[0]} and {sizes[1]})"
            )
        _check_layer(document.get("layer"), synapse, where)
        modulator = None
        if ("modulator" in document) != isinstance(synapse, Gated):
            raise ConfigError(
                f"{where}.modulator: gated synapses need one, and no other type has it"
                f" (synapse_type is {shown(synapse.type_name)},"
                f" modulator is {shown(document.get('modulator'))})"
            )
        if "modulator" in document:
            modulator = self.port(
                document["modulator"]["type"],
                document["modulator"]["terminal"],
                None,
                (f"{where}.modulator.type", f"{where}.modulator.terminal"),
            )
        ends = [f"{document[f'{side}_type']}.{document[f'{side}_terminal']}" for side in _SIDES]
        return Projection(
            document.get("name", "->".join(ends)),
            where,
            source,
            target,
            synapse,
            weight,
            spread,
            float(document.get("probability", 0.8)),
            delay,
            pattern,
            document.get("offset", 0),
            document.get("layer"),
            modulator,
        )

    def wiring(self, document: Any) -> Wiring:
        """Read the crosswiring."""
        where = f"{self._where}: wiring"
        excitatory = _synapse(document, where)
        if excitatory.type_name in ("gated", "gap_junction"):
            allowed = [name for name in SYNAPSE_TYPES if name not in ("gated", "gap_junction")]
            raise ConfigError(
                f"{where}.synapse_type: crosswiring has no {excitatory.type_name} synapses;"
                f" {one_of(allowed)}"
            )
        inhibitory = excitatory
        if hasattr(excitatory, "w_min"):
            bounds: dict[str, Any] = {"w_min": -excitatory.w_max, "w_max": -excitatory.w_min}  # type: ignore[attr-defined]
            inhibitory = replace(excitatory, **bounds)  # type: ignore[type-var]
        scale = float(document.get("weight_scale", 1))
        _check_weight(excitatory, scale, 0.5 * scale, where, "weight_scale")
        _check_layer(document.get("layer"), excitatory, where)
        excluded = tuple(document.get("excluded_inputs", ()))
        inputs = {t.name for entry in self._entries for t in entry.component.inputs}
        for i, name in enumerate(excluded):
            place = f"{where}.excluded_inputs[{i}]"
            if "." in name:
                component, _, terminal = name.partition(".")
                self.port(component, terminal, "input", (place, place))
            elif name not in inputs:
                raise ConfigError(
                    f"{place}: no component has the input terminal {name!r};"
                    f" {one_of(sorted(inputs))}"
                )
        known = {f.name for f in fields(Wiring)} - {"layer"}
        plain = {key: value for key, value in document.items() if key in known}
        plain["excluded_inputs"] = excluded
        for key in ("max_distance", "probability", "weight_scale", "inhibition_fraction"):
            if key in plain:
                plain[key] = float(plain[key])
        layer = document.get("layer")
        return Wiring(where, **plain, excitatory=excitatory, inhibitory=inhibitory, layer=layer)

    def interface(self, document: Any, layers: tuple[str, ...]) -> Interface:
        """Read the inputs, outputs, feedback and reward layers."""
        where = f"{self._where}: io"
        inputs = self._lines(document.get("inputs", {}), f"{where}.inputs")
        feedback = self._lines(document.get("feedback", {}), f"{where}.feedback")
        outputs: dict[str, tuple[Port, ...]] = {}
        for name, given in sorted(document.get("outputs", {}).items()):
            ports = [given] if isinstance(given, str) else given
            places = [
                f"{where}.outputs.{name}" + (f"[{i}]" if ports is given else "")
                for i in range(len(ports))
            ]
            outputs[name] = tuple(
                self._dotted(port, "output", place)
                for port, place in zip(ports, places, strict=True)
            )
        ids = [line.id for line in (*inputs, *feedback)]
        twice = sorted(name for name, count in Counter([*ids, *outputs]).items() if count > 1)
        if twice:
            raise ConfigError(
                f"{where}: {twice[0]!r} names two of the inputs, outputs and feedback"
            )
        for line in feedback:
            if line.output not in outputs:
                raise ConfigError(
                    f"{line.where}.output: unknown output {line.output!r}; {one_of(outputs)}"
                )
        given = document.get("layers", layers)
        for i, layer in enumerate(given):
            if layer not in layers:
                raise ConfigError(
                    f"{where}.layers[{i}]: no synapse is taught by the reward layer {layer!r};"
                    f" {one_of(layers or ['(none)'])}"
                )
        missing = [layer for layer in layers if layer not in given]
        if missing:
            raise ConfigError(f"{where}.layers: the reward layer {missing[0]!r} is missing")
        return Interface(
            document.get("gamma", 64),
            document.get("feedback_timesteps", 16),
            inputs,
            outputs,
            feedback,
            tuple(given),
        )

    def _lines(self, documents: Mapping[str, Any], where: str) -> tuple[Line, ...]:
        return tuple(
            Line(
                name,
                f"{where}.{name}",
                self._dotted(document["to"], "input", f"{where}.{name}.to"),
                document.get("size"),
                float(document.get("weight", 8)),
                float(document.get("probability", 0.8)),
                document.get("kind", ""),
                document.get("encoder", ""),
                document.get("options", {}),
                document.get("output", ""),
                document.get("pattern", "random"),
            )
            for name, document in sorted(documents.items())
        )

    def _port(self, document: Any, side: str, direction: str, where: str) -> Port:
        places = f"{where}.{side}_type", f"{where}.{side}_terminal"
        port = self.port(document[f"{side}_type"], document[f"{side}_terminal"], direction, places)
        if f"{side}_instances" not in document:
            return port
        start, stop = document[f"{side}_instances"]
        if not start < stop <= port.count:
            raise ConfigError(
                f"{where}.{side}_instances: must be [start, stop] with start < stop <="
                f" {port.count}, the number of instances (got [{start}, {stop}])"
            )
        return replace(port, instances=(start, stop))

    def _dotted(self, text: str, direction: str, where: str) -> Port:
        component, _, terminal = text.partition(".")
        return self.port(component, terminal, direction, (where, where))

    def port(
        self, component: str, terminal: str, direction: str | None, places: tuple[str, str]
    ) -> Port:
        """Find entries and terminal; ``places`` are where their names stand in the recipe."""
        named = [entry for entry in self._entries if entry.name == component]
        entries = named or [entry for entry in self._entries if entry.type == component]
        if not entries:
            allowed = dict.fromkeys(
                name for entry in self._entries for name in (entry.name, entry.type)
            )
            raise ConfigError(f"{places[0]}: unknown component {component!r}; {one_of(allowed)}")
        circuit = entries[0].component
        terminals = {t.name: t for t in circuit.terminals if direction in (None, t.direction)}
        if terminal not in terminals:
            what = f"{direction} terminal" if direction else "terminal"
            raise ConfigError(
                f"{places[1]}: {circuit.name} has no {what} {terminal!r};"
                f" {one_of(terminals or ['(none)'])}"
            )
        return Port(tuple(entries), terminals[terminal])


def _synapse(document: Any, where: str) -> Synapse:
    cls = SYNAPSE_TYPES[document.get("synapse_type", "fixed")]
    params = document.get("params", {})
    allowed = [f.name for f in fields(cls) if f.name not in _NOT_IN_PARAMS]  # type: ignore[arg-type]
    for name in params:
        if name not in allowed:
            raise ConfigError(
                f"{where}.params.{name}: unknown parameter of {cls.type_name} synapses"
                f" (got {shown(params[name])}); {one_of(allowed or ['(none)'])}"
            )
    try:
        return cls(**params)
    except EngineError as error:
        at, _, text = str(error).partition(": ")
        name = at.partition(".")[2]
        place = f"{where}.params.{name}" if name in params else f"{where}.params"
        raise ConfigError(f"{place}: {text}") from None


def _check_weight(
    synapse: Synapse, weight: float, spread: float, where: str, key: str = "weight"
) -> None:
    for value in dict.fromkeys((weight - spread, weight + spread)):
        try:
            synapse.check_weights(np.array([value]), "the projection")
        except EngineError as error:
            text = str(error).partition(": ")[2].replace(" at synapse 0)", ")")
            raise ConfigError(f"{where}.{key}: {text}") from None


def _check_layer(layer: str | None, synapse: Synapse, where: str) -> None:
    if layer is not None and not isinstance(synapse, RewardPlastic):
        raise ConfigError(
            f"{where}.layer: is for reward_plastic synapses, not for {synapse.type_name}"
            f" (got {layer!r})"
        )
