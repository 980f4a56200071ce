"""
A connection through a SOCKS proxy, under the same deadline. Needs PySocks, as requests does for it.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any, Final

import socks

from .connections import Address, TlsConnection, addresses_of, connected
from .deadline import DeadlineSocket

_DEFAULT_PORT: Final = 1080


class _SocksSocket(DeadlineSocket, socks.socksocket):  # type: ignore[misc]  # PySocks has no types
    pass


class SocksConnection(TlsConnection):
    """
    What urllib3's own one does, with sockets that keep to the deadline also while the proxy is talked to.
    """

    def __init__(self, _socks_options: Mapping[str, Any], *args: Any, **kwargs: Any) -> None:
        self._proxy = _socks_options
        super().__init__(*args, **kwargs)

    def _new_conn(self) -> socket.socket:
        return connected(self._proxy["proxy_host"], self._proxy["proxy_port"] or _DEFAULT_PORT, self._to_address)

    def _to_address(self, address: Address) -> socket.socket:
        proxy = self._proxy
        made = _SocksSocket(address[0])
        try:
            made.set_proxy(proxy["socks_version"], *address[4][:2], proxy["rdns"], proxy["username"], proxy["password"])
            made.connect((self._target(), self.port))
        except BaseException as failed:
            made.close()
            if isinstance(failed, socks.ProxyError) and isinstance(failed.socket_err, OSError):
                raise failed.socket_err from None  # PySocks wraps what the system says, a time-out too
            raise
        return made

    def _target(self) -> str:
        # socks4 and socks5 look the name up here, which PySocks would do without a time-out; socks4a and socks5h there.
        if self._proxy["rdns"]:
            return self.host
        family = socket.AF_INET if self._proxy["socks_version"] == socks.SOCKS4 else socket.AF_UNSPEC
        return str(addresses_of(self.host, self.port, family)[0][4][0])
