"""
The resources that are certificates, by the type tokens of Pulumi's providers.
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


def matcher(types: Iterable[str]) -> Callable[[str], bool]:
    """
    Whether a type token is one of these; `*` in one of them stands for any text.
    """
    patterns = tuple(types)

    @cache
    def is_one(token: str) -> bool:
        return any(fnmatchcase(token, pattern) for pattern in patterns)

    return is_one
