"""
The only file with private names of the Pulumi SDK.

Each is imported when it is needed: an SDK without one breaks what uses it, and nothing else. `tests/unit/test_sdk.py`
says which it was.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Awaitable, Callable
from functools import cached_property
from types import SimpleNamespace
from typing import Any, Final, TypeVar

import pulumi
import pulumi.runtime

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
