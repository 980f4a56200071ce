"""
The gate on the real engine: what happens to what depends on it.
"""

from __future__ import annotations

import re

import pytest

from kf_provider.sandbox import Endpoint, FaultKind, FaultRule, Sandbox

from .stack import RUN_SECONDS, NewStack

GONE = "0c8f2a54-9d1b-4b7e-8a60-3f5e2d7c1b94"


def gate(instance_id: str, options: str = "") -> str:
    return f"""
        approval = kf.WorkflowApproval("web", "{instance_id}"{", " if options else ""}{options})
        pulumi.Stash("after", input="made", opts=pulumi.ResourceOptions(depends_on=[approval]))
        pulumi.export("status", approval.status)
        pulumi.export("digest", approval.state_digest)
    """


@pytest.fixture
def pending(server: Sandbox) -> str:
    return str(server.start_enrollment(subject="CN=web.example.com"))


@pytest.fixture
def approved(server: Sandbox, pending: str) -> str:
    server.approve(pending)
    return pending


def test_waits_and_opens(new_stack: NewStack, server: Sandbox, pending: str) -> None:
    """
    What depends on the gate is created after the approval and not before; a second update changes nothing.
    """
    stack = new_stack(gate(pending), server.environment())
    update = stack.start("up", "--yes", "--skip-preview")
    row = "0 of 1 signals: Manager approval; PKI Administrators can approve"
    stack.wait_for(f"WorkflowApproval web creating (0s) {row}")
    server.wait_for_journal(lambda records: len(records) >= 2, timeout=RUN_SECONDS)
    assert "after" not in stack.output()

    server.approve(pending)
    run = stack.end(update)

    assert run.code == 0, run
    assert "Complete" == stack.outputs["status"]
    assert stack.resource("after") is not None
    again = stack.up("--expect-no-changes")
    assert again.code == 0, again
    assert "4 unchanged" in again.text
    assert not [call for call in stack.grpc() if call["method"].endswith(("/Update", "/Delete"))]


def test_a_definition_that_never_comes(new_stack: NewStack, server: Sandbox, pending: str) -> None:
    """
    Who can approve is left out when the server does not tell, and the run ends as soon and as quietly as without it.
    """
    server.add_fault(FaultRule(kind=FaultKind.HANG, endpoints=frozenset({Endpoint.DEFINITIONS})))
    # Longer than a run may last: one that waited for the definition would not end in time.
    stack = new_stack(gate(pending), {**server.environment(), "KEYFACTOR_CLIENT_TIMEOUT": "600"})
    update = stack.start("up", "--yes", "--skip-preview")
    stack.wait_for("0 of 1 signals: Manager approval\n")

    server.approve(pending)
    run = stack.end(update)

    assert run.code == 0, run
    assert "Diagnostics" not in run.text


def test_preview_of_a_pending_instance(new_stack: NewStack, server: Sandbox, pending: str) -> None:
    """
    A preview looks once, says so in one line, and never waits.
    """
    stack = new_stack(gate(pending), server.environment())

    run = stack.preview()

    assert run.code == 0, run
    diagnostics = run.text.partition("Diagnostics:\n")[2]
    assert "keyfactor:index:WorkflowApproval (web):" in diagnostics
    assert 'Suspended at "Manager approval", 0 of 1 signals; the update will wait' in diagnostics
    assert 1 == len(server.journal())


def test_preview_names_the_gates_that_hold_nothing_back(new_stack: NewStack, server: Sandbox, pending: str) -> None:
    """
    A preview tells, in one line each, which gates no resource depends on, in whatever way; an update says nothing.
    """
    program = f"""
        import asyncio
        from pulumi import InvokeOutputOptions, Output, ResourceOptions, Stash

        class Nothing(pulumi.dynamic.ResourceProvider):
            def create(self, props):
                return pulumi.dynamic.CreateResult("1", props)

        class Dynamic(pulumi.dynamic.Resource):
            pass

        async def stash_later(gate):
            await asyncio.sleep(1)
            Stash("later", input="made", opts=ResourceOptions(depends_on=[gate]))

        def gate(name, **options):
            return kf.WorkflowApproval(name, "{pending}", opts=ResourceOptions(**options))

        Stash("by depends_on", input="made", opts=ResourceOptions(depends_on=[gate("depends_on")]))
        Stash("by an output", input=gate("output").approved_instance_id)
        Stash("by an apply", input=[gate("apply").status.apply(str.lower)])
        Stash("by its parent", input="made", opts=ResourceOptions(parent=gate("parent")))
        pulumi.ComponentResource("a:b:C", "component", opts=ResourceOptions(depends_on=[gate("component")]))
        pulumi.ComponentResource("a:b:C", "child", opts=ResourceOptions(parent=gate("child")))
        kf.Provider("provider", hostname="kf.example.com", opts=ResourceOptions(depends_on=[gate("provider")]))
        kf.get_workflow_instances_output(limit=1, opts=InvokeOutputOptions(depends_on=[gate("function")]))
        Dynamic(Nothing(), "dynamic", {{}}, ResourceOptions(depends_on=[gate("dynamic")]))
        site = pulumi.ComponentResource("a:b:C", "site")
        gate("inside", parent=site)
        Stash("by the gate's component", input="made", opts=ResourceOptions(depends_on=[site]))
        Output.from_input(gate("later")).apply(stash_later)
        gate("alone")
        pulumi.export("approved", gate("exported").approved_instance_id)
    """
    stack = new_stack(program, server.environment())

    preview = stack.preview()

    assert preview.code == 0, preview
    diagnostics = preview.text.partition("Diagnostics:\n")[2]
    told = [line.strip() for line in diagnostics.splitlines() if "no resource waits" in line]
    assert [NOTHING_WAITS.format(name) for name in ("alone", "exported")] == sorted(told), preview
    server.approve(pending)
    update = stack.up()
    assert update.code == 0, update
    assert "no resource waits" not in update.text


NOTHING_WAITS = "no resource waits for gate {!r}: write depends_on=[gate] in the options of each one that must wait"

EXPECT = (
    'expect={"current_state_data.Subject": "CN=another.example.com", "reference_id": "1", '
    '"current_state_data.Ticket": "CHG-1", "status": "Complete"}'
)
WARNING = (
    "warning: the instance is not what is expected: its current_state_data.Subject is not the expected one; its "
    "reference_id is not the expected one (a number there, text here). When it is Complete, this gate will refuse it, "
    "unless a later step changes that"
)
NOT_YET = "expects current_state_data.Ticket, which the instance does not have yet: a later step may add it"


def test_what_is_not_expected_is_told_before_the_approval(new_stack: NewStack, server: Sandbox, pending: str) -> None:
    """
    A preview, and the update at its first look, warn of what differs already and tell what is not there yet.
    """
    stack = new_stack(gate(pending, EXPECT), server.environment())

    preview = stack.preview()

    assert preview.code == 0, preview
    assert WARNING in preview.text, preview
    assert NOT_YET in preview.text, preview
    assert "the update will wait" in preview.text
    update = stack.start("up", "--yes", "--skip-preview")
    stack.wait_for(WARNING)
    server.approve(pending)
    run = stack.end(update)
    assert run.code != 0
    assert "is Complete, but its current_state_data.Subject is not the expected one" in run.text


def test_a_tuple_and_protect(new_stack: NewStack, server: Sandbox, approved: str) -> None:
    """
    A tuple is expected as the list that it is in JSON, protect is taken, and a second update changes nothing.
    """
    options = 'expect={"current_state_data.SANs.dns": ("web.example.com",)}, opts=pulumi.ResourceOptions(protect=True)'
    stack = new_stack(gate(approved, options), server.environment())

    first, second = stack.up(), stack.up("--expect-no-changes")

    assert (0, 0) == (first.code, second.code), f"{first}\n{second}"


@pytest.mark.parametrize(
    ("act", "text"),
    [
        (
            "deny",
            (
                'is Rejected by an approver at "Manager approval": denied by KEYEXAMPLE\\approver1; '
                "start a new request and pass its id"
            ),
        ),
        (
            "stop",
            (
                'is Rejected, stopped before anyone answered, at "Manager approval": stopped by KEYEXAMPLE\\operator; '
                "start a new request"
            ),
        ),
        ("fail", 'is Failed at "Manager approval"; restart it in Keyfactor, or start a new request'),
        ("restart", "was restarted in Keyfactor, and a restart gets a new id; pass that id, or set follow_restarts"),
        ("forbid", "0xA0140002"),
        ("purge", "was not found"),  # after a minute: it was seen before
    ],
)
def test_refused_while_waiting(new_stack: NewStack, server: Sandbox, pending: str, act: str, text: str) -> None:
    """
    A refusal ends the run within seconds, in one line, and what depends on the gate is not there.
    """
    stack = new_stack(gate(pending), server.environment())
    update = stack.start("up", "--yes", "--skip-preview")
    stack.wait_for("Manager approval")

    getattr(server, act)(pending)
    run = stack.end(update)

    assert run.code != 0
    error = next(line for line in run.text.splitlines() if f"error: {kind('web')} has a problem: " in line)
    assert text in error
    assert pending in error or act == "forbid"
    assert ("your identity can no longer see this instance" in error) == (act in ("forbid", "purge"))
    assert not run.tracebacks, run
    assert stack.resource("after") is None


def kind(name: str) -> str:
    return f"pulumi-python:dynamic/keyfactor:ApprovalRecord resource '{name}'"


def test_refused_before(new_stack: NewStack, server: Sandbox, pending: str) -> None:
    """
    A rejected instance fails the preview, before anything is changed.
    """
    server.deny(pending)
    stack = new_stack(gate(pending), server.environment())

    run = stack.preview()

    assert run.code != 0
    assert f"workflow instance {pending} is Rejected" in run.text
    assert not run.tracebacks, run


def test_not_found(new_stack: NewStack, server: Sandbox) -> None:
    """
    An unknown id fails the preview with one line.
    """
    stack = new_stack(gate(GONE), server.environment())

    run = stack.preview()

    assert run.code != 0
    assert f"workflow instance {GONE} was not found" in run.text
    assert not run.tracebacks, run


def test_no_permission(new_stack: NewStack, server: Sandbox, pending: str) -> None:
    """
    Without permission the run ends with Keyfactor's own words.
    """
    server.forbid(pending)
    stack = new_stack(gate(pending), server.environment())

    run = stack.preview()

    assert run.code != 0
    assert "0xA0140002" in run.text
    assert not run.tracebacks, run


def test_wrong_credentials(new_stack: NewStack, server: Sandbox, pending: str) -> None:
    """
    A wrong password is named as such.
    """
    stack = new_stack(gate(pending), {**server.environment(), "KEYFACTOR_PASSWORD": "wrong"})

    run = stack.preview()

    assert run.code != 0
    assert "401" in run.text
    assert not run.tracebacks, run


def test_no_settings(new_stack: NewStack, pending: str) -> None:
    """
    Missing settings are named, with each way to give them.
    """
    stack = new_stack(gate(pending))

    run = stack.preview()

    assert run.code != 0
    assert "keyfactor:hostname" in run.text
    assert "KEYFACTOR_HOSTNAME" in run.text
    assert not run.tracebacks, run


def test_unusable_certificate_authority(new_stack: NewStack, server: Sandbox, approved: str) -> None:
    """
    A CA that cannot be read is one line, as a setting that is missing is; what is recorded opens.
    """
    stack = new_stack(f'kf.WorkflowApproval("approval", "{approved}")', server.environment())

    refused = stack.up(KEYFACTOR_CA_CERT="/nowhere/ca.pem")

    assert refused.code != 0
    assert "KEYFACTOR_CA_CERT) is neither the path of a readable PEM file nor the text of one" in refused.text
    assert not refused.tracebacks, refused
    assert stack.up().code == 0
    opened = stack.up(KEYFACTOR_CA_CERT="/nowhere/ca.pem")
    assert opened.code == 0, opened
    assert "warning: nothing is asked, and what is recorded opens: ca_cert (" in opened.text


def test_stack_configuration(new_stack: NewStack, server: Sandbox, approved: str) -> None:
    """
    The stack's own configuration reaches the program and the plugin.
    """
    stack = new_stack(gate(approved))
    stack.config(hostname=server.url, username=server.username, password=server.password)

    run = stack.up()

    assert run.code == 0, run
    assert "Complete" == stack.outputs["status"]


def test_server_down(new_stack: NewStack, server: Sandbox, pending: str) -> None:
    """
    A server that is down fails the preview after one look and its two repetitions, and says so.
    """
    server.outage = True
    stack = new_stack(gate(pending), server.environment())

    run = stack.preview()

    assert run.code != 0
    assert "no connection" in run.text
    assert not run.tracebacks, run
    assert len(server.journal()) <= 3


def test_outage_while_waiting(new_stack: NewStack, server: Sandbox, pending: str) -> None:
    """
    A server that is gone for a while does not end the wait.
    """
    stack = new_stack(gate(pending), server.environment())
    update = stack.start("up", "--yes", "--skip-preview")
    stack.wait_for("Manager approval")
    server.outage = True
    stack.wait_for("no answer; 0 of 1 signals")
    server.outage = False
    server.approve(pending)

    run = stack.end(update)

    assert run.code == 0, run
    assert stack.resource("after") is not None


def test_recorded_approval_outlives_its_instance(new_stack: NewStack, server: Sandbox, approved: str) -> None:
    """
    Once recorded, an approval stays: the instance may be purged and the server be down.
    """
    environment = server.environment()
    stack = new_stack(gate(approved), environment)
    assert stack.up().code == 0

    assert stack.refresh("--expect-no-changes").code == 0
    server.purge(approved)
    for run in (stack.preview("--expect-no-changes"), stack.up("--expect-no-changes")):
        assert run.code == 0, run
    assert stack.refresh("--expect-no-changes").code == 0
    server.close()
    run = stack.up("--expect-no-changes")
    assert run.code == 0, run
    assert 25 < run.seconds  # and less than a run may take
    assert stack.refresh("--expect-no-changes").code == 0
    assert stack.destroy(KEYFACTOR_HOSTNAME="", KEYFACTOR_USERNAME="", KEYFACTOR_PASSWORD="").code == 0
    assert [] == stack.resources


def test_new_request_replaces_the_record(new_stack: NewStack, server: Sandbox, approved: str) -> None:
    """
    Another instance is another approval: recorded before the old record goes, and waited for again.
    """
    stack = new_stack(gate(approved), server.environment())
    assert stack.up().code == 0
    old = stack.outputs["digest"]
    second = server.start_enrollment(subject="CN=second.example.com")
    stack.write(gate(second))

    update = stack.start("up", "--yes", "--skip-preview")
    stack.wait_for("Manager approval")
    server.approve(second)
    run = stack.end(update)

    assert run.code == 0, run
    assert old != stack.outputs["digest"]
    assert 1 == len([res for res in stack.resources if "ApprovalRecord" in res["type"]])


def test_new_request_refused(new_stack: NewStack, server: Sandbox, approved: str) -> None:
    """
    The record of an old approval does not excuse a new, rejected request.
    """
    stack = new_stack(gate(approved), server.environment())
    assert stack.up().code == 0
    second = server.start_enrollment(subject="CN=second.example.com")
    server.deny(second)
    stack.write(gate(second))

    run = stack.up()

    assert run.code != 0
    assert f"workflow instance {second} is Rejected" in run.text
    record = stack.resource("web", "ApprovalRecord")
    assert record is not None
    assert approved == record["outputs"]["instance_id"]


@pytest.mark.parametrize(
    "options", ['timeout="3s"', 'opts=pulumi.ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(create="3s"))']
)
def test_timeout(new_stack: NewStack, server: Sandbox, pending: str, options: str) -> None:
    """
    At its timeout the gate ends the run, says that nothing was lost, and goes on with the next one.
    """
    stack = new_stack(gate(pending, options), server.environment())

    run = stack.up()

    assert run.code != 0
    assert f"workflow instance {pending} is not approved yet" in run.text
    assert "after 3 s; nothing was lost: run `pulumi up` again to go on waiting" in run.text
    server.approve(pending)
    assert stack.up().code == 0


@pytest.mark.parametrize("where", ["gate", "setting"])
@pytest.mark.parametrize("operation", ["preview", "up"])
def test_does_not_wait(new_stack: NewStack, server: Sandbox, pending: str, where: str, operation: str) -> None:
    """
    `wait=False` on one gate, or `gates` set to `check`, makes a pending instance a problem at once.
    """
    environment = server.environment() | ({"KEYFACTOR_GATES": "check"} if where == "setting" else {})
    stack = new_stack(gate(pending, "wait=False" if where == "gate" else ""), environment)

    run = getattr(stack, operation)()

    assert run.code != 0
    why = "keyfactor:gates=check" if where == "setting" else "wait=False"
    assert f"and this gate does not wait ({why}); run the update again when it is approved" in run.text
    server.approve(pending)
    assert stack.up().code == 0


def test_gates_off(new_stack: NewStack, server: Sandbox, pending: str, approved: str) -> None:
    """
    With `gates` off a recorded gate asks nothing, and warns; one that is not approved is still not recorded.
    """
    stack = new_stack(gate(approved), server.environment())
    assert stack.up().code == 0
    asked = len(server.journal())

    run = stack.up("--expect-no-changes", KEYFACTOR_GATES="off")

    assert run.code == 0, run
    assert "warning: gates are off" in run.text
    assert asked == len(server.journal())

    unapproved = server.start_enrollment(subject="CN=unapproved.example.com")
    stack.write(gate(unapproved))
    run = stack.up(KEYFACTOR_GATES="off")
    assert run.code != 0
    assert "gates are off (keyfactor:gates, KEYFACTOR_GATES), and this approval is not recorded" in run.text
    assert asked == len(server.journal())
    record = stack.resource("web", "ApprovalRecord")
    assert record is not None
    assert approved == record["outputs"]["instance_id"]


def test_unknown_id_in_preview(new_stack: NewStack, server: Sandbox, approved: str) -> None:
    """
    An id that is known only at the update leaves the preview without a look.
    """
    stack = new_stack(
        f"""
        class IdProvider(pulumi.dynamic.ResourceProvider):
            def create(self, props):
                return pulumi.dynamic.CreateResult("request", {{"instance_id": "{approved.upper()}"}})

        class Request(pulumi.dynamic.Resource):
            def __init__(self, name):
                super().__init__(IdProvider(), name, {{"instance_id": None}})

        request = Request("request")
        approval = kf.WorkflowApproval("web", request.instance_id)
        instance = kf.WorkflowInstance("read", request.instance_id)
        result = kf.get_workflow_instance_output(request.instance_id)
        pulumi.Stash("after", input="made", opts=pulumi.ResourceOptions(depends_on=[approval]))
        pulumi.export("status", approval.status)
        pulumi.export("read", instance.status)
        pulumi.export("result", result.status)
        """,
        server.environment(),
    )

    run = stack.preview()

    assert run.code == 0, run
    assert "[unknown]" in run.text
    assert [] == server.journal()
    run = stack.up()
    assert run.code == 0, run
    assert {"status": "Complete", "read": "Complete", "result": "Complete"} == stack.outputs
    record = stack.resource("web", "ApprovalRecord")
    assert record is not None
    assert approved == record["outputs"]["instance_id"]
    assert stack.up("--expect-no-changes").code == 0


@pytest.mark.parametrize("spelling", ["{{{0}}}", " {0} "])
def test_spelling_of_the_id(new_stack: NewStack, server: Sandbox, approved: str, spelling: str) -> None:
    """
    Braces and capitals do not matter, and changing them changes nothing.
    """
    stack = new_stack(gate(approved), server.environment())
    assert stack.up().code == 0

    stack.write(gate(spelling.format(approved.upper())))

    run = stack.up("--expect-no-changes")
    assert run.code == 0, run


def test_expectation(new_stack: NewStack, server: Sandbox, approved: str) -> None:
    """
    An approval given for one certificate cannot open the gate for another; its values are not told.
    """
    stack = new_stack(
        gate(approved, "expect={'current_state_data.Subject': 'CN=other.example.com'}"), server.environment()
    )

    run = stack.preview()

    assert run.code != 0
    assert "its current_state_data.Subject is not the expected one" in run.text
    stack.write(gate(approved, "expect={'current_state_data.Subject': 'CN=web.example.com', 'reference_id': 1}"))
    assert stack.up().code == 0
    assert stack.up("--expect-no-changes").code == 0


def test_follows_a_restart(new_stack: NewStack, server: Sandbox, pending: str) -> None:
    """
    With follow_restarts the gate goes on with the successor, and records both ids.
    """
    program = gate(pending, "follow_restarts=True") + '    pulumi.export("approved", approval.approved_instance_id)\n'
    stack = new_stack(program, server.environment())
    update = stack.start("up", "--yes", "--skip-preview")
    stack.wait_for("Manager approval")

    successor = server.restart(pending)
    stack.wait_for(f"goes on as {successor}")
    server.approve(successor)
    run = stack.end(update)

    assert run.code == 0, run
    assert successor == stack.outputs["approved"]
    assert stack.up("--expect-no-changes").code == 0


def test_outage_that_lasts(new_stack: NewStack, server: Sandbox, pending: str) -> None:
    """
    A server that stays silent for longer than `outageSeconds` ends the wait with the server's error.
    """
    stack = new_stack(gate(pending), {**server.environment(), "KEYFACTOR_OUTAGE_SECONDS": "3"})
    update = stack.start("up", "--yes", "--skip-preview")
    stack.wait_for("Manager approval")

    server.outage = True
    run = stack.end(update)

    assert run.code != 0
    assert "the connection broke" in run.text or "no connection" in run.text, run
    assert not run.tracebacks, run


def test_status_numbers(new_stack: NewStack) -> None:
    """
    A server that sends numbers is not guessed at; with `statusNames` it works as any other.
    """
    with Sandbox(statuses="numbers") as server:
        id_ = server.start_enrollment(subject="CN=web.example.com")
        server.approve(id_)
        stack = new_stack(gate(id_), server.environment())

        run = stack.preview()

        assert run.code != 0
        found = re.search(r"has the status number (\d), and no source says what it means; name it in", run.text)
        assert found
        run = stack.up(KEYFACTOR_STATUS_NAMES=f'{{"{found[1]}": "Complete"}}')
        assert run.code == 0, run
        assert "Complete" == stack.outputs["status"]


def test_unknown_status(new_stack: NewStack, server: Sandbox, pending: str) -> None:
    """
    A status that is none of Keyfactor's opens nothing and is not waited for.
    """
    server.add_fault(FaultRule(kind=FaultKind.UNKNOWN_STATUS))
    stack = new_stack(gate(pending), server.environment())

    run = stack.up()

    assert run.code != 0
    assert "which is none of Keyfactor's; look at the instance in Keyfactor Command" in run.text


def test_lock_stall_is_named(new_stack: NewStack, server: Sandbox, pending: str) -> None:
    """
    An instance with all its signals that stays suspended is told apart from one that waits for people.
    """
    server.add_fault(FaultRule(kind=FaultKind.LOCK_STALL, times=1))
    stack = new_stack(gate(pending), server.environment())
    update = stack.start("up", "--yes", "--skip-preview")
    stack.wait_for("Manager approval")

    server.approve(pending)
    stack.wait_for("all signals received: Keyfactor moves it on, by its daily job at the latest")
    server.complete(pending)
    run = stack.end(update)

    assert run.code == 0, run


def test_secret_inputs(new_stack: NewStack, server: Sandbox, approved: str) -> None:
    """
    A secret id and secret expectations work, change nothing at the second update, and are encrypted in the state.
    """
    stack = new_stack(
        f"""
        subject = pulumi.Output.secret("CN=web.example.com")
        approval = kf.WorkflowApproval("web", pulumi.Output.secret("{approved}"),
                                       expect={{"current_state_data.Subject": subject}})
        pulumi.Stash("after", input="made", opts=pulumi.ResourceOptions(depends_on=[approval]))
        pulumi.export("status", approval.status)
        """,
        server.environment(),
    )

    assert stack.preview().code == 0
    run = stack.up()
    assert run.code == 0, run
    again = stack.up("--expect-no-changes")
    assert again.code == 0, again
    record = stack.resource("web", "ApprovalRecord")
    assert record is not None
    assert "CN=web.example.com" not in str(record["outputs"]["expect"])
    assert "Complete" == stack.outputs["status"]


def test_secret_expectation_unmet(new_stack: NewStack, server: Sandbox, approved: str) -> None:
    """
    A secret expectation that is not met ends the run without the value.
    """
    stack = new_stack(
        f"""
        kf.WorkflowApproval("web", "{approved}",
                            expect={{"current_state_data.Subject": pulumi.Output.secret("CN=canary.example.com")}})
        """,
        server.environment(),
    )

    run = stack.up()

    assert run.code != 0
    assert "its current_state_data.Subject is not the expected one" in run.text
    assert "canary" not in run.text


def test_protected_component(new_stack: NewStack, server: Sandbox, approved: str) -> None:
    """
    A new approval replaces the record also in a protected component, whose other resources stay protected.
    """
    text = """
        class Outer(pulumi.ComponentResource):
            def __init__(self):
                super().__init__("test:index:Outer", "outer", None, pulumi.ResourceOptions(protect=True))
                gate = kf.WorkflowApproval("web", "{0}", opts=pulumi.ResourceOptions(parent=self))
                pulumi.Stash("after", input="made", opts=pulumi.ResourceOptions(parent=gate))
                self.register_outputs({{}})

        Outer()
    """
    stack = new_stack(text.format(approved), server.environment())
    assert stack.up().code == 0
    second = server.start_enrollment(subject="CN=second.example.com")
    server.approve(second)
    stack.write(text.format(second))

    run = stack.up()

    assert run.code == 0, run
    after, record = stack.resource("after"), stack.resource("web", "ApprovalRecord")
    assert after is not None
    assert record is not None
    assert second == record["outputs"]["instance_id"]
    assert after["protect"]


COUNTED = """
    import asyncio, atexit, os
    from pathlib import Path

    class Given(pulumi.dynamic.ResourceProvider):
        serialize_as_secret_always = False

        def create(self, props):
            return pulumi.dynamic.CreateResult("1", props)

    class Record(pulumi.dynamic.Resource):
        pass

    class Plain(pulumi.ComponentResource):
        def __init__(self, name):
            super().__init__("a:b:Plain", name)
            Record(Given(), name, {{"instance_id": "x", "status": None}}, pulumi.ResourceOptions(parent=self))
            self.register_outputs({{}})

    tasks = 0

    def counted(loop, coroutine, **given):
        global tasks
        tasks += 1
        return asyncio.Task(coroutine, loop=loop, **given)

    asyncio.get_running_loop().set_task_factory(counted)
    atexit.register(lambda: Path("tasks").write_text(str(tasks)))
    for number in range(int(os.environ["GATES"])):
        kf.WorkflowApproval(f"gate{{number}}", "{id_}")
    for number in range(int(os.environ["PLAIN"])):
        Plain(f"plain{{number}}")
    for number in range(int(os.environ["READS"])):
        kf.WorkflowInstance(f"read{{number}}", "{id_}")
"""


def test_tasks_of_a_gate(new_stack: NewStack, server: Sandbox, approved: str) -> None:
    """
    A gate takes two tasks of the event loop more than a component with a dynamic resource, those of its wait; a read
    takes no more than these two resources.
    """
    stack = new_stack(COUNTED.format(id_=approved), server.environment())

    def tasks(**counts: str) -> int:
        update = stack.up(**counts)
        assert update.code == 0, update
        return int((stack.folder / "tasks").read_text())

    one = tasks(GATES="1", PLAIN="1", READS="1")
    gates = tasks(GATES="9", PLAIN="1", READS="1") - one
    plain = tasks(GATES="9", PLAIN="9", READS="1") - gates - one
    reads = tasks(GATES="9", PLAIN="9", READS="9") - plain - gates - one

    assert gates / 8 <= plain / 8 + 2
    assert reads <= plain
