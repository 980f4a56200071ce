"""
What many functions for few instances cost on the real engine.
"""

from __future__ import annotations

from collections import Counter

from kf_provider.sandbox import Sandbox

from .stack import NewStack


def test_many_functions_for_few_instances(new_stack: NewStack, server: Sandbox) -> None:
    """
    1,000 calls for 10 instances cost 10 requests, and each has values of its own.
    """
    ids = [server.start_enrollment(subject=f"CN=host{n}.example.com") for n in range(10)]
    stack = new_stack(
        f"""
        calls = [kf.get_workflow_instance_output(id_) for id_ in {ids!r} * 100]
        statuses = pulumi.Output.all(*(call.status for call in calls))
        pulumi.export("suspended", statuses.apply(lambda known: known.count("Suspended")))
        same = pulumi.Output.all(calls[0].current_state_data, calls[10].current_state_data)
        pulumi.export("same", pulumi.Output.unsecret(same.apply(lambda data: [data[0] == data[1], data[0] is data[1]])))
        """,
        server.environment(),
    )

    run = stack.up()

    assert run.code == 0, run
    assert stack.outputs == {"suspended": 1000, "same": [True, False]}
    assert Counter(record.path.rpartition("/")[2] for record in server.journal()) == dict.fromkeys(ids, 1)


def test_function_after_the_gate(new_stack: NewStack, server: Sandbox) -> None:
    """
    A function that depends on a gate reads the instance anew, although the program has read it before.
    """
    id_ = server.start_enrollment(subject="CN=web.example.com")
    stack = new_stack(
        f"""
        before = kf.get_workflow_instance_output("{id_}")
        gate = kf.WorkflowApproval("web", "{id_}")
        after = kf.get_workflow_instance_output("{id_}", opts=pulumi.InvokeOutputOptions(depends_on=[gate]))
        pulumi.export("before", before.status)
        pulumi.export("after", after.status)
        """,
        server.environment(),
    )

    process = stack.start("up", "--yes", "--skip-preview")
    stack.wait_for("Manager approval")
    server.approve(id_)
    run = stack.end(process)

    assert run.code == 0, run
    assert stack.outputs == {"before": "Suspended", "after": "Complete"}


def test_one_token_for_one_identity(new_stack: NewStack, server: Sandbox) -> None:
    """
    A function, a gate that waits and follows, and a read share one token in each process: the program's and the
    plugin's.
    """
    id_ = server.start_enrollment(subject="CN=web.example.com")
    server.approve(id_)
    stack = new_stack(
        f"""
        pulumi.export("status", kf.get_workflow_instance("{id_}").status)
        kf.WorkflowApproval("web", "{id_}")
        kf.WorkflowInstance("read", "{id_}")
        """,
        {
            "KEYFACTOR_HOSTNAME": server.url,
            "KEYFACTOR_AUTH_CLIENT_ID": server.client_id,
            "KEYFACTOR_AUTH_CLIENT_SECRET": server.client_secret,
            "KEYFACTOR_AUTH_TOKEN_URL": server.token_url,
        },
    )

    run = stack.up()

    assert run.code == 0, run
    methods = Counter(record.method for record in server.journal())
    assert methods == {"POST": 2, "GET": 4}
