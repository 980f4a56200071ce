"""Deploy the newest approved certificate, whoever renews it; an approval older than 40 days ends the run."""

import pulumi

import kf_provider as kf

config = pulumi.Config()
name = config.get("commonName") or "web.example.com"
wanted = {
    "current_state_data.Subject": f"CN={name}",
    "definition.display_name": config.get("definition") or "Global Enrollment",
}

# No id that changes: the newest that is Complete. Without the initiator, anybody's later enrollment would be found.
newest = kf.find_workflow_instance_output(match=wanted, initiated_by=config.get("initiator") or "KEYEXAMPLE\\pulumi")

approval = kf.WorkflowApproval("web-cert", newest.instance_id, expect=wanted, max_age="40d")
certificate = kf.get_certificate_output(instance_id=approval.approved_instance_id)

# A stash stands for your listener, ingress or secret.
listener = pulumi.Stash("listener", input=certificate.pem, opts=pulumi.ResourceOptions(depends_on=[approval]))

pulumi.export("approved_instance", approval.approved_instance_id)
pulumi.export("approved_until", approval.expires_at)
pulumi.export("not_after", certificate.not_after)
