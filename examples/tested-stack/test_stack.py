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
        if args.token == "keyfactor:index:getCertificate":
            return {"certificate_id": 7, "common_name": "web.example.com", "pem": "-----BEGIN CERTIFICATE-----"}
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


@pulumi.runtime.test
def test_renewals():
    newest = kf.find_workflow_instance_output(match={"current_state_data.Subject": "CN=web.example.com"})
    certificate = kf.get_certificate_output(instance_id=newest.instance_id)

    def check(values):
        assert values == [ID, 7, "web.example.com"]

    return pulumi.Output.all(newest.instance_id, certificate.certificate_id, certificate.common_name).apply(check)
