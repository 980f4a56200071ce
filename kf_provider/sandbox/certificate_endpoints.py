"""
The endpoints that start workflow instances, under /Enrollment and /Certificates: just enough to get an id.

Source: keyfactor-api.md, section 8. The request bodies are read only as far as an instance shows them.
"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from .call import Call
from .definitions import enrollment_data
from .responses import KeyfactorJsonResponse, bad_request
from .state import DEFAULT_TEMPLATE, SandboxState
from .workflow import Instance


class CertificateEndpoints:
    """
    What Keyfactor answers to an enrollment or a revocation. To refuse, a method raises an `ApiError`.
    """

    def __init__(self, state: SandboxState) -> None:
        self._state = state

    def enroll_csr(self, call: Call) -> Response:
        """
        POST Enrollment/CSR: start an enrollment; the answer carries its WorkflowInstanceId.
        """
        body = call.json_object()
        csr = body.get("csr")
        if not isinstance(csr, str) or not csr.strip():
            raise bad_request("CSR is required.")
        return self._enroll(call, body, subject=_string(body, "subject") or "CN=sandbox.keyexample.com", csr=csr)

    def enroll_pfx(self, call: Call) -> Response:
        """
        POST Enrollment/PFX: the same, with the subject in the body and the key made by Keyfactor.
        """
        body = call.json_object()
        subject = _string(body, "subject")
        if not subject:
            raise bad_request("Subject is required.")
        return self._enroll(call, body, subject=subject, csr=None)

    def revoke(self, call: Call) -> Response:
        """
        POST Certificates/Revoke: every revocation must be approved, so all certificates come back as SuspendedCerts.
        """
        body = call.json_object()
        certificate_ids = body.get("certificateids")
        if not isinstance(certificate_ids, list) or not all(type(i) is int for i in certificate_ids):
            raise bad_request("CertificateIds must be a list of whole numbers.")
        reason = body.get("reason", 0)
        if type(reason) is not int or not -1 <= reason <= 7:
            raise bad_request("Reason must be a whole number from -1 to 7.")
        suspended = []
        for certificate_id in certificate_ids:
            instance = self._state.start_revocation(
                certificate_id,
                reason=reason,
                comment=_string(body, "comment"),
                initiated_by=call.caller.account.username,
            )
            message = f"Certificate {certificate_id} waits for approval."
            suspended.append({"CertId": certificate_id, "WorkflowId": str(instance.id), "Message": message})
        return KeyfactorJsonResponse({"RevokedIds": [], "SuspendedCerts": suspended})

    def _enroll(self, call: Call, body: dict[str, Any], *, subject: str, csr: str | None) -> Response:
        template = _string(body, "template") or DEFAULT_TEMPLATE
        sans = body.get("sans") or {}
        if not isinstance(sans, dict) or not all(_is_list_of_strings(names) for names in sans.values()):
            raise bad_request("SANs must be an object of lists of strings.")
        dns_names = {name.lower(): names for name, names in sans.items()}.get("dns")
        data = enrollment_data(subject, template=template, dns_names=dns_names, csr=csr)
        instance = self._state.start_global_enrollment(data, initiated_by=call.caller.account.username)
        return KeyfactorJsonResponse({"CertificateInformation": _certificate_information(instance), "Metadata": {}})


def _certificate_information(instance: Instance) -> dict[str, Any]:
    return {
        "SerialNumber": None,
        "IssuerDN": None,
        "Thumbprint": None,
        "KeyfactorID": 0,
        "KeyfactorRequestId": 0,
        "Certificates": [],
        "RequestDisposition": "PENDING",
        "DispositionMessage": "The request waits for approval.",
        "EnrollmentContext": None,
        "WorkflowInstanceId": str(instance.id),
        "WorkflowReferenceId": instance.reference_id,
    }


def _string(body: dict[str, Any], name: str) -> str:
    content = body.get(name) or ""
    if not isinstance(content, str):
        raise bad_request(f"{name} must be a string.")
    return content


def _is_list_of_strings(content: object) -> bool:
    return isinstance(content, list) and all(isinstance(text, str) for text in content)
