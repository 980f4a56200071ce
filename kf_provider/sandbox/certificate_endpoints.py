"""
The endpoints under /Enrollment and /Certificates: what starts a workflow instance, and the certificate it issues.

Source: keyfactor-api.md, sections 8 and 11; the specification of Command 10. The request bodies are read only as far as
an instance or a certificate shows them.
"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from .accounts import Permission
from .call import Call, require_permission
from .definitions import enrollment_data
from .instance_endpoints import DEFAULT_RETURN_LIMIT
from .issuance import UnreadableRequestError, request_id, requested_names, signing_request
from .query import QueryError, parse_query
from .responses import CODE_NOT_FOUND, ApiError, KeyfactorJsonResponse, bad_request
from .state import DEFAULT_TEMPLATE, SandboxState
from .wire import CERTIFICATE_FIELDS
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
        try:
            subject, names = requested_names(signing_request(csr))
        except UnreadableRequestError:
            subject, names = "CN=sandbox.keyexample.com", []  # kind to clients that only want an id
        return self._enroll(call, body, subject=_string(body, "subject") or subject, names=names, csr=csr)

    def enroll_pfx(self, call: Call) -> Response:
        """
        POST Enrollment/PFX: the same, with the subject in the body and the key made by Keyfactor.
        """
        body = call.json_object()
        subject = _string(body, "subject")
        if not subject:
            raise bad_request("Subject is required.")
        return self._enroll(call, body, subject=subject, names=[], csr=None)

    def get(self, call: Call) -> Response:
        """
        GET Certificates/{id}.
        """
        require_permission(self._state, call, Permission.READ_CERTIFICATES)
        text = call.raw_id
        certificate = self._state.authority.certificates.get(int(text) if text.isdecimal() and len(text) < 10 else 0)
        if certificate is None:
            raise ApiError(404, CODE_NOT_FOUND, f"No certificate {text[:20]} was found.")
        return KeyfactorJsonResponse(
            self._state.wire.certificate(certificate, with_metadata=_flag(call, "IncludeMetadata"))
        )

    def list_all(self, call: Call) -> Response:
        """
        GET Certificates: without the revoked and the expired ones, unless asked for.
        """
        require_permission(self._state, call, Permission.READ_CERTIFICATES)
        wire, now = self._state.wire, self._state.clock.now()
        try:
            wanted = parse_query(call.parameter("QueryString") or "", CERTIFICATE_FIELDS)
        except QueryError as exc:
            raise bad_request(f"The query string is not valid: {exc}.") from exc
        found = [
            certificate
            for certificate in self._state.authority.certificates.values()
            if (certificate.revoked_at is None or _flag(call, "IncludeRevoked"))
            and (certificate.not_after > now or _flag(call, "IncludeExpired"))
            and wanted(wire.certificate_fields(certificate))
        ]
        limit = call.whole_number("ReturnLimit", DEFAULT_RETURN_LIMIT, least=1)
        skipped = (call.whole_number("PageReturned", 1, least=1) - 1) * limit
        with_metadata = _flag(call, "IncludeMetadata")
        rows = [wire.certificate(one, with_metadata=with_metadata) for one in found[skipped : skipped + limit]]
        return KeyfactorJsonResponse(rows, headers={"x-total-count": str(len(found))})

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

    def _enroll(self, call: Call, body: dict[str, Any], *, subject: str, names: list[str], csr: str | None) -> Response:
        template = _string(body, "template") or DEFAULT_TEMPLATE
        sans = body.get("sans") or {}
        if not isinstance(sans, dict) or not all(_is_list_of_strings(names) for names in sans.values()):
            raise bad_request("SANs must be an object of lists of strings.")
        dns_names = {kind.lower(): values for kind, values in sans.items()}.get("dns", names or None)
        metadata = body.get("metadata") or {}
        if not isinstance(metadata, dict):
            raise bad_request("Metadata must be an object.")
        data = enrollment_data(subject, template=template, dns_names=dns_names, csr=csr)
        instance = self._state.start_global_enrollment(data, initiated_by=call.caller.account.username)
        noted = {str(name): str(value) for name, value in metadata.items()}
        self._state.authority.note_metadata(instance, noted)
        information = self._state.wire.enrollment(_certificate_information(instance, is_of_csr=csr is not None))
        return KeyfactorJsonResponse({"CertificateInformation": information, "Metadata": noted})


def _certificate_information(instance: Instance, *, is_of_csr: bool) -> dict[str, Any]:
    # Source: the specification of Command 10, Pkcs10CertificateResponse and Pkcs12CertificateResponse: two spellings.
    own = {"KeyfactorID": 0, "Certificates": []} if is_of_csr else {"KeyfactorId": 0, "Pkcs12Blob": None}
    return own | {
        "SerialNumber": None,
        "IssuerDN": None,
        "Thumbprint": None,
        "KeyfactorRequestId": request_id(instance),
        "RequestDisposition": "PENDING",
        "DispositionMessage": "The request waits for approval.",
        "EnrollmentContext": None,
        "WorkflowInstanceId": str(instance.id),
        "WorkflowReferenceId": instance.reference_id,
    }


def _flag(call: Call, name: str) -> bool:
    return (call.parameter(name) or "").lower() == "true"


def _string(body: dict[str, Any], name: str) -> str:
    content = body.get(name) or ""
    if not isinstance(content, str):
        raise bad_request(f"{name} must be a string.")
    return content


def _is_list_of_strings(content: object) -> bool:
    return isinstance(content, list) and all(isinstance(text, str) for text in content)
