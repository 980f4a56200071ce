"""Read a workflow instance, as a function and as a resource."""

import pulumi

import kf_provider as kf

instance_id = pulumi.Config().require("instanceId")

# A function: read now, kept nowhere.
now = kf.get_workflow_instance(instance_id)
pulumi.export("title", now.title)

# A resource: read at every preview and update, with only the named parts of its data in the state.
instance = kf.WorkflowInstance("enrollment", instance_id, state_data_keys=["Subject", "SANs"])
pulumi.export("status", instance.status)
pulumi.export("subject", instance.current_state_data["Subject"])  # a secret, as all state data
