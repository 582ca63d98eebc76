"""The compiler: from a recipe to a plan, the same for the same recipe and seed, bit by bit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ab_ros.engine.blocks.component import USER_TYPE, Terminal
from ab_ros.engine.neurons import PRESETS
from ab_ros.engine.plan import NEURONS, Plan, PlannedProjection, PlannedSource
from ab_ros.engine.recipes.crosswiring import crosswire, timers
from ab_ros.engine.recipes.pairing import Indices, pair_order, partner_pairs, random_pairs
from ab_ros.engine.recipes.placement import place
from ab_ros.engine.recipes.recipe import Entry, Interface, Line, Port, Projection, Recipe
from ab_ros.engine.recipes.streams import stream, uniform
from ab_ros.engine.selection import Block
from ab_ros.engine.synapses import Fixed, Gated
from ab_ros.engine.validation import check_count
from ab_ros.errors import ConfigError

KINDS = (*PRESETS, USER_TYPE)
_MAX_NEURONS = 100_000_000


def compile_recipe(
    recipe: Recipe, seed: int | None = None, input_sizes: Mapping[str, int] | None = None
) -> Plan:
    """Plan a brain.

    Parameters
    ----------
    recipe : what it is made of.
    seed : of everything that is drawn; None takes the recipe's.
    input_sizes : number of spike trains of inputs, by id, for those whose recipe gives no size:
        what their encoders make.

    Raises
    ------
    ConfigError
        naming file and JSON path, for a projection or crosswiring that makes no synapse, or an
        input whose size is not known.
    """
    seed = check_count("compile_recipe: seed", recipe.seed if seed is None else seed, ge=0)
    return _Compiler(recipe, seed).plan(dict(input_sizes or {}))


class _Compiler:
    def __init__(self, recipe: Recipe, seed: int) -> None:
        self.recipe = recipe
        self.seed = seed
        self.blocks: dict[str, Block] = {}
        start = 0
        for entry in recipe.entries:
            block = _block(entry, start)
            self.blocks[entry.name] = block
            start = block.stop
            if start > _MAX_NEURONS:
                raise ConfigError(f"{recipe.file}: components: more than {_MAX_NEURONS} neurons")

    def plan(self, input_sizes: dict[str, int]) -> Plan:
        recipe, entries = self.recipe, self.recipe.entries
        blocks = tuple(self.blocks.values())
        nodes = tuple(dict.fromkeys(node for block in blocks for node in block.nodes))
        places = [place(recipe, entry, self.seed).reshape(-1, 3) for entry in entries]
        position = np.concatenate(places)
        columns = _columns(entries, nodes)
        instance = np.repeat(
            np.arange(sum(entry.count for entry in entries), dtype=np.int32),
            np.repeat([len(block.nodes) for block in blocks], [block.count for block in blocks]),
        )
        projections = [p for entry in entries for p in self._internal(entry)]
        projections += [self._projection(projection) for projection in recipe.projections]
        if recipe.wiring is not None:
            fast = np.isin(columns["kind"], [KINDS.index("FS"), KINDS.index("LTS")])
            wiring = recipe.wiring
            projections += timers(wiring, blocks)
            projections += crosswire(wiring, blocks, position, instance, fast, self.seed)
        sources, lines = self._outside(recipe.io, input_sizes)
        return Plan(
            recipe.name,
            recipe.description,
            self.seed,
            recipe.text,
            KINDS,
            **columns,
            position=position.astype(np.float32),
            instance=instance,
            nodes=nodes,
            blocks=blocks,
            sources=sources,
            projections=(*_unique(projections), *lines),
            outputs=self._outputs(recipe.io),
            io=_io_text(recipe),
            layers=recipe.io.layers if recipe.io else _layers(projections),
        )

    def neurons(self, port: Port) -> Indices:
        """Return the neurons of a port, int32[instances, neurons of the terminal]."""
        neurons = _terminal_neurons([self.blocks[e.name] for e in port.entries], port.terminal)
        return neurons if port.instances is None else neurons[slice(*port.instances)]

    def _internal(self, entry: Entry) -> list[PlannedProjection]:
        block = self.blocks[entry.name]
        index = {node: i for i, node in enumerate(block.nodes)}
        alike: dict[Any, list[Any]] = {}
        for path in entry.component.paths:
            key = (path.synapse, path.delay, path.layer, path.modulator)
            alike.setdefault(key, []).append(path)
        planned = []
        for (synapse, delay, layer, modulator), paths in alike.items():
            name = f"{entry.name}:{synapse.type_name}"
            pre = block.neurons(range(len(block.nodes)))[:, [index[p.source] for p in paths]]
            post = block.neurons(range(len(block.nodes)))[:, [index[p.target] for p in paths]]
            weight = np.broadcast_to([p.weight for p in paths], pre.shape)
            if not modulator:
                planned.append(_planned(name, "internal", synapse, delay, layer, pre, post, weight))
                continue
            # Every instance has a gate of its own.
            opening = block.neurons([index[node] for node in modulator])
            for i in range(entry.count):
                gate = replace(
                    synapse, modulator=NEURONS, modulator_neurons=tuple(opening[i].tolist())
                )
                planned.append(
                    _planned(
                        f"{name}[{i}]", "internal", gate, delay, layer, pre[i], post[i], weight[i]
                    )
                )
        return planned

    def _projection(self, projection: Projection) -> PlannedProjection:
        p, synapse = projection, projection.synapse
        sources, targets = self.neurons(p.source), self.neurons(p.target)
        random = stream(self.seed, "projection", p.name)
        if p.pattern == "random":
            pairs = random_pairs(
                np.sort(sources.ravel()), np.sort(targets.ravel()), p.probability, random
            )
        else:
            pairs = partner_pairs(sources, targets, p.offset, p.probability, random)
        if not pairs[0].size:
            raise ConfigError(
                f"{p.where}: projection {p.name!r} makes no synapse: pattern {p.pattern} with"
                f" probability {p.probability:g} joins none of {sources.size} neurons to"
                f" {targets.size}"
            )
        if p.modulator is not None and isinstance(synapse, Gated):
            opening = np.sort(self.neurons(p.modulator).ravel())
            synapse = replace(synapse, modulator=NEURONS, modulator_neurons=tuple(opening.tolist()))
        weight = _weights(p.weight, p.weight_spread, pairs[0].size, random)
        return _planned(p.name, "projection", synapse, p.delay, p.layer, *pairs, weight)

    def _outside(
        self, io: Interface | None, sizes: dict[str, int]
    ) -> tuple[tuple[PlannedSource, ...], list[PlannedProjection]]:
        if io is None:
            return (), []
        sources, planned = [], []
        for origin, lines in (("input", io.inputs), ("feedback", io.feedback)):
            for line in lines:
                size = line.size or sizes.get(line.id)
                if size is None:
                    raise ConfigError(
                        f"{line.where}.size: is not known: give it, or the number of spike trains"
                        f" that its encoder {line.encoder!r} makes"
                    )
                if sizes.get(line.id, size) != size:
                    raise ConfigError(
                        f"{line.where}.size: its encoder {line.encoder!r} makes"
                        f" {sizes[line.id]} spike trains (got {size})"
                    )
                if line.id == NEURONS:
                    raise ConfigError(f"{line.where}: the name {NEURONS!r} is the neurons' own")
                sources.append(PlannedSource(line.id, size))
                planned.append(self._line(line, origin, size))
        return tuple(sources), planned

    def _line(self, line: Line, origin: str, size: int) -> PlannedProjection:
        targets = self.neurons(line.target)
        random = stream(self.seed, origin, line.id)
        trains = np.arange(size, dtype=np.int32)
        # An index of a train says nothing about a neuron of the same index.
        offset = np.int32(self.blocks[self.recipe.entries[-1].name].stop)
        if line.pattern == "one_to_one":
            pairs = partner_pairs(trains[:, None] + offset, targets, 0, line.probability, random)
        else:
            flat = np.sort(targets.ravel())
            pairs = random_pairs(trains + offset, flat, line.probability, random)
        pre, post = pairs
        if not pre.size:
            raise ConfigError(
                f"{line.where}: makes no synapse: probability {line.probability:g} joins none of"
                f" {size} spike trains to {targets.size} neurons"
            )
        weight = np.full(pre.size, line.weight)
        planned = _planned(
            f"{origin}:{line.id}", origin, Fixed(), 1, None, pre - offset, post, weight
        )
        return replace(planned, source=line.id)

    def _outputs(self, io: Interface | None) -> dict[str, Indices]:
        if io is None:
            return {}
        # In the order of the ports: decoders tell the first half of an output from the second.
        chosen = {
            name: np.concatenate([np.sort(self.neurons(port).ravel()) for port in ports])
            for name, ports in io.outputs.items()
        }
        return {
            name: neurons[np.sort(np.unique(neurons, return_index=True)[1])]
            for name, neurons in chosen.items()
        }


def _block(entry: Entry, start: int) -> Block:
    nodes = entry.component.node_ids

    def terminals(given: tuple[Terminal, ...]) -> dict[str, tuple[int, ...]]:
        return {t.name: tuple(sorted(nodes.index(node) for node in t.nodes)) for t in given}

    return Block(
        entry.name,
        entry.type,
        entry.count,
        entry.layer,
        start,
        nodes,
        terminals(entry.component.inputs),
        terminals(entry.component.outputs),
    )


def _terminal_neurons(blocks: list[Block], terminal: Terminal) -> Indices:
    nodes = blocks[0].ports[terminal.name]
    return np.concatenate([block.neurons(nodes) for block in blocks]).astype(np.int32)


def _columns(entries: tuple[Entry, ...], nodes: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Return the plan's arrays that follow from the nodes of each component."""
    number = {node: i for i, node in enumerate(nodes)}
    parts: dict[str, list[NDArray[Any]]] = {}
    for entry in entries:
        own = entry.component.nodes
        table: dict[str, NDArray[Any]] = {
            name: np.array([getattr(node.parameters, name) for node in own]) for name in "abcd"
        }
        table["bias"] = np.array([node.bias for node in own], np.float64)
        table["noise"] = np.array([node.noise for node in own], np.float64)
        table["kind"] = np.array([KINDS.index(node.type) for node in own], np.uint8)
        table["node"] = np.array([number[node.id] for node in own], np.int32)
        for name, values in table.items():
            parts.setdefault(name, []).append(np.tile(values, entry.count))
    return {name: np.concatenate(values) for name, values in parts.items()}


def _weights(
    weight: float, spread: float, size: int, random: np.random.Generator
) -> NDArray[np.float64]:
    if not spread:
        return np.full(size, weight)
    return uniform(random, weight - spread, weight + spread, size)


def _planned(
    name: str,
    origin: str,
    synapse: Any,
    delay: int,
    layer: str | None,
    pre: NDArray[Any],
    post: NDArray[Any],
    weight: NDArray[Any],
) -> PlannedProjection:
    pre, post = (np.ascontiguousarray(x, np.int32).ravel() for x in (pre, post))
    strength = np.ascontiguousarray(weight, np.float32).ravel()
    later = pre[1:] > pre[:-1]
    if not (later | ((pre[1:] == pre[:-1]) & (post[1:] > post[:-1]))).all():
        order = pair_order(pre, post)
        pre, post, strength = pre[order], post[order], strength[order]
    return PlannedProjection.of_pairs(
        name, origin, synapse, pre, post, strength, delay=delay, layer=layer
    )


def _unique(projections: list[PlannedProjection]) -> list[PlannedProjection]:
    """Give projections of the same name numbers, from the second on."""
    found: dict[str, PlannedProjection] = {}
    for projection in projections:
        name, number = projection.name, 1
        while name in found:
            number += 1
            name = f"{projection.name}#{number}"
        found[name] = projection if number == 1 else replace(projection, name=name)
    return list(found.values())


def _layers(projections: list[PlannedProjection]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(p.layer for p in projections if p.layer))


def _io_text(recipe: Recipe) -> str:
    document = json.loads(recipe.text).get("io")
    if document is None:
        return ""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
