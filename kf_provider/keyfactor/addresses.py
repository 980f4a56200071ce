"""
Addresses of servers: which make sense, and how they are written. Arithmetic alone.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import quote, urlsplit


def is_loopback(host: str) -> bool:
    """
    Whether this host can only be the machine itself.
    """
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def checked_hostname(value: str) -> str:
    """
    The name of a host, or a URL whose path counts for nothing. Raises ValueError, as all that is called `checked`.
    """
    value = value.strip()
    _origin(value)
    return value


def checked_api_path(value: str) -> str:
    """
    The path of an API, without slashes around it.
    """
    value = value.strip().strip("/")
    if any(part in ("", ".", "..") for part in value.split("/")) or re.search(r"[?#\\\s]", value):
        raise ValueError('is not a path such as "KeyfactorAPI"')
    return value


def checked_url(value: str) -> str:
    """
    A URL that credentials may be sent to.
    """
    value = value.strip()
    if "://" not in value:
        raise ValueError("is not a URL")
    _origin(value)
    return value


def base_url(hostname: str, api_path: str) -> str:
    """
    `https://host[:port]/KeyfactorAPI`, without a slash at the end: what requests begin with.
    """
    return _url(*_origin(hostname), api_path)


def pinned_address(hostname: str, api_path: str) -> str:
    """
    The same for every way to write it: the host in lower case and without a final dot, no default port, no final slash.
    """
    scheme, host, port = _origin(hostname)
    return _url(scheme, host.rstrip("."), port, api_path)


def pinned_url(address: str, default_path: str) -> str:
    """
    The pinned form of an address that has its path with it, or the default one.
    """
    value = checked_hostname(address)
    path = urlsplit(value if "://" in value else f"https://{value}").path
    return pinned_address(value, checked_api_path(path.strip("/") or default_path))


def is_same_server(one: object, other: object) -> bool:
    """
    Whether two addresses in their pinned form are one: IIS does not tell paths apart by case.
    """
    return isinstance(one, str) and isinstance(other, str) and one.casefold() == other.casefold()


def with_port(hostname: str, port: str) -> str:
    """
    The host name with this port, unless it has one.
    """
    address = hostname.strip().rstrip("/")
    try:
        parts = urlsplit(address if "://" in address else f"https://{address}")
        return hostname if parts.port is not None else parts._replace(netloc=f"{parts.netloc}:{port}").geturl()
    except ValueError:
        return hostname  # an odd host name gets its own complaint


def _origin(address: str) -> tuple[str, str, int | None]:
    # Scheme, host, and a port that is not the scheme's own; a path is dropped, as Keyfactor's tools do.
    try:
        parts = urlsplit(address if "://" in address else f"https://{address}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("is not a host name, a host and a port, or a URL") from None
    if parts.scheme not in ("https", "http"):
        raise ValueError("has a scheme other than https")
    if parts.username is not None or parts.password is not None:
        raise ValueError("has credentials in it: give them as settings of their own")
    is_name = re.fullmatch(r"[\w.-]+", host) is not None and host.strip(".") != ""
    if parts.query or parts.fragment or not (":" in host or is_name):
        raise ValueError("is not a host name, a host and a port, or a URL")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError("is plain http, which would show the credentials to the network: use https")
    return parts.scheme, host, None if port == (443 if parts.scheme == "https" else 80) else port


def _url(scheme: str, host: str, port: int | None, path: str) -> str:
    return f"{scheme}://{f'[{host}]' if ':' in host else host}{'' if port is None else f':{port}'}/{quote(path)}"
