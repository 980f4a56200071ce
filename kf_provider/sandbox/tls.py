"""
TLS for the sandbox: a certificate authority of its own, made at every start.
"""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import trustme


class ServerCertificate(StrEnum):
    """
    The certificate that the server shows: one that is good, or how it is not.
    """

    VALID = "valid"
    EXPIRED = "expired"
    WRONG_HOST = "wrong-host"
    SELF_SIGNED = "self-signed"


class CertificateFiles:
    """
    The authority's certificate in a file, for clients, and the server's with its key. The files go with `remove`.
    """

    def __init__(self, kind: ServerCertificate, *, host: str) -> None:
        import trustme  # brings cryptography along, which only this needs

        authority = trustme.CA(organization_name="Keyfactor sandbox")
        self._folder = tempfile.TemporaryDirectory(prefix="kf-sandbox-")
        folder = Path(self._folder.name)
        self.ca_cert = folder / "ca.pem"
        self.server_cert = folder / "server.pem"
        self.server_key = folder / "server.key"
        authority.cert_pem.write_to_path(self.ca_cert)
        if kind is ServerCertificate.SELF_SIGNED:
            # What an authority shows of itself: signed by its own key, known to nobody.
            self_signed = trustme.CA(organization_name="Stranger")
            certificate = trustme.LeafCert(self_signed.private_key_pem.bytes(), self_signed.cert_pem.bytes(), [])
        else:
            certificate = _certificate(authority, kind, host)
        self.server_key.touch(mode=0o600)
        certificate.private_key_pem.write_to_path(self.server_key)
        for position, pem in enumerate(certificate.cert_chain_pems):
            pem.write_to_path(self.server_cert, append=position > 0)

    def remove(self) -> None:
        """
        Delete the files. Can be called again.
        """
        self._folder.cleanup()


def _certificate(authority: trustme.CA, kind: ServerCertificate, host: str) -> trustme.LeafCert:
    names = (host, "localhost")
    match kind:
        case ServerCertificate.EXPIRED:
            yesterday = datetime.now(UTC) - timedelta(days=1)
            return authority.issue_cert(*names, not_before=yesterday - timedelta(days=30), not_after=yesterday)
        case ServerCertificate.WRONG_HOST:
            return authority.issue_cert("somewhere-else.keyexample.com")
    return authority.issue_cert(*names)
