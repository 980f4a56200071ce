"""
The only file with private names of the Pulumi SDK.

Each is imported when it is needed: an SDK without one breaks what uses it, and nothing else. `tests/unit/test_sdk.py`
says which it was.
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from functools import cache, cached_property, partial
from types import SimpleNamespace
from typing import Any, Final, TypeVar

import pulumi
import pulumi.runtime
from pulumi.output import UNKNOWN, contains_unknowns

from .errors import KeyfactorError

Result = TypeVar("Result")

_PLUGIN: Final = "pulumi.dynamic.__main__"  # what runs as `__main__` in the process of dynamic providers


def wait_for(awaitable: Awaitable[Result]) -> Result:
    """
    The result, while the event loop that runs this program goes on: for functions that are not `async`.
    """
    from pulumi.runtime.sync_await import _sync_await

    return _sync_await(awaitable)


def dependencies(opts: pulumi.InvokeOptions | None) -> pulumi.Output[Any] | None:
    """
    An output that is known when what `depends_on` names exists, and depends on it.
    """
    if not isinstance(opts, pulumi.InvokeOutputOptions) or opts.depends_on is None:
        return None
    from pulumi.runtime._depends_on import _resolve_depends_on
    from pulumi.runtime.rpc import _expand_dependencies

    async def resolve() -> pulumi.Output[Any]:
        named = await _resolve_depends_on(opts._depends_on_list())
        expanded = await _expand_dependencies(named, None)
        return pulumi.Output.all(
            *(res.id if isinstance(res, pulumi.CustomResource) else res.urn for res in expanded.values())
        )

    return pulumi.Output.from_input(resolve())


def on_demand(make: Callable[[], pulumi.Output[Result]]) -> pulumi.Output[Result]:
    """
    The output that `make` makes, made when it is first used: each is a task, and one more that the SDK waits for.
    """
    return _OnDemand(make)


class _OnDemand(pulumi.Output[Any]):
    def __init__(self, make: Callable[[], pulumi.Output[Any]]) -> None:
        self._make = make  # and no more: what the SDK's own begins is the task

    @cached_property
    def _data(self) -> Any:  # type: ignore[override]  # all that the SDK reads of an output
        return self._make()._data

    def _untrack(self) -> None:
        _ = self._data  # the SDK reads it under the lock that making one takes
        super()._untrack()


class _Answered(pulumi.Output[Any]):
    def __init__(self, data: asyncio.Future[Any]) -> None:
        self._data = data  # and no more: the SDK's own is a task with four futures, and it waits for each by itself


@cache
def make_properties_light(kind: type[pulumi.Resource]) -> None:
    """
    Let the properties of these resources be outputs without a task: the SDK waits for their registration anyway.

    Only this name of the SDK's module changes, for these resources alone; an SDK without it makes them as ever.
    """
    from pulumi.output import _OutputData
    from pulumi.runtime import rpc

    transfer: Any = getattr(rpc, "transfer_properties", None)
    if transfer is None:
        return

    def resolve(
        data: asyncio.Future[Any],
        resource: pulumi.Resource,
        value: object,
        is_known: bool,
        is_secret: bool,
        deps: set[pulumi.Resource] | None,
        failed: Exception | None,
    ) -> None:
        if failed is None:
            data.set_result(_OutputData({resource, *(deps or ())}, value, is_known, is_secret))
        else:
            data.set_exception(failed)
            data.exception()  # the registration tells it, also when nobody uses the property

    def light_transfer(resource: pulumi.Resource, props: Iterable[str], custom: bool) -> dict[str, Callable[..., None]]:
        if not isinstance(resource, kind):
            return transfer(resource, props, custom)  # type: ignore[no-any-return]  # the SDK's
        names = [name for name in props if name not in ("id", "urn")]
        data: dict[str, asyncio.Future[Any]] = {name: asyncio.Future() for name in names}
        vars(resource).update({name: _Answered(answer) for name, answer in data.items()})
        return {name: partial(resolve, answer, resource) for name, answer in data.items()}

    rpc.transfer_properties = light_transfer  # type: ignore[assignment]  # the same for other resources


def item(output: pulumi.Output[dict[str, Any]], key: str) -> pulumi.Output[Any]:
    """
    `output[key]`, worked out where it is awaited, without a task: for inputs, which the SDK awaits once.
    """
    return _Item(output, key)


class _Item(pulumi.Output[Any]):
    def __init__(self, output: pulumi.Output[dict[str, Any]], key: str) -> None:
        self._output = output
        self._key = key

    @property
    def _data(self) -> Any:  # type: ignore[override]  # as above
        return self._worked_out()

    async def _worked_out(self) -> Any:
        whole: Any = await self._output._data
        is_there = whole.is_known or contains_unknowns(whole.value)
        return replace(whole, value=whole.value[self._key] if is_there else UNKNOWN, is_known=True)

    def _untrack(self) -> None:
        pass  # the SDK waits for the whole output


def config_keys() -> set[str]:
    """
    All keys of the stack's configuration, with their namespaces: `pulumi.Config` only tells whether one is there.
    """
    from pulumi.runtime.config import CONFIG  # what the Automation API hands to a program in its own process

    return {*pulumi.runtime.get_config_env(), *CONFIG.get()}


def unhandled_exception() -> Exception | None:
    """
    The first error of a registration, which the SDK shows when all registrations have ended.
    """
    from pulumi.runtime.settings import _get_rpc_manager

    return _get_rpc_manager().unhandled_exception


def before_shutdown(act: Callable[[], object]) -> None:
    """
    Call `act`, in another thread, when a program has registered all that it registers, and nothing has failed.

    The SDK tells the engine so by this call of the monitor, once: only the attribute of this program's stub changes.
    """
    from pulumi.runtime.settings import get_monitor

    monitor: Any = get_monitor()
    signal = monitor.SignalAndWaitForShutdown

    def act_and_signal(request: object) -> object:
        act()
        return signal(request)

    monitor.SignalAndWaitForShutdown = act_and_signal


def show_our_errors_in_one_line() -> None:
    """
    Let the plugin, in whose process this is called, show a KeyfactorError that a provider of ours raises as one line.

    The plugin answers the engine with `traceback.format_exc()` of whatever a provider raises. Only the name `traceback`
    in its own module changes, for our providers alone; where no plugin runs, nothing does.
    """
    plugin = sys.modules["__main__"]
    if getattr(getattr(plugin, "__spec__", None), "name", None) == _PLUGIN:
        vars(plugin)["traceback"] = SimpleNamespace(**vars(traceback) | {"format_exc": shown_to_the_engine})


def shown_to_the_engine() -> str:
    """
    What the engine is told of the exception that is being handled in the plugin.
    """
    error = sys.exception()
    if isinstance(error, KeyfactorError) and _is_of_our_provider(error):
        return " ".join(" ".join([str(error), *getattr(error, "__notes__", [])]).split())
    return traceback.format_exc()


def _is_of_our_provider(error: BaseException) -> bool:
    # The first frame that is not the plugin's, which caught it, is the provider's method. By files: in a pickle of a
    # program's own provider, functions may come whose module is called `__main__` too.
    plugin, *frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    provider = next((frame for frame in frames if frame.f_code.co_filename != plugin.f_code.co_filename), plugin)
    return str(provider.f_globals.get("__name__")).startswith(f"{__package__}.")
