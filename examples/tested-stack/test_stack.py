"""Test a stack without an engine and without Keyfactor: under mocks nothing is asked and nothing waits."""

import pulumi

import kf_provider as kf

ID = "0c8f2a54-9d1b-4b7e-8a60-3f5e2d7c1b94"


class Mocks(pulumi.runtime.Mocks):
    def new_resource(self, args):
        return f"{args.name}-id", {**args.inputs, "status": "Complete"}

    def call(self, args):
        if args.token == "keyfactor:index:getWorkflowInstances":
            return {"instances": [{"instance_id": ID, "status": "Running"}]}
        return {"instance_id": ID, "status": "Running", "current_state_data": {"Subject": "CN=web.example.com"}}


pulumi.runtime.set_mocks(Mocks())


@pulumi.runtime.test
def test_gate():
    approval = kf.WorkflowApproval("web", ID, expect={"title": "t"})

    def check(values):
        assert values == [ID, "Complete", {"title": "t"}]

    return pulumi.Output.all(approval.instance_id, approval.status, approval.expect).apply(check)


@pulumi.runtime.test
def test_read():
    instance = kf.WorkflowInstance("read", ID)

    def check(status):
        assert status == "Complete"

    return instance.status.apply(check)


@pulumi.runtime.test
def test_functions():
    assert kf.get_workflow_instance(ID).status == "Running"
    assert kf.get_workflow_instances(status="Running")[0].instance_id == ID

    def check(subject):
        assert subject == "CN=web.example.com"

    return kf.get_workflow_instance_output(ID).current_state_data["Subject"].apply(check)
