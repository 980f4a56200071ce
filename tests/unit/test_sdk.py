"""
The private names of the Pulumi SDK: in one file, each needed for one thing.
"""

from __future__ import annotations

import ast
import asyncio
import gc
import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.dynamic import Config
from pulumi.output import UNKNOWN
from pulumi.runtime import rpc

import kf_provider
from kf_provider.instance import WorkflowInstanceProvider
from kf_provider.sdk import item, make_properties_light, on_demand, show_our_errors_in_one_line, shown_to_the_engine

PACKAGE = Path(kf_provider.__file__).parent
ID = "0c8f2a54-9d1b-4b7e-8a60-3f5e2d7c1b94"


def is_private(module: str, name: str) -> bool:
    parts = [*module.split("."), name]
    return parts[0] == "pulumi" and any(part.startswith("_") and not part.startswith("__") for part in parts)


def private_imports(file: Path) -> Iterator[tuple[str, str]]:
    """The private names of the SDK that a file imports, and those that it reaches as attributes of its modules."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield from ((node.module, alias.name) for alias in node.names if is_private(node.module, alias.name))
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if is_private(alias.name, ""))
        elif isinstance(node, ast.Attribute) and is_private(module := ast.unparse(node.value), node.attr):
            yield module, node.attr


NEEDED = sorted(set(private_imports(PACKAGE / "sdk.py")))


@pytest.mark.parametrize(("module", "name"), NEEDED, ids=[name for _, name in NEEDED])
def test_private_name_is_there(module: str, name: str) -> None:
    """
    Each private name is in the SDK that is installed, and can be called.
    """
    found = getattr(import_module(module), name, None)

    assert callable(found), (
        f"pulumi {version('pulumi')} has no {module}.{name} any more: find what took its place, and change "
        f"kf_provider/sdk.py, the only file that names it"
    )


def test_private_methods_are_there() -> None:
    """
    So are the attributes that are reached through objects.
    """
    from pulumi.runtime import resource, rpc, stack
    from pulumi.runtime.rpc_manager import RPCManager

    hint = f"pulumi {version('pulumi')} has changed: mend kf_provider/sdk.py"

    assert callable(getattr(pulumi.InvokeOutputOptions, "_depends_on_list", None)), hint
    assert "monitor.SignalAndWaitForShutdown(" in inspect.getsource(stack), hint
    assert "await self._data" in inspect.getsource(pulumi.Output.apply), hint
    assert "self._data" in inspect.getsource(getattr(pulumi.Output, "_untrack", pulumi.Output)), hint
    assert "await output._data" in inspect.getsource(rpc.serialize_property), hint
    assert "resolvers = rpc.transfer_properties(res, props, " in inspect.getsource(resource), hint
    assert RPCManager().unhandled_exception is None, hint  # type: ignore[no-untyped-call]  # the SDK's


USES: dict[str, Callable[[pulumi.Output[str]], pulumi.Output[Any]]] = {
    "apply": lambda output: output.apply(str.upper),
    "all": pulumi.Output.all,
    "from_input": pulumi.Output.from_input,
    "item": lambda output: output[0],
    "unsecret": pulumi.Output.unsecret,
}


@pytest.mark.parametrize("use", USES)
def test_output_on_demand(use: str) -> None:
    """
    It is made when it is first used, in whatever way, and is then what any other output is.
    """
    made = []

    def make() -> pulumi.Output[str]:
        made.append(pulumi.Output.secret("a value"))
        return made[-1]

    async def values() -> list[Any]:
        output = on_demand(make)
        assert not made
        used = [USES[use](given) for given in (output, output, pulumi.Output.secret("a value"))]
        return [(await each.future(), await each.is_secret(), await each.is_known()) for each in used]

    first, again, usual = asyncio.run(values())

    assert first == again == usual
    assert len(made) == 1


class Usual(pulumi.Resource):
    """Its properties are the SDK's own."""


class Light(Usual):
    """Its properties have no tasks."""


make_properties_light(Light)


def properties(kind: type[Usual]) -> tuple[dict[str, Any], dict[str, pulumi.Output[Any]]]:
    """What the SDK resolves the properties of a new resource with, and they."""
    made = kind.__new__(kind)
    resolvers = rpc.transfer_properties(made, dict.fromkeys(("plain", "secret", "lacking", "id", "urn")), True)
    return resolvers, dict(vars(made))


@pytest.mark.parametrize(
    "answer",
    [{"plain": "a value", "secret": rpc.wrap_rpc_secret(7), "id": "x", "more": 1}, {}],
    ids=["answered", "missing"],
)
@pytest.mark.parametrize("is_preview", [False, True], ids=["update", "preview"])
def test_light_properties(monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any], is_preview: bool) -> None:
    """
    Whatever the engine answers, they are what the SDK's own are, and no task; other resources keep the SDK's own.
    """
    monkeypatch.setattr(pulumi.runtime.settings.SETTINGS, "dry_run", is_preview)
    another = Usual.__new__(Usual)

    async def told(kind: type[Usual]) -> tuple[int, list[Any]]:
        before = len(asyncio.all_tasks())
        resolvers, outputs = properties(kind)
        tasks = len(asyncio.all_tasks()) - before
        rpc.resolve_properties(resolvers, answer, {"plain": {another}}, True, True)
        datas = {name: await output._data for name, output in outputs.items()}
        lists = [await output.apply(lambda value: [value], True).future(True) for output in outputs.values()]
        ways = [(name, data.value, data.is_known, data.is_secret) for name, data in datas.items()]
        return tasks, [ways, lists, [another in data.resources for data in datas.values()]]

    async def both() -> list[tuple[int, list[Any]]]:
        return [await told(Usual), await told(Light)]

    (usual_tasks, usual), (light_tasks, light) = asyncio.run(both())

    assert usual == light
    assert (3, 0) == (usual_tasks, light_tasks)


def test_light_properties_that_failed(caplog: pytest.LogCaptureFixture) -> None:
    """
    Who uses one gets the error of the registration; nothing is told of those that nobody uses.
    """

    async def use() -> None:
        resolvers, outputs = properties(Light)
        rpc.resolve_outputs_due_to_exception(resolvers, ValueError("refused"))
        with pytest.raises(ValueError, match="refused"):
            await outputs["plain"].future()

    asyncio.run(use())
    gc.collect()

    assert not caplog.records


@pytest.mark.parametrize("whole", ["known", "secret", "with an unknown", "unknown"])
def test_item(whole: str) -> None:
    """
    It is what `output[key]` is.
    """
    made: Callable[[], pulumi.Output[Any]] = {
        "known": lambda: pulumi.Output.from_input({"key": "a value"}),
        "secret": lambda: pulumi.Output.secret({"key": None}),
        "with an unknown": lambda: pulumi.Output.from_input({"key": 7, "other": UNKNOWN}),
        "unknown": lambda: pulumi.Output.from_input(UNKNOWN).apply(lambda value: {"key": value}),
    }[whole]

    async def both() -> list[tuple[Any, ...]]:
        output: pulumi.Output[Any] = made()
        datas = [await one._data for one in (output["key"], item(output, "key"))]
        return [(data.value, data.is_known, data.is_secret, data.resources) for data in datas]

    usual, ours = asyncio.run(both())

    assert usual == ours


def shown(act: Callable[[], object]) -> str:
    """What the plugin would tell the engine: this file's frames stand for its own."""
    try:
        act()
    except Exception:
        return shown_to_the_engine()
    pytest.fail("nothing was raised")


def of_a_program(statement: str) -> Callable[[], object]:
    """A method of a program's own provider, which a pickle brought into the plugin's `__main__`."""
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(f"def create():\n    {statement}", "/stack/__main__.py", "exec"), names)
    create: Callable[[], object] = names["create"]
    return create


def test_our_provider_fails_in_one_line() -> None:
    """
    An error of ours that a provider of ours raises is told as one line, with its notes.
    """

    class Refreshed(WorkflowInstanceProvider):
        _config = Config({}, "a project")

    text = shown(lambda: Refreshed().read(ID, {"instance_id": ID}))

    assert text.startswith("missing settings: ")
    assert text.endswith("leave out --refresh)")
    assert text.isprintable()


@pytest.mark.parametrize(
    ("statement", "last"),
    [
        ("raise ValueError('mine')", "ValueError: mine"),
        ("from kf_provider import KeyfactorError; raise KeyfactorError('mine')", "KeyfactorError: mine"),
        (
            "from kf_provider import load_settings; load_settings(port='mine')",
            "SettingsError: there is no ",
        ),
    ],
    ids=["another error", "ours, raised there", "ours, from our client"],
)
def test_other_providers_fail_as_ever(statement: str, last: str) -> None:
    """
    What a program's own provider raises keeps its traceback, whatever it is.
    """
    text = shown(of_a_program(statement))

    assert text.startswith("Traceback (most recent call last):\n")
    assert last in text.splitlines()[-1]


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    """
    What is no KeyfactorError is a fault, and is shown whole.
    """
    assert shown(lambda: WorkflowInstanceProvider().read(ID, {})).startswith("Traceback")


def test_the_plugin_tells_what_format_exc_says() -> None:
    """
    The plugin's own module answers with `traceback.format_exc()`: that is what becomes one line.
    """
    spec = find_spec("pulumi.dynamic.__main__")
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text()

    assert "\nimport traceback\n" in source
    assert "context.abort(grpc.StatusCode.UNKNOWN, traceback.format_exc())" in source


def test_nothing_changes_where_no_plugin_runs() -> None:
    """
    In a program, or a test, that configures a provider itself, `traceback` stays as it is.
    """
    main = sys.modules["__main__"]
    before = dict(vars(main))

    show_our_errors_in_one_line()

    assert before == vars(main)


@pytest.mark.parametrize(
    "file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: str(file.relative_to(PACKAGE).with_suffix(""))
)
def test_nobody_else_names_them(file: Path) -> None:
    """
    `sdk.py` is the only file with private names of the SDK.
    """
    assert file.name == "sdk.py" or not list(private_imports(file))


@pytest.mark.parametrize(("module", "name"), NEEDED, ids=[name for _, name in NEEDED])
def test_a_missing_one_does_not_break_the_import(module: str, name: str) -> None:
    """
    An SDK without one of them still lets a program import every public name.
    """
    program = f"import {module} as module; del module.{name}; from kf_provider import *"

    subprocess.run([sys.executable, "-c", program], check=True)
