"""
Reading instances on the real engine: the functions, the resource, the explicit provider.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from kf_provider.sandbox import Sandbox

from .stack import NewStack, Stack

GONE = "0c8f2a54-9d1b-4b7e-8a60-3f5e2d7c1b94"


@pytest.fixture
def pending(server: Sandbox) -> str:
    return str(server.start_enrollment(subject="CN=web.example.com"))


@pytest.fixture
def second_server() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


def test_function_and_resource(new_stack: NewStack, server: Sandbox, pending: str) -> None:
    """
    Function and resource give the same values, in preview as in the update, and only the state data is secret.
    """
    stack = new_stack(
        f"""
        now = kf.get_workflow_instance("{pending}")
        later = kf.get_workflow_instance_output(pulumi.Output.from_input("{pending}"))
        by_number = kf.get_workflow_instance(reference_id=now.reference_id)
        resource = kf.WorkflowInstance("read", "{pending}")
        for name, instance in (("now", now), ("later", later), ("resource", resource)):
            pulumi.export(f"{{name}}_status", instance.status)
            pulumi.export(f"{{name}}_title", instance.title)
            pulumi.export(f"{{name}}_step", instance.current_step_display_name)
            pulumi.export(f"{{name}}_workflow", instance.definition.workflow_type)
            pulumi.export(f"{{name}}_subject", instance.current_state_data["Subject"])
            pulumi.export(f"{{name}}_data", instance.initial_data)
            pulumi.export(f"{{name}}_signal", instance.signals[0].signal_name)
            pulumi.export(f"{{name}}_whole", instance)
            pulumi.export(f"{{name}}_json", pulumi.Output.json_dumps(instance) if name != "resource" else "-")
        pulumi.export("by_number", by_number.instance_id)
        pulumi.export("type", later.reference_id.apply(lambda n: type(n).__name__))
        pulumi.export("type_of_resource", resource.reference_id.apply(lambda n: type(n).__name__))
        pulumi.export("count", len(kf.get_workflow_instances(status="Suspended", title_contains="web")))
        pulumi.export("first", kf.get_workflow_instances_output(limit=1)[0].instance_id)
        """,
        server.environment(),
    )

    preview = stack.preview()
    assert preview.code == 0, preview
    assert preview.text.count('"Suspended"') == 6
    assert "[unknown]" not in preview.text
    run = stack.up()
    assert run.code == 0, run
    assert "web.example.com" not in run.text.replace("certificate with CN=web.example.com.", "")

    shown = stack.outputs
    for name in ("now", "later", "resource"):
        assert "Suspended" == shown[f"{name}_status"]
        assert "Manager approval" == shown[f"{name}_step"]
        assert "Enrollment" == shown[f"{name}_workflow"]
        assert "ApprovalStatus" == shown[f"{name}_signal"]
        assert is_secret(shown[f"{name}_subject"])
        assert is_secret(shown[f"{name}_data"])
        whole = shown[f"{name}_whole"]
        assert "Suspended" == whole["status"]
        assert is_secret(whole["current_state_data"])
        assert is_secret(whole["initial_data"])
        assert name == "resource" or is_secret(shown[f"{name}_json"])
    assert (pending, "int", "int", 1, pending) == (
        shown["by_number"],
        shown["type"],
        shown["type_of_resource"],
        shown["count"],
        shown["first"],
    )
    assert stack.refresh().code == 0


def test_numbers_that_no_float_holds(new_stack: NewStack, server: Sandbox) -> None:
    """
    An integer beyond 2^53 is the same text in the function, the resource and `expect`; one up to it is a number.
    """
    id_ = server.start_enrollment(subject="CN=web.example.com", state_data={"Big": 2**53 + 1, "Small": 2**53})
    server.approve(id_)
    stack = new_stack(
        f"""
        now, read = kf.get_workflow_instance("{id_}"), kf.WorkflowInstance("read", "{id_}")
        kf.WorkflowApproval("gate", "{id_}", expect={{"current_state_data.Big": "9007199254740993"}})
        for name, data in (("now", now.current_state_data), ("read", read.current_state_data)):
            pulumi.export(name, pulumi.Output.unsecret(data.apply(lambda data: [data["Big"], data["Small"]])))
        """,
        server.environment(),
    )

    run = stack.up()

    assert run.code == 0, run
    assert {"now": ["9007199254740993", 2**53], "read": ["9007199254740993", 2**53]} == stack.outputs


def is_secret(value: object) -> bool:
    return isinstance(value, dict) and "ciphertext" in value


def test_awaited(new_stack: NewStack, server: Sandbox, pending: str) -> None:
    """
    The function's result can be awaited, as those of generated SDKs.
    """
    stack = new_stack(
        f"""
        async def main():
            return {{"status": (await kf.get_workflow_instance("{pending}")).status}}

        pulumi.run(main)
        """,
        server.environment(),
    )

    assert stack.up().code == 0
    assert {"status": "Suspended"} == stack.outputs


def test_read_follows_the_instance(new_stack: NewStack, server: Sandbox, pending: str) -> None:
    """
    Each update reads anew; what was recorded before is not believed.
    """
    stack = new_stack(f'pulumi.export("status", kf.WorkflowInstance("read", "{pending}").status)', server.environment())
    assert stack.up().code == 0
    server.approve(pending)

    assert stack.up().code == 0
    assert {"status": "Complete"} == stack.outputs


def test_named_parts_of_the_data(new_stack: NewStack, server: Sandbox, pending: str) -> None:
    """
    With state_data_keys only the named parts are there.
    """
    stack = new_stack(
        f"""
        instance = kf.WorkflowInstance("read", "{pending}", state_data_keys=["Subject"])
        keys = instance.current_state_data.apply(lambda data: ",".join(data))
        pulumi.export("keys", pulumi.Output.unsecret(keys))
        """,
        server.environment(),
    )

    assert stack.up().code == 0
    assert {"keys": "Subject"} == stack.outputs


def test_what_looks_like_a_slip_warns(new_stack: NewStack, server: Sandbox) -> None:
    """
    A path of state_data_keys that is not there, and nearly a workflow type, are warnings; what is there is none.
    """
    id_ = server.start_enrollment(
        subject="CN=web.example.com", state_data={"Deep": {"a": 0, "b.c": 1}, "Empty": {}, "Null": None}
    )
    there = ["Subject", "Deep", "Deep.a", "Deep.b.c", "Empty"]
    stack = new_stack(
        f"""
        kf.WorkflowInstance("read", "{id_}", state_data_keys={[*there, "Sans.dns", "Deep.nothing", "Null"]})
        kf.get_workflow_instances(workflow_type="Enrolment")
        """,
        server.environment(),
    )

    run = stack.preview()

    assert run.code == 0, run
    diagnostics = run.text.partition("Diagnostics:")[2]
    assert 4 == diagnostics.count("warning:"), run
    for path in ("Sans.dns", "Deep.nothing", "Null"):
        assert f"WorkflowInstance 'read': state_data_keys has '{path}', where neither " in diagnostics
    assert "workflow_type: 'Enrolment' is no type that Keyfactor documents; 'Enrollment' is one" in diagnostics


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ('kf.get_workflow_instances(status="Pending")', "status: 'Pending' is no status of Keyfactor's"),
        ('kf.get_workflow_instance(pulumi.Output.from_input("x"))', "use get_workflow_instance_output"),
        ('kf.get_workflow_instances_output(limit=pulumi.Output.from_input("x"))', "limit: 'x' is not a whole number"),
    ],
    ids=["no status", "output", "limit"],
)
def test_wrong_argument_is_one_line(new_stack: NewStack, server: Sandbox, expression: str, text: str) -> None:
    """
    An argument that can bring nothing ends the preview in one line.
    """
    stack = new_stack(expression, server.environment())

    run = stack.preview()

    assert run.code != 0
    assert text in run.text, run
    assert not run.tracebacks, run


@pytest.mark.parametrize(
    "expression",
    [
        'kf.get_workflow_instance("{0}")',
        'pulumi.export("x", kf.get_workflow_instance_output("{0}").status)',
        'kf.WorkflowInstance("read", "{0}")',
    ],
    ids=["function", "output", "resource"],
)
@pytest.mark.parametrize("trouble", ["not found", "no permission", "down", "hostname"])
def test_cannot_be_read(new_stack: NewStack, server: Sandbox, pending: str, expression: str, trouble: str) -> None:
    """
    What cannot be read fails the preview with one line that says why.
    """
    environment = server.environment()
    id_, text = pending, "KEYFACTOR_HOSTNAME"
    if trouble == "not found":
        id_, text = GONE, f"workflow instance {GONE} was not found"
    elif trouble == "no permission":
        server.forbid(pending)
        text = "0xA0140002"
    elif trouble == "down":
        server.close()
        text = "no connection"
    else:
        del environment["KEYFACTOR_HOSTNAME"]
    stack = new_stack(expression.format(id_), environment)

    run = stack.preview()

    assert run.code != 0
    assert text in run.text
    assert not run.tracebacks, run


TROUBLES: dict[str, Callable[[Sandbox, str], object]] = {
    "down": lambda server, _: server.close(),
    "no permission": lambda server, instance_id: server.forbid(instance_id),
    "purged": lambda server, instance_id: server.purge(instance_id),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_refresh_cannot_read(new_stack: NewStack, server: Sandbox, pending: str, trouble: str) -> None:
    """
    A refresh that cannot read fails with the reason in one line, and the values in the state stay as they were.
    """
    stack = new_stack(f'kf.WorkflowInstance("read", "{pending}")', server.environment())
    assert stack.up().code == 0
    before = plain_outputs(stack)
    TROUBLES[trouble](server, pending)

    runs = [stack.refresh("--expect-no-changes"), stack.up("--refresh"), stack.destroy("--refresh")]

    assert "Suspended" == before["status"]
    assert before == plain_outputs(stack)
    for run in runs:
        assert run.code != 0, run
        assert "leave out --refresh" in run.text, run
        assert "no changes were expected" not in run.text, run
        assert not run.tracebacks, run
    assert stack.destroy().code == 0


def plain_outputs(stack: Stack) -> dict[str, object]:
    resource = stack.resource("read")
    assert resource is not None
    return {name: value for name, value in resource["outputs"].items() if not is_secret(value)}


def test_other_providers_keep_their_tracebacks(new_stack: NewStack, server: Sandbox, pending: str) -> None:
    """
    A program's own provider, in the process that ours runs in, shows its traceback as ever: also of our errors.
    """
    stack = new_stack(
        f"""
        class Mine(pulumi.dynamic.ResourceProvider):
            def create(self, props):
                from kf_provider.keyfactor.client import Client
                from kf_provider.keyfactor.settings import load_settings

                Client(load_settings()).get_workflow_instance("{GONE}")

        class Resource(pulumi.dynamic.Resource):
            pass

        read = kf.WorkflowInstance("read", "{pending}")
        Resource(Mine(), "mine", {{}}, pulumi.ResourceOptions(depends_on=[read]))
        """,
        server.environment(),
    )

    run = stack.up()

    assert run.code != 0
    assert run.tracebacks, run
    assert f"NotFoundError: workflow instance {GONE} was not found" in run.text, run


def test_reference_id_by_mistake(new_stack: NewStack, server: Sandbox) -> None:
    """
    A number in place of an id gets its own sentence, and nothing is sent.
    """
    stack = new_stack('kf.get_workflow_instance("42")', server.environment())

    run = stack.preview()

    assert "42 is a reference id: look it up with get_workflow_instance(reference_id=42)" in run.text
    assert [] == server.journal()


def test_secret_id(new_stack: NewStack, server: Sandbox, pending: str) -> None:
    """
    A secret id makes a secret result.
    """
    stack = new_stack(
        f'pulumi.export("status", kf.get_workflow_instance_output(pulumi.Output.secret("{pending}")).status)',
        server.environment(),
    )

    assert stack.up().code == 0
    assert is_secret(stack.outputs["status"])


def test_depends_on(new_stack: NewStack, server: Sandbox, pending: str) -> None:
    """
    The output form waits for what `depends_on` names: in preview it is unknown, and in the update it comes after.
    """
    stack = new_stack(
        f"""
        approval = kf.WorkflowApproval("web", "{pending}")
        result = kf.get_workflow_instance_output(
            "{pending}", opts=pulumi.InvokeOutputOptions(depends_on=[approval]))
        pulumi.export("status", result.status)
        """,
        server.environment(),
    )
    preview = stack.preview()
    assert preview.code == 0, preview
    assert "status: [unknown]" in preview.text
    update = stack.start("up", "--yes", "--skip-preview")
    stack.wait_for("Manager approval")
    server.approve(pending)

    run = stack.end(update)

    assert run.code == 0, run
    assert {"status": "Complete"} == stack.outputs


@pytest.mark.parametrize("option", ["protect=True", "ignore_changes=['status']", "retain_on_delete=True"])
def test_meaningless_options(new_stack: NewStack, server: Sandbox, pending: str, option: str) -> None:
    """
    Options that the engine ignores on a read are refused.
    """
    stack = new_stack(
        f'kf.WorkflowInstance("read", "{pending}", opts=pulumi.ResourceOptions({option}))', server.environment()
    )

    run = stack.preview()

    assert run.code != 0
    assert f"are to be left out: {option.partition('=')[0]}" in run.text


def test_explicit_provider(new_stack: NewStack, server: Sandbox, second_server: Sandbox, pending: str) -> None:
    """
    A second server in one stack serves the function, the read and the gate, directly, by parent and by component.
    """
    other = second_server.start_enrollment(subject="CN=second.example.com")
    second_server.approve(other)
    stack = new_stack(
        f"""
        second = kf.Provider("second", hostname="{second_server.url}", username={second_server.username!r},
                             password=pulumi.Output.secret("{second_server.password}"))
        mine = pulumi.ResourceOptions(provider=second)

        class Inner(pulumi.ComponentResource):
            def __init__(self, name, opts):
                super().__init__("test:index:Inner", name, None, opts)
                self.gate = kf.WorkflowApproval(f"{{name}}-gate", "{other}", opts=pulumi.ResourceOptions(parent=self))
                self.read = kf.WorkflowInstance(f"{{name}}-read", "{other}", opts=pulumi.ResourceOptions(parent=self))
                self.now = kf.get_workflow_instance("{other}", opts=pulumi.InvokeOptions(parent=self))
                self.register_outputs({{}})

        inner = Inner("inner", pulumi.ResourceOptions(providers=[second]))
        gate = kf.WorkflowApproval("gate", "{other}", opts=mine)
        read = kf.WorkflowInstance("read", "{other}", opts=mine)
        now = kf.get_workflow_instance("{other}", opts=pulumi.InvokeOptions(provider=second))
        later = kf.get_workflow_instance_output("{other}", opts=pulumi.InvokeOptions(provider=second))
        first = kf.get_workflow_instance("{pending}")
        pulumi.export("all", [inner.gate.status, inner.read.status, inner.now.status,
                              gate.status, read.status, now.status, later.status, first.status])
        """,
        server.environment(),
    )

    assert stack.preview().code == 0
    run = stack.up()
    assert run.code == 0, run
    assert ["Complete"] * 7 + ["Suspended"] == stack.outputs["all"]
    assert {pending} == {str(record.instance_id) for record in server.journal()}
    again = stack.up("--expect-no-changes")
    assert again.code == 0, again
    assert second_server.password not in json.dumps(stack.resources)
    assert stack.destroy().code == 0


def test_rotated_credentials(new_stack: NewStack, server: Sandbox, pending: str) -> None:
    """
    Other credentials of an explicit provider update it, and replace nothing.
    """
    server.approve(pending)
    text = """
        second = kf.Provider("second", hostname="{0}", {1})
        kf.WorkflowApproval("gate", "{2}", opts=pulumi.ResourceOptions(provider=second))
    """
    basic = f"username={server.username!r}, password={server.password!r}"
    stack = new_stack(text.format(server.url, basic, pending))
    assert stack.up().code == 0
    record = stack.resource("gate", "ApprovalRecord")

    stack.write(text.format(server.url, f"access_token={server.access_token!r}", pending))
    run = stack.up()

    assert run.code == 0, run
    assert "replac" not in run.text
    now = stack.resource("gate", "ApprovalRecord")
    assert record is not None
    assert now is not None
    assert record["created"] == now["created"]


def test_foreign_provider(new_stack: NewStack, server: Sandbox, pending: str) -> None:
    """
    Another provider for the plugin is refused: its settings would not reach the program.
    """
    stack = new_stack(
        f"""
        raw = pulumi.ProviderResource("pulumi-python", "raw", {{}})
        kf.WorkflowApproval("gate", "{pending}", opts=pulumi.ResourceOptions(provider=raw))
        """,
        server.environment(),
    )

    run = stack.preview()

    assert run.code != 0
    assert "is a kf_provider.Provider, not ProviderResource" in run.text


def test_oauth(new_stack: NewStack, server: Sandbox, pending: str) -> None:
    """
    Client credentials work in the program and in the plugin.
    """
    server.approve(pending)
    stack = new_stack(
        f'kf.WorkflowApproval("gate", "{pending}"); kf.WorkflowInstance("read", "{pending}")',
        {
            "KEYFACTOR_HOSTNAME": server.url,
            "KEYFACTOR_AUTH_CLIENT_ID": server.client_id,
            "KEYFACTOR_AUTH_CLIENT_SECRET": server.client_secret,
            "KEYFACTOR_AUTH_TOKEN_URL": server.token_url,
        },
    )

    run = stack.up()

    assert run.code == 0, run


@pytest.mark.parametrize(
    ("program", "text"),
    [
        ("kf.get_workflow_instance(12)", "get_workflow_instance: 12 is a reference id: look it up with"),
        (
            'kf.get_workflow_instance("webcert")',
            "get_workflow_instance: 'webcert' is not the id of a workflow instance",
        ),
        ('kf.WorkflowInstance("read", 12)', "WorkflowInstance 'read': 12 is a reference id"),
        (
            'kf.WorkflowInstance("read", pulumi.Output.from_input("webcert"))',
            "WorkflowInstance 'read': 'webcert' is not the id of a workflow instance",
        ),
        (
            'kf.WorkflowInstance("read", pulumi.Output.secret("{0}"))',
            "WorkflowInstance 'read': its instance_id is a secret, and the id of a resource is plain in the state",
        ),
        (
            'kf.WorkflowInstance("read", "{0}", opts=pulumi.ResourceOptions(protect=True))',
            "WorkflowInstance 'read' is only read, so these options would do nothing",
        ),
    ],
)
def test_arguments_that_make_no_sense(
    new_stack: NewStack, server: Sandbox, pending: str, program: str, text: str
) -> None:
    """
    An argument that makes no sense is one line, which names where it stands, before anything is sent.
    """
    stack = new_stack(program.format(pending), server.environment())

    run = stack.preview()

    assert run.code != 0
    assert text in run.text, run
    assert not run.tracebacks, run
    assert [] == server.journal()


def test_id_that_is_not_known_yet(new_stack: NewStack, server: Sandbox, pending: str) -> None:
    """
    A preview reads nothing where the id is not known, so what is made of the outputs waits for the update.
    """
    server.approve(pending)
    stack = new_stack(
        f"""
        approval = kf.WorkflowApproval("web", "{pending}")
        read = kf.WorkflowInstance("read", approval.approved_instance_id)
        pulumi.export("title", read.title.apply(lambda title: title.upper()))
        pulumi.export("type", read.definition.apply(lambda definition: definition["workflow_type"]))
        """,
        server.environment(),
    )

    preview = stack.preview()
    update = stack.up()

    assert preview.code == 0, preview
    assert update.code == 0, update
    assert "WEB.EXAMPLE.COM" in stack.outputs["title"]
