"""
The sandbox's certificate authority: what it issues at an enrollment's end, and keeps until the reset.

`cryptography` comes with trustme, and is imported at the first certificate. Keys and serial numbers depend on the seed
alone.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from .definitions import CERTIFICATE_AUTHORITY
from .workflow import Instance, StateData

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

LIFETIME: Final = timedelta(days=47)  # of public certificates from 2029 on (CA/Browser Forum, ballot SC-081)
FIRST_REQUEST_ID: Final = 70_000  # so that nobody takes a request's number for a certificate's
_DNS: Final = 2  # invented for Keyfactor: the number that RFC 5280 gives to dNSName


@dataclass
class IssuedCertificate:
    """
    A certificate, and what Keyfactor knows of it. `sans` has pairs of type and value.
    """

    id: int
    request_id: int
    der: bytes
    thumbprint: str
    serial_number: str
    common_name: str
    subject: str
    issuer: str
    not_before: datetime
    not_after: datetime
    template: str
    requester: str
    sans: Sequence[tuple[int, str]]
    metadata: Mapping[str, str]
    revoked_at: datetime | None = None


class UnreadableRequestError(ValueError):
    """
    What was sent is no certificate signing request.
    """


class CertificateAuthority:
    """
    Issues for every enrollment that ends. Not thread-safe: the caller holds a lock.
    """

    def __init__(self, seed: int, *, now: Callable[[], datetime]) -> None:
        self._now = now
        self._random = random.Random(f"certificates {seed}")  # noqa: S311 - must be repeatable, and protects nothing
        self._key: ec.EllipticCurvePrivateKey | None = None
        self._metadata: dict[int, Mapping[str, str]] = {}
        self.certificates: dict[int, IssuedCertificate] = {}

    def note_metadata(self, instance: Instance, metadata: Mapping[str, str]) -> None:
        """
        Keep what the enrollment wants to be noted beside the certificate.
        """
        self._metadata[request_id(instance)] = metadata

    def issue(self, instance: Instance) -> StateData:
        """
        Issue the certificate of an enrollment; what that adds to its state data.
        """
        certificate = self._issued(instance)
        self.certificates[certificate.id] = certificate
        return {
            "CACertificateRequest": {"RequestId": certificate.request_id, "Status": 1},
            "CACertificate": {
                "CertificateId": instance.reference_id,  # the authority's own number, not Keyfactor's
                "RequestId": certificate.request_id,
                "Certificate": base64.b64encode(certificate.der).decode(),
                "CertificateTemplate": certificate.template,
                "ArchivedKey": False,
            },
        }

    def revoke(self, certificate_id: int) -> None:
        """
        Revoke a certificate, if there is such a one.
        """
        if certificate_id in self.certificates:
            self.certificates[certificate_id].revoked_at = self._now()

    def _issued(self, instance: Instance) -> IssuedCertificate:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.serialization import Encoding
        from cryptography.x509.oid import NameOID

        data = instance.initial_data
        authority = self._authority_key()
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, CERTIFICATE_AUTHORITY.rpartition("\\")[2])])
        subject = _subject(str(data.get("Subject", "")))
        names = list(dict.fromkeys(_dns_names(data)))
        begins = self._now().replace(microsecond=0)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(self._public_key(data))
            .serial_number(self._random.getrandbits(120) + 1)
            .not_valid_before(begins)
            .not_valid_after(begins + LIFETIME)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False)
        made = builder.sign(authority, hashes.SHA256(), ecdsa_deterministic=True)
        common_names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return IssuedCertificate(
            id=len(self.certificates) + 1,
            request_id=request_id(instance),
            der=made.public_bytes(Encoding.DER),
            thumbprint=made.fingerprint(hashes.SHA1()).hex().upper(),  # noqa: S303 - how Keyfactor names certificates
            serial_number=f"{made.serial_number:X}",
            common_name=str(common_names[0].value) if common_names else "",
            subject=str(data.get("Subject", "")),
            issuer=issuer.rfc4514_string(),
            not_before=made.not_valid_before_utc,
            not_after=made.not_valid_after_utc,
            template=str(data.get("Template", "")),
            requester=instance.initiated_by,
            sans=[(_DNS, name) for name in names],
            metadata=self._metadata.get(request_id(instance), {}),
        )

    def _authority_key(self) -> ec.EllipticCurvePrivateKey:
        if self._key is None:
            self._key = self._new_key()
        return self._key

    def _new_key(self) -> ec.EllipticCurvePrivateKey:
        from cryptography.hazmat.primitives.asymmetric import ec

        return ec.derive_private_key(self._random.getrandbits(255) + 1, ec.SECP256R1())

    def _public_key(self, data: StateData) -> Any:
        try:
            return signing_request(str(data.get("CSR", ""))).public_key()
        except UnreadableRequestError:
            return self._new_key().public_key()  # Keyfactor makes it for a PFX; here it is thrown away


def request_id(instance: Instance) -> int:
    """
    The number of an enrollment's request, which its answer has as KeyfactorRequestId.
    """
    return FIRST_REQUEST_ID + instance.reference_id


def signing_request(text: str) -> x509.CertificateSigningRequest:
    """
    A certificate signing request in PEM, or in base64 alone. Raises UnreadableRequestError.
    """
    from cryptography import x509

    try:
        if "-----BEGIN" in text:
            return x509.load_pem_x509_csr(text.strip().encode())
        return x509.load_der_x509_csr(base64.b64decode("".join(text.split()), validate=True))
    except ValueError:
        raise UnreadableRequestError("the CSR cannot be read") from None


def requested_names(request: x509.CertificateSigningRequest) -> tuple[str, list[str]]:
    """
    The subject of a request, and the DNS names in it.
    """
    from cryptography import x509

    try:
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return request.subject.rfc4514_string(), []
    return request.subject.rfc4514_string(), names.get_values_for_type(x509.DNSName)


def _subject(text: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        return x509.Name.from_rfc4514_string(text)
    except ValueError:  # Keyfactor's subjects are no RFC 4514: the whole of it, as far as it goes, is the name
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64] or "sandbox")])


def _dns_names(data: StateData) -> list[str]:
    sans = data.get("SANs")
    names = sans.get("dns", []) if isinstance(sans, dict) else []
    return [name for name in names if isinstance(name, str) and name.isascii() and name.strip()]
