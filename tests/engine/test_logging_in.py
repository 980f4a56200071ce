"""
Logging in through the real engine: commands, and credentials that change.
"""

from __future__ import annotations

import sys
from pathlib import Path

from kf_provider.sandbox import Sandbox

from .stack import RUN_SECONDS, NewStack


def test_command_of_a_provider(new_stack: NewStack, server: Sandbox, tmp_path: Path) -> None:
    """
    A provider's command logs in, in the program and in the plugin; it is run again when its token ends in mid-wait.
    """
    token = tmp_path / "token"
    token.write_text(server.access_token)
    id_ = server.start_enrollment()
    stack = new_stack(
        f"""
        command = [{sys.executable!r}, "-c", "print(open({str(token)!r}).read())", "with, commas"]
        second = kf.Provider("second", hostname={server.url!r}, credential_command=command)
        approval = kf.WorkflowApproval("web", "{id_}", opts=pulumi.ResourceOptions(provider=second))
        read = kf.WorkflowInstance("read", "{id_}", opts=pulumi.ResourceOptions(provider=second, depends_on=[approval]))
        pulumi.export("status", read.status)
        """
    )
    process = stack.start("up", "--yes", "--skip-preview")
    server.wait_for_journal(
        lambda records: sum(record.endpoint == "get" for record in records) > 1, timeout=RUN_SECONDS
    )
    token.write_text(server.renew_credentials().access_token)
    server.approve(id_)

    run = stack.end(process)

    assert run.code == 0, run
    assert "Complete" == stack.outputs["status"]
    assert server.access_token not in stack.state_file.read_text()


def test_command_of_the_stacks_configuration(new_stack: NewStack, server: Sandbox, tmp_path: Path) -> None:
    """
    A command in the stack's configuration is told and not run; the key that a provider's command has is none there.
    """
    made = tmp_path / "made"
    id_ = server.start_enrollment()
    server.approve(id_)
    stack = new_stack(f'kf.WorkflowApproval("web", "{id_}")', server.environment())
    stack.config(credentialCommand=f"touch {made}")

    told = stack.up()
    stack.config(**{"keyfactor:program:credentialCommand": f"touch {made}"})
    refused = stack.preview()

    assert told.code == 0, told
    assert "keyfactor:credentialCommand is not taken from the stack's configuration" in told.text
    assert refused.code != 0, refused
    assert not made.exists()


def test_rotated_credentials(new_stack: NewStack, server: Sandbox) -> None:
    """
    After a rotation `up` and `refresh --run-program` use what is configured now, and `refresh` what was recorded at the
    last `up`, and says so when that is refused; `destroy` needs none.
    """
    id_ = server.start_enrollment()
    server.approve(id_)
    stack = new_stack(f'kf.WorkflowInstance("read", "{id_}"); kf.WorkflowApproval("web", "{id_}")')
    stack.config(hostname=server.url, username=server.username)

    def configure() -> None:
        assert stack.run("config", "set", "--secret", "keyfactor:password", server.password).code == 0

    configure()
    assert stack.up().code == 0
    server.renew_credentials()
    configure()

    recorded = stack.refresh()
    configured = stack.refresh("--run-program")
    assert recorded.code != 0, recorded
    assert "(401" in recorded.text, recorded
    assert "recorded at the last `pulumi up`" in recorded.text, recorded
    assert configured.code == 0, configured

    updated = stack.up()
    assert updated.code == 0, updated
    assert stack.refresh().code == 0
    server.renew_credentials()
    destroyed = stack.destroy()
    assert destroyed.code == 0, destroyed
