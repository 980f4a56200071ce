"""
The examples of certificates that renew, on the real engine: from the request to what is deployed, and again.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from cryptography import x509

from kf_provider.keyfactor.client import Client
from kf_provider.keyfactor.settings import load_settings
from kf_provider.sandbox import Sandbox

from .stack import ROOT, NewStack, Run, Stack, wait_until

EXAMPLES = ROOT / "examples"
DAY = 86_400


def stack_of(new_stack: NewStack, server: Sandbox, example: str) -> Stack:
    stack = new_stack("", server.environment())
    shutil.copy(EXAMPLES / example / "__main__.py", stack.folder)
    return stack


def instances(server: Sandbox, **filters: Any) -> list[str]:
    with Client(load_settings(hostname=server.url, username=server.username, password=server.password)) as client:
        return [found.instance_id for found in client.list_workflow_instances(**filters)]


def pending(server: Sandbox) -> list[str]:
    return instances(server, status="Suspended")


def approved_up(stack: Stack, server: Sandbox) -> Run:
    """An update that waits at the gate until its new request is approved."""
    process = stack.start("up", "--yes", "--skip-preview")
    wait_until(lambda: bool(pending(server)), what=stack.output)
    stack.wait_for("Manager approval")
    server.approve(pending(server)[0])
    return stack.end(process)


def deployed(stack: Stack) -> x509.Certificate:
    found = stack.resource("listener")
    assert found is not None
    return x509.load_pem_x509_certificate(found["inputs"]["input"].encode())


def output_of(stack: Stack, name: str) -> Mapping[str, Any]:
    found = stack.resource(name)
    assert found is not None
    return dict(found["outputs"])


def test_enroll_approve_deploy(new_stack: NewStack, server: Sandbox) -> None:
    """
    A certificate is requested, approved, issued for the stack's own key and deployed; a second update changes nothing;
    a renewal goes through it again.
    """
    stack = stack_of(new_stack, server, "enroll-approve-deploy")
    assert stack.preview().code == 0
    assert [] == instances(server)  # a preview requests nothing

    run = approved_up(stack, server)
    assert 0 == run.code, run
    first = deployed(stack)
    request = x509.load_pem_x509_csr(output_of(stack, "key")["csr"].encode())
    assert request.public_key() == first.public_key()
    assert "private_key" in output_of(stack, "key")
    assert "PRIVATE KEY" not in stack.state_file.read_text()

    run = stack.up("--expect-no-changes")
    assert (0, 1) == (run.code, len(instances(server))), run

    stack.config(**{"gate:renewal": "2026-12"})
    run = approved_up(stack, server)
    assert 0 == run.code, run
    assert "replaces the approval of" in run.text
    second = deployed(stack)
    assert second.public_key() != first.public_key()
    assert 2 == len(instances(server))

    assert stack.destroy().code == 0


def test_somebody_elses_certificate(new_stack: NewStack, server: Sandbox) -> None:
    """
    A certificate that is for another key than the stack's is not deployed.
    """
    stack = stack_of(new_stack, server, "enroll-approve-deploy")
    program = (stack.folder / "__main__.py").read_text()
    other = server.start_enrollment(subject="CN=web.example.com")
    server.approve(other)
    (stack.folder / "__main__.py").write_text(
        program.replace("request_id=enrollment.request_id, opts", f'instance_id="{other}", opts')
    )

    run = approved_up(stack, server)

    assert 0 != run.code
    assert "the certificate that was issued is not for this stack's key; do not deploy it" in run.text
    assert stack.resource("listener") is None


def test_monthly_renewal(new_stack: NewStack, server: Sandbox) -> None:
    """
    The stack takes the newest approved certificate by itself, and ends with one line when a renewal was forgotten.
    """
    old = server.start_enrollment(subject="CN=web.example.com")
    server.approve(old)
    server.approve(server.start_enrollment(subject="CN=mail.example.com"))
    server.approve(server.start_enrollment(subject="CN=web.example.com", initiated_by="KEYEXAMPLE\\stranger"))
    stack = stack_of(new_stack, server, "monthly-renewal")
    run = stack.up()
    assert (0, old) == (run.code, stack.outputs["approved_instance"]), run
    first = deployed(stack)

    server.advance(41 * DAY + 60)
    new = server.start_enrollment(subject="CN=web.example.com")
    run = stack.up()
    assert 0 != run.code
    assert "41 d ago, and may be no older than 40 d (max_age); start a new request" in run.text

    server.approve(new)
    run = stack.up()
    assert (0, new) == (run.code, stack.outputs["approved_instance"]), run
    assert "replaces the approval of" in run.text
    assert first.serial_number != deployed(stack).serial_number

    run = stack.up("--expect-no-changes")
    assert (0, False) == (run.code, "warning" in run.text), run


@pytest.mark.parametrize("name", ["monthly-renewal/github-schedule.yml"])
def test_pipeline(name: str) -> None:
    """
    The pipeline is YAML that runs on a schedule, and one update at a time.
    """
    pipeline = yaml.safe_load((EXAMPLES / name).read_text())

    assert "cron" in pipeline[True]["schedule"][0]  # YAML 1.1 reads `on` as true
    assert pipeline["concurrency"]


def test_explicit_provider(new_stack: NewStack, server: Sandbox) -> None:
    """
    The newest instance and its certificate come from the server of the provider that is given.
    """
    id_ = server.start_enrollment(subject="CN=web.example.com")
    server.approve(id_)
    stack = new_stack(
        f"""
        opts = pulumi.InvokeOptions(provider=kf.Provider(
            "second", hostname={server.url!r}, username={server.username!r}, password={server.password!r}
        ))
        match = {{"current_state_data.Subject": "CN=web.example.com"}}
        newest = kf.find_workflow_instance_output(match=match, opts=opts)
        certificate = kf.get_certificate_output(instance_id=newest.instance_id, opts=opts)
        pulumi.export("newest", newest.instance_id)
        pulumi.export("name", certificate.common_name)
        """
    )

    run = stack.up()

    assert run.code == 0, run
    assert {"newest": id_, "name": "web.example.com"} == stack.outputs
