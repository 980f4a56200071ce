"""Request a certificate, wait for its approval, and deploy what was issued; a new value of `renewal` does it again."""

import pulumi
from cryptography import x509
from pulumi.dynamic import CreateResult, DiffResult, Resource, ResourceProvider

import kf_provider as kf

config = pulumi.Config()
name = config.get("commonName") or "web.example.com"
renewal = config.get("renewal") or "first"  # the month, or whatever your schedule counts


class OnceProvider(ResourceProvider):
    """What is made once, and anew when an input changes; the new one comes before the old one goes."""

    inputs = ()

    def diff(self, _id, olds, news):
        changed = [key for key in self.inputs if olds.get(key) != news.get(key)]
        return DiffResult(changes=bool(changed), replaces=changed)


class KeyProvider(OnceProvider):
    """A private key, and a request for a certificate for it. The key is in the state, encrypted."""

    inputs = ("name", "renewal")

    def create(self, props):
        # Here, because a provider is pickled, and modules of cryptography cannot be.
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID

        key = ec.generate_private_key(ec.SECP256R1())
        request = (
            x509.CertificateSigningRequestBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, props["name"])]))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(props["name"])]), critical=False)
            .sign(key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        made = {"private_key": private.decode(), "csr": request.public_bytes(pem).decode()}
        return CreateResult(f"{props['name']}-{props['renewal']}", {**props, **made})


class EnrollmentProvider(OnceProvider):
    """The one request here that is no GET: kf_provider itself only reads."""

    inputs = ("csr", "template")

    def create(self, props):
        import os

        import requests

        settings = kf.load_settings()
        answer = requests.post(
            f"{settings.base_url}/Enrollment/CSR",
            json={"CSR": props["csr"], "Template": props["template"]},
            auth=(settings.qualified_username, settings.password.get_secret_value()),
            headers={"x-keyfactor-requested-with": "APIClient", "x-certificateformat": "PEM"},
            verify=os.environ.get("KEYFACTOR_CA_CERT") or True,
            timeout=60,
        )
        answer.raise_for_status()
        issued = answer.json()["CertificateInformation"]
        outs = {"instance_id": issued["WorkflowInstanceId"], "request_id": issued["KeyfactorRequestId"]}
        return CreateResult(str(issued["KeyfactorRequestId"]), {**props, **outs})


class Key(Resource):
    private_key: pulumi.Output[str]
    csr: pulumi.Output[str]

    def __init__(self, name, props, opts=None):
        super().__init__(KeyProvider(), name, {**props, "private_key": None, "csr": None}, opts)


class Enrollment(Resource):
    instance_id: pulumi.Output[str]
    request_id: pulumi.Output[int]

    def __init__(self, name, props, opts=None):
        super().__init__(EnrollmentProvider(), name, {**props, "instance_id": None, "request_id": None}, opts)


def certificate_for(both):
    """The certificate, if it is for the key that was requested: else somebody else's was issued."""
    pem, csr = both
    certificate, request = x509.load_pem_x509_certificate(pem.encode()), x509.load_pem_x509_csr(csr.encode())
    if certificate.public_key() != request.public_key():
        raise pulumi.RunError("the certificate that was issued is not for this stack's key; do not deploy it")
    return pem


key = Key("key", {"name": name, "renewal": renewal}, pulumi.ResourceOptions(additional_secret_outputs=["private_key"]))
enrollment = Enrollment("enrollment", {"csr": key.csr, "template": config.get("template") or "WebServer"})

approval = kf.WorkflowApproval(
    "web-cert",
    enrollment.instance_id,
    timeout="8h",
    expect={
        "current_state_data.Subject": f"CN={name}",
        "definition.display_name": config.get("definition") or "Global Enrollment",
    },
)

# Asked for when the gate has opened, and live: a revoked certificate shows in `state`.
certificate = kf.get_certificate_output(
    request_id=enrollment.request_id, opts=pulumi.InvokeOutputOptions(depends_on=[approval])
)
pem = pulumi.Output.all(certificate.pem, key.csr).apply(certificate_for)

# A stash stands for your listener, ingress or secret.
listener = pulumi.Stash("listener", input=pem, opts=pulumi.ResourceOptions(depends_on=[approval]))

pulumi.export("approved_instance", approval.approved_instance_id)
pulumi.export("not_after", certificate.not_after)
pulumi.export("thumbprint", certificate.thumbprint)
