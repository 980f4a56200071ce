"""Create what needs a certificate only when its enrollment is approved."""

import pulumi

import kf_provider as kf

instance_id = pulumi.Config().require("instanceId")

approval = kf.WorkflowApproval("web-cert", instance_id, timeout="8h")

# Whatever depends on the gate waits for the approval. A stash stands for your listener, ingress or secret.
listener = pulumi.Stash(
    "listener", input="serves the approved certificate", opts=pulumi.ResourceOptions(depends_on=[approval])
)

# The evidence stays in the state.
pulumi.export("approval_status", approval.status)
pulumi.export("approved_instance", approval.approved_instance_id)
pulumi.export("state_digest", approval.state_digest)
pulumi.export("certificate_ready", listener.output)
