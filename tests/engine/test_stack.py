"""
What the tests' own view of a run leaves out.
"""

from __future__ import annotations

import pytest

from .stack import Run

# As a CI run printed it, with fewer frames, and with the names of its folders.
ENDED = """\
    error: Program failed with an unhandled exception:
    Traceback (most recent call last):
      File "/check/.venv/lib/python3.11/site-packages/pulumi/runtime/resource.py", line 1340, in do_rpc_call
        return monitor.RegisterResource(req)
               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      File "/check/.venv/lib/python3.11/site-packages/grpc/_channel.py", line 999, in _end_unary_response_blocking
        raise _InactiveRpcError(state)  # pytype: disable=not-instantiable
        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    grpc._channel._InactiveRpcError: <_InactiveRpcError of RPC that terminated with:
    \tstatus = StatusCode.CANCELLED
    \tdetails = "context canceled"
    \tdebug_error_string = "CANCELLED:context canceled"
    >

    During handling of the above exception, another exception occurred:

    Traceback (most recent call last):
      File "/root/.cache/kf-provider/bin/pulumi-language-python-exec", line 232, in <module>
        loop.run_until_complete(coro)
      File "/root/.pyenv/versions/3.11.7/lib/python3.11/asyncio/base_events.py", line 653, in run_until_complete
        return future.result()
               ^^^^^^^^^^^^^^^
      File "/check/.venv/lib/python3.11/site-packages/pulumi/output.py", line 143, in compute_data
        val = await future
              ^^^^^^^^^^^^
      File "/root/.pyenv/versions/3.11.7/lib/python3.11/concurrent/futures/thread.py", line 58, in run
        result = self.fn(*self.args, **self.kwargs)
                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      File "/check/.venv/lib/python3.11/site-packages/pulumi/runtime/settings.py", line 352, in handle_grpc_error
        raise grpc_error_to_exception(exn)
    Exception: context canceled

"""

# What the SDK prints when it cannot even tell the engine that it is gone (pulumi-language-python-exec, log.error).
GONE = """\
    Traceback (most recent call last):
      File "/root/.cache/kf-provider/bin/pulumi-language-python-exec", line 235, in <module>
        pulumi.log.error(str(e))
      File "/check/.venv/lib/python3.11/site-packages/pulumi/log.py", line 107, in error
        _log(engine, engine_pb2.ERROR, msg, resource, stream_id, ephemeral)
      File "/check/.venv/lib/python3.11/site-packages/grpc/_channel.py", line 999, in _end_unary_response_blocking
        raise _InactiveRpcError(state)
    grpc._channel._InactiveRpcError: <_InactiveRpcError of RPC that terminated with:
    \tstatus = StatusCode.UNAVAILABLE
    \tdetails = "error reading from server: EOF"
    >
"""
ONE_OF_THE_SDK = 'site-packages/pulumi/output.py", line 143'


@pytest.mark.parametrize("text", [ENDED, GONE, ENDED + GONE], ids=["ended", "gone", "both"])
def test_ended_by_the_engine(text: str) -> None:
    """
    A run that is refused may end with the SDK's traceback about its own call, by chance.
    """
    assert not Run(1, text, 1.0).tracebacks


@pytest.mark.parametrize(
    "text",
    [
        ENDED.replace(ONE_OF_THE_SDK, 'site-packages/kf_provider/gate.py", line 143'),
        ENDED.replace(ONE_OF_THE_SDK, 'site-packages/pulumi_policy/policy.py", line 143'),
        ENDED.replace("/check/.venv/lib/python3.11/site-packages/pulumi/runtime/resource.py", "/check/__main__.py"),
        ENDED.replace("bin/pulumi-language-python-exec", "lib/python3.11/site-packages/pulumi/dynamic/__main__.py"),
        ENDED.replace("Exception: context canceled", "TypeError: 'NoneType' object is not callable"),
        ENDED.replace("Exception: context canceled", "Exception: the name is taken"),
        GONE.replace("UNAVAILABLE", "UNKNOWN"),
    ],
    ids=["ours", "a pack", "a program", "a plugin", "another error", "another answer", "another status"],
)
def test_tracebacks(text: str) -> None:
    """
    Every other one is seen, though one that is left out stands before or after it.
    """
    assert [1, 1, 1] == [len(Run(1, each, 1.0).tracebacks) for each in (text, ENDED + text, text + ENDED)]


@pytest.mark.parametrize("text", [GONE, GONE.replace("UNAVAILABLE", "UNKNOWN")], ids=["left out", "seen"])
def test_rows(text: str) -> None:
    """
    What a process prints is a row for each line, until the diagnostics show it whole.
    """
    rows = "".join(f" +  pulumi:pulumi:Stack gate-test create {line[4:]}\n" for line in text.splitlines())

    run = Run(
        1, f"{rows}Diagnostics:\n  pulumi:pulumi:Stack (gate-test):\n{text}\nResources:\n    + 2 to create\n", 1.0
    )

    assert len(Run(1, text, 1.0).tracebacks) == len(run.tracebacks)
