"""
The resources that are certificates, by the type tokens of Pulumi's providers, and where they keep their names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from functools import cache
from typing import Final

# What makes a new certificate. A request for one is none, and an upload makes none: those are in REQUESTS and UPLOADS.
CERTIFICATES: Final[tuple[str, ...]] = (
    "tls:index/locallySignedCert:LocallySignedCert",
    "tls:index/selfSignedCert:SelfSignedCert",
    "aws:acm/certificate:Certificate",
    "aws:acmpca/certificate:Certificate",
    "aws:acmpca/certificateAuthority:CertificateAuthority",
    "aws:lightsail/certificate:Certificate",
    "aws:lightsail/lbCertificate:LbCertificate",
    "aws-native:certificatemanager:Certificate",
    "aws-native:acmpca:Certificate",
    "aws-native:lightsail:Certificate",
    "aws-native:lightsail:LoadBalancerTlsCertificate",
    "azure:keyvault/certificate:Certificate",
    "azure:keyvault/certifiate:Certifiate",
    "azure:appservice/certificateOrder:CertificateOrder",
    "azure:appservice/managedCertificate:ManagedCertificate",
    "azure:containerapp/environmentManagedCertificate:EnvironmentManagedCertificate",
    "azure-native:certificateregistration*:AppServiceCertificateOrder",  # older tokens name a version of the API
    "azure-native:web*:Certificate",
    "azure-native:app*:ManagedCertificate",
    "gcp:certificateauthority/authority:Authority",
    "gcp:certificateauthority/certificate:Certificate",
    "gcp:certificatemanager/certificate:Certificate",
    "gcp:compute/managedSslCertificate:ManagedSslCertificate",
    "gcp:compute/mangedSslCertificate:MangedSslCertificate",
    "gcp:sql/sslCert:SslCert",
    "google-native:privateca/*:Certificate",
    "google-native:certificatemanager/*:Certificate",
    "kubernetes:cert-manager.io/*:Certificate",
    "venafi:index/certificate:Certificate",
    "acme:index/certificate:Certificate",
    "vault:pkiSecret/secretBackendCert:SecretBackendCert",
    "vault:pkiSecret/secretBackendSign:SecretBackendSign",
    "vault:pkiSecret/secretBackendRootCert:SecretBackendRootCert",
    "vault:pkiSecret/secretBackendRootSignIntermediate:SecretBackendRootSignIntermediate",
    "vault:pkiexternalca/secretBackendOrder:SecretBackendOrder",
    "cloudflare:index/originCaCertificate:OriginCaCertificate",
    "cloudflare:index/certificatePack:CertificatePack",
    "cloudflare:index/clientCertificate:ClientCertificate",
    "digitalocean:index/certificate:Certificate",
    "hcloud:index/managedCertificate:ManagedCertificate",
    "alicloud:sslcertificatesservice/pcaCertificate:PcaCertificate",
    "keyfactor:index/certificate:Certificate",
)

# What asks for a certificate: for `also=`, where the request itself is to be approved.
REQUESTS: Final[tuple[str, ...]] = (
    "tls:index/certRequest:CertRequest",
    "kubernetes:cert-manager.io/*:CertificateRequest",
    "kubernetes:certificates.k8s.io/*:CertificateSigningRequest",
    "kubernetes:certificates.k8s.io/*:PodCertificateRequest",
    "vault:pkiSecret/secretBackendIntermediateCertRequest:SecretBackendIntermediateCertRequest",
)

# What brings a finished certificate to where it is used: for `also=`.
UPLOADS: Final[tuple[str, ...]] = (
    "aws:iam/serverCertificate:ServerCertificate",
    "gcp:compute/sSLCertificate:SSLCertificate",
    "gcp:compute/regionSslCertificate:RegionSslCertificate",
)

# Where a certificate keeps what it is asked for, in whatever provider: paths in lower case and without underscores.
# A path too many makes a rule stricter, and never lets anything pass.
SUBJECTS: Final[tuple[str, ...]] = (
    "subject",
    "commonname",
    "domainname",
    "certificatedomainname",
    "distinguishedname",
    "subjectname",
    "properties.subjectname",
    "canonicalname",
    "certificatepolicy.x509certificateproperties.subject",
    "config.subjectconfig.subject",
    "certificateauthorityconfiguration.subject",
    "spec.commonname",
    "spec.subject",
    "spec.literalsubject",
)
OTHER_NAMES: Final[tuple[str, ...]] = (
    "dnsnames",
    "ipaddresses",
    "uris",
    "subjectalternativenames",
    "certificatealternativenames",
    "certificatepolicy.x509certificateproperties.subjectalternativenames",
    "config.subjectconfig.subjectaltname",
    "managed.domains",
    "spec.dnsnames",
    "spec.ipaddresses",
    "spec.uris",
    "spec.emailaddresses",
    "spec.emailsans",
    "spec.othernames",
    "sandns",
    "sanemail",
    "sanip",
    "sanuri",
    "altnames",
    "dnssans",
    "ipsans",
    "urisans",
    "othersans",
    "hostnames",
    "hosts",
    "domains",
    "domainnames",
    "identifiers",
)
SIGNING_REQUESTS: Final[tuple[str, ...]] = (
    "certrequestpem",
    "certificatesigningrequest",
    "csr",
    "csrpem",
    "pemcsr",
    "certificaterequestpem",
    "spec.request",
)
_NAMING: Final = frozenset(path.partition(".")[0] for path in (*SUBJECTS, *OTHER_NAMES, *SIGNING_REQUESTS))


@cache
def normal(key: str) -> str:
    """
    A property's name as the paths above have it.
    """
    return key.replace("_", "").lower()


def is_naming(key: object) -> bool:
    """
    Whether a property may hold names of a certificate.
    """
    return isinstance(key, str) and normal(key) in _NAMING


def matcher(types: Iterable[str]) -> Callable[[str], bool]:
    """
    Whether a type token is one of these; `*` in one of them stands for any text.
    """
    return _matcher(tuple(types))


@cache
def _matcher(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    @cache
    def is_one(token: str) -> bool:
        return any(fnmatchcase(token, pattern) for pattern in patterns)

    return is_one
