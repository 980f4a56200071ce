"""
A stack's resources as a graph, whatever they were read from, and which approvals each of them waits for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, cached_property
from operator import getitem
from pathlib import Path
from typing import Any, Final, TypeGuard

from ..waiting.verdict import recorded_moment
from .certificates import is_naming

GATE_TYPE: Final = "keyfactor:index:WorkflowApproval"
RECORD_TYPE: Final = "pulumi-python:dynamic/keyfactor:ApprovalRecord"
PROVIDER_TYPE: Final = "pulumi:providers:pulumi-python"

# A value that is not known in this preview, and one that is encrypted in the file.
UNKNOWN: Final = object()
SECRET: Final = object()

# The engine's words for values that are none (pulumi/sdk, resource/properties.go), in state files and previews.
_SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
_UNKNOWNS: Final = frozenset(
    {
        "04da6b54-80e4-46f7-96ec-b56ff0331ba9",
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)

# A place in the program, as a state has it: project:///__main__.py#13,5
_PLACE: Final = re.compile(r"project:///(?P<file>[^#]+)#(?P<line>[0-9]{1,9})(,[0-9]+)?")
# Libraries, Python's own modules, and what starts a program.
_LIBRARY: Final = re.compile(r"/(site|dist)-packages/|/lib/python3[.0-9]*/|/pulumi-language-python-exec$")

_PACKAGE: Final = Path(__file__).parents[1]

_DEEPEST: Final = 100  # lists and objects in each other: no provider has a tenth of it
TOO_DEEP: Final = "is nested too deeply to be read: give the file that Pulumi wrote, as it is"


def is_list(value: object) -> TypeGuard[Sequence[Any]]:
    """
    Whether a value is a list, and no text.
    """
    return isinstance(value, Sequence) and not isinstance(value, str)


def is_unknown(value: object) -> bool:
    """
    Whether a value of `Node.properties` cannot be read: not known yet, or encrypted.
    """
    return value is UNKNOWN or value is SECRET


def at_path(value: Any, path: str) -> Any:
    """
    What is at a path, with a dot between its parts, or what cannot be read above it; None where nothing is.
    """
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else value if is_unknown(value) else None
    return value


def type_in(urn: str | None) -> str:
    """
    The type of a resource, in its URN.
    """
    parts = (urn or "").split("::")
    return parts[2].rpartition("$")[2] if len(parts) > 3 else ""


class StackFileError(ValueError):
    """
    A file that is not what `pulumi stack export` or `pulumi preview --json --show-sames` writes.
    """


@dataclass(frozen=True, slots=True)
class Node:
    """
    A resource of a stack. `properties` has what rules look at, with UNKNOWN and SECRET where a value cannot be read.
    """

    urn: str
    type: str
    parent: str | None = None
    dependencies: tuple[str, ...] = ()  # those of its properties too
    provider: str | None = None  # the provider's URN
    properties: Mapping[str, Any] = field(default_factory=dict)
    ignore_changes: tuple[str, ...] = ()
    is_component: bool = False
    is_read: bool = False  # by an id, and not made
    created: datetime | None = None
    source: str | None = None  # where the program registers it: `__main__.py:13`


class Graph:
    """
    The resources of a stack by URN. `is_deployed`: what was read is a state, and not what a program asks for.
    """

    def __init__(self, nodes: Iterable[Node], *, is_deployed: bool) -> None:
        self.nodes: Mapping[str, Node] = {node.urn: node for node in nodes}
        self.is_deployed = is_deployed

    @classmethod
    def from_state(cls, document: object) -> Graph:
        """
        What `pulumi stack export` writes, as JSON has it. Secrets stay encrypted.

        What an interrupted run was making may be there, so it counts where the state has no other of its name; a record
        that it was making is none yet.

        Raises StackFileError for anything else, and for values that are nested more than 100 deep.
        """
        state = at_path(document, "deployment") or at_path(document, "checkpoint.latest")
        if not isinstance(state, Mapping):
            raise StackFileError("is not a stack's state: give the file that `pulumi stack export` writes")
        resources = [] if state.get("resources") is None else state["resources"]  # null in an empty stack
        if not is_list(resources):
            raise StackFileError("is not a stack's state: its `resources` are no list")
        states = _being_made(state.get("pending_operations"))  # before what takes the place of one of them
        states += [each for each in resources if isinstance(each, Mapping) and each.get("delete") is not True]
        nodes = (_node(each, each.get("outputs") or each.get("inputs")) for each in states)
        return cls(_named(nodes), is_deployed=True)

    @classmethod
    def from_preview(cls, document: object) -> Graph:
        """
        What `pulumi preview --json --show-sames` writes, as JSON has it.

        Raises StackFileError as above, and for a preview that leaves out what stays the same: a certificate in it may
        wait for an approval that is not shown.
        """
        steps = at_path(document, "steps")
        if not is_list(steps):
            raise StackFileError("is not a preview: give what `pulumi preview --json --show-sames` writes")
        shown = [step for step in steps if isinstance(step, Mapping)]
        same = at_path(document, "changeSummary.same")
        if isinstance(same, int | float) and same > sum(step.get("op") == "same" for step in shown):
            raise StackFileError(
                "leaves out what stays the same, and with it the approvals that are recorded: run "
                "`pulumi preview --json --show-sames`"
            )
        return cls(_named(_previewed(step) for step in shown), is_deployed=False)

    @cached_property
    def records(self) -> Sequence[Node]:
        """
        The records of approvals.
        """
        return [node for node in self.nodes.values() if node.type == RECORD_TYPE]

    def of_types(self, is_one: Callable[[str], bool]) -> Sequence[Node]:
        """
        The resources whose type token is one of some.
        """
        return [node for node in self.nodes.values() if is_one(node.type)]

    def approvals(self, of: Sequence[Node], *, through: bool = False) -> Mapping[str, Sequence[Node]]:
        """
        For each of these resources, by URN, the records of the approvals that it waits for.

        A resource waits for what it depends on, for what its parents and its provider depend on, and for the children
        of a component that it depends on. What one of these waits for is followed no further than to the next of
        them, unless `through`.
        """
        stops = frozenset() if through else frozenset(node.urn for node in of)
        reached = _Reached(self, stops)
        return {node.urn: reached.from_node(node) for node in of}

    @cached_property
    def children(self) -> Mapping[str, Sequence[str]]:
        """
        The URNs of each resource's children.
        """
        children: dict[str, list[str]] = {}
        for node in self.nodes.values():
            if node.parent is not None:
                children.setdefault(node.parent, []).append(node.urn)
        return children


# A resource, and whether something depends on it: only then do its children count.
_Place = tuple[str, bool]


class _Reached:
    """
    The records that can be reached from each place: a set is an integer, one bit for each record.

    Circles are usual (a component and its children): Tarjan's algorithm, without recursion, gives all places of one
    the same set.
    """

    def __init__(self, graph: Graph, stops: frozenset[str]) -> None:
        self._graph = graph
        self._stops = stops
        self._bits = {node.urn: 1 << index for index, node in enumerate(graph.records)}
        self._sets: dict[_Place, int] = {}

    def from_node(self, node: Node) -> list[Node]:
        found = 0
        for place in self._edges(node, is_needed=False):
            if place not in self._sets:
                self._visit(place)
            found |= self._sets[place]
        records = []
        while found:  # bit by bit: a look at each record of the stack costs their square
            last = found & -found
            records.append(self._graph.records[last.bit_length() - 1])
            found ^= last
        return records

    def _edges(self, node: Node, *, is_needed: bool) -> Iterator[_Place]:
        nodes = self._graph.nodes
        for urn in (node.parent, node.provider):
            if urn is not None and urn in nodes:
                yield urn, False
        for urn in node.dependencies:
            if urn in nodes:
                yield urn, True
        if is_needed and node.is_component:
            for urn in self._graph.children.get(node.urn, ()):
                yield urn, True

    def _onward(self, place: _Place) -> Iterator[_Place]:
        urn, is_needed = place
        if urn in self._bits or urn in self._stops:
            return iter(())
        return self._edges(self._graph.nodes[urn], is_needed=is_needed)

    def _visit(self, start: _Place) -> None:
        order: dict[_Place, int] = {}
        low: dict[_Place, int] = {}
        found: dict[_Place, int] = {}
        path: list[_Place] = []
        work: list[tuple[_Place, Iterator[_Place]]] = []

        def enter(place: _Place) -> None:
            order[place] = low[place] = len(order)
            found[place] = self._bits.get(place[0], 0)
            path.append(place)
            work.append((place, self._onward(place)))

        enter(start)
        while work:
            place, onward = work[-1]
            for target in onward:
                if target in self._sets:
                    found[place] |= self._sets[target]
                elif target in order:
                    low[place] = min(low[place], order[target])
                else:
                    enter(target)
                    break
            else:
                work.pop()
                if low[place] == order[place]:
                    members: list[_Place] = []
                    while not members or members[-1] != place:
                        members.append(path.pop())
                    union = 0
                    for member in members:
                        union |= found[member]
                    self._sets.update(dict.fromkeys(members, union))
                if work:
                    above = work[-1][0]
                    low[above] = min(low[above], low[place])
                    found[above] |= self._sets.get(place, found[place])


def _named(nodes: Iterable[Node | None]) -> list[Node]:
    return [node for node in nodes if node is not None]


def _being_made(operations: object) -> list[Mapping[str, Any]]:
    """
    The resources that pending operations of a state create, but for records.
    """
    pending = [each for each in operations if isinstance(each, Mapping)] if is_list(operations) else []
    resources = (each.get("resource") for each in pending if each.get("type") == "creating")
    return [each for each in resources if isinstance(each, Mapping) and each.get("type") != RECORD_TYPE]


def _previewed(step: Mapping[str, Any]) -> Node | None:
    """
    The resource that a step leads to; its inputs, and what is recorded of it where nothing changes.
    """
    state, before = step.get("newState"), at_path(step, "oldState.outputs")
    if not isinstance(state, Mapping):
        return None  # deleted
    inputs = state.get("inputs")
    recorded = before if step.get("op") == "same" and isinstance(before, Mapping) else {}
    return _node(state, {**recorded, **(inputs if isinstance(inputs, Mapping) else {})})


def _node(state: Mapping[str, Any], properties: object) -> Node | None:
    urn, token = state.get("urn"), state.get("type")
    if not isinstance(urn, str) or not isinstance(token, str):
        return None
    by_property = state.get("propertyDependencies")
    lists = by_property.values() if isinstance(by_property, Mapping) else ()
    needed = [*_texts(state.get("dependencies")), *(urn for each in lists for urn in _texts(each))]
    provider, parent = state.get("provider"), state.get("parent")
    return Node(
        urn=urn,
        type=token,
        parent=parent if isinstance(parent, str) else None,
        dependencies=tuple(dict.fromkeys(needed)),
        provider=provider.rpartition("::")[0] if isinstance(provider, str) else None,  # the URN, and then the id
        properties=read(token, properties) if isinstance(properties, Mapping) else {},
        ignore_changes=tuple(_texts(state.get("ignoreChanges"))),
        is_component=state.get("custom") is not True,
        is_read=state.get("external") is True,
        created=recorded_moment(state.get("created")),
        source=_source(state),
    )


def _source(state: Mapping[str, Any]) -> str | None:
    """
    The first line of the program's own code that led to a resource; frames of libraries are none.
    """
    trace = state.get("stackTrace")
    frames = trace if is_list(trace) else ()
    for place in (state.get("sourcePosition"), *(at_path(frame, "sourcePosition") for frame in frames)):
        found = _PLACE.fullmatch(place) if isinstance(place, str) else None
        if found and not _LIBRARY.search(f"/{found['file']}") and not _is_ours(found["file"]):
            return f"{found['file']}:{found['line']}"
    return None


def _is_ours(file: str) -> bool:
    """
    Whether a file is a module of kf_provider, wherever it was installed where the program ran: in a checkout, too.
    """
    _, folder, module = f"/{file}".rpartition(f"/{_PACKAGE.name}/")
    return bool(folder) and module in _modules()


@cache
def _modules() -> frozenset[str]:
    return frozenset(module.relative_to(_PACKAGE).as_posix() for module in _PACKAGE.rglob("*.py"))


def read(token: str, properties: Mapping[str, Any], member: Callable[[Any, Any], Any] = getitem) -> Mapping[str, Any]:
    """
    The properties that rules look at: all of a record or a provider, and the names of whatever may be a certificate.

    `member` takes an item of a list or an object.
    """
    is_whole = token in (RECORD_TYPE, PROVIDER_TYPE)
    return {key: readable(member(properties, key), member) for key in properties if is_whole or is_naming(key)}


def readable(value: Any, member: Callable[[Any, Any], Any], depth: int = 0) -> Any:
    """
    A value of a state, of a preview or of a pack, with UNKNOWN and SECRET for what is not there.
    """
    if depth > _DEEPEST:
        raise StackFileError(TOO_DEEP)
    if isinstance(value, Mapping):
        members = {key: readable(member(value, key), member, depth + 1) for key in value}
        return SECRET if _SIGNATURE in members else members
    if is_list(value):
        return [readable(member(value, index), member, depth + 1) for index in range(len(value))]
    return UNKNOWN if isinstance(value, str) and value in _UNKNOWNS else value


def _texts(value: object) -> list[str]:
    return [each for each in value if isinstance(each, str)] if is_list(value) else []
