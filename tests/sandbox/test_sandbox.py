"""
The class Sandbox: its options, and its methods.
"""

from typing import Any

import pytest

from kf_provider.sandbox import InstanceNotFoundError, NotAwaitedError, Sandbox, WorkflowError, WrongStatusError

from .clients import connect


def status(server: Sandbox, instance_id: str) -> str:
    return server.instance(instance_id).status


def test_environment(server: Sandbox) -> None:
    """
    The names are those of Keyfactor's own tools.
    """
    assert server.environment() == {
        "KEYFACTOR_HOSTNAME": server.url,
        "KEYFACTOR_API_PATH": "KeyfactorAPI",
        "KEYFACTOR_USERNAME": "KEYEXAMPLE\\pulumi",
        "KEYFACTOR_PASSWORD": server.password,
    }


def test_environment_of_another_account(server: Sandbox) -> None:
    """
    Every account has an environment.
    """
    account = server.add_account("KEYEXAMPLE\\auditor")

    environment = server.environment(account)

    assert (environment["KEYFACTOR_USERNAME"], environment["KEYFACTOR_PASSWORD"]) == (
        "KEYEXAMPLE\\auditor",
        account.password,
    )


@pytest.mark.parametrize("wrong", [{"statuses": "letters"}, {"tls": "none"}, {"unkind": 2.0}])
def test_wrong_options(wrong: dict[str, Any]) -> None:
    """
    An option that means nothing is refused.
    """
    with pytest.raises(ValueError, match=r"."):
        Sandbox(**wrong)


def test_secrets_stay_out_of_texts(server: Sandbox) -> None:
    """
    Neither an account nor an instance shows its secrets in a failed test.
    """
    instance = server.instance(server.start_enrollment(state_data={"Vault": "canary"}))

    text = f"{server.account!r} {instance!r}"

    assert [
        secret for secret in (server.password, server.access_token, server.client_secret, "canary") if secret in text
    ] == []


def test_two_sandboxes() -> None:
    """
    Two servers in one process know nothing of each other.
    """
    with Sandbox() as one, Sandbox() as other, connect(other) as client:
        assert client.get(f"/Workflow/Instances/{one.start_enrollment()}").status_code == 404
        assert one.journal() == []
        assert one.password != other.password


def test_held_instance_runs(server: Sandbox) -> None:
    """
    A held instance is Running until it may proceed.
    """
    instance_id = server.start_enrollment(held=True)

    assert status(server, instance_id) == "Running"
    server.proceed(instance_id)
    assert status(server, instance_id) == "Suspended"
    server.complete(instance_id)
    assert status(server, instance_id) == "Complete"


def test_methods_end_instances(server: Sandbox) -> None:
    """
    Each way for an instance to end, by the sandbox's own methods.
    """
    ids = [server.start_enrollment() for _ in range(4)]
    server.deny(ids[0], "not like this")
    server.stop(ids[1])
    server.fail(ids[2], "the CA is down")
    successor = server.restart(ids[3])

    assert [status(server, instance_id) for instance_id in (*ids, successor)] == [
        "Rejected",
        "Rejected",
        "Failed",
        "CanceledForRestart",
        "Suspended",
    ]
    assert server.instance(ids[2]).status_message == "the CA is down"


def test_methods_refuse(server: Sandbox) -> None:
    """
    The methods raise where Keyfactor would refuse, and change nothing.
    """
    instance_id = server.start_enrollment(approvals=0)

    with pytest.raises(WrongStatusError):
        server.approve(instance_id)
    with pytest.raises(WrongStatusError):
        server.restart(instance_id)
    with pytest.raises(InstanceNotFoundError):
        server.approve("3b1f0a3e-5f0a-4c0e-9d52-0d9f1c6f5a11")
    assert issubclass(NotAwaitedError, WorkflowError)
    assert status(server, instance_id) == "Complete"


def test_instance_is_a_copy(server: Sandbox) -> None:
    """
    What a test does to its copy does not reach the server.
    """
    instance_id = server.start_enrollment()
    server.instance(instance_id).current_state_data["Subject"] = "changed"

    assert server.instance(instance_id).current_state_data["Subject"] == "CN=web.keyexample.com"


def test_last_modified_moves_with_the_clock(server: Sandbox) -> None:
    """
    A three-day approval takes no time.
    """
    instance_id = server.start_enrollment()
    before = server.instance(instance_id).last_modified

    server.advance(3 * 86400)
    server.approve(instance_id)

    assert (server.instance(instance_id).last_modified - before).days == 3


def test_same_seed_same_ids() -> None:
    """
    Ids depend on the seed alone, also after a reset.
    """
    ids = []
    for _ in range(2):
        server = Sandbox(seed=3)
        ids.append(server.start_enrollment())
        server.reset()
        ids.append(server.start_enrollment())
        server.close()

    assert len(set(ids)) == 1
