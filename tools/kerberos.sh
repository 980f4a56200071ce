#!/bin/sh
# What `make test-kerberos` needs: a KDC and the compiler from Debian's packages, and a venv with gssapi and krb5.
#
# Both are compiled, which takes about four minutes on two cores, once; so the other tests do without them.
set -eu

venv=build/kerberos
if ! command -v krb5kdc >/dev/null && ! [ -x /usr/sbin/krb5kdc ] || ! command -v krb5-config >/dev/null; then
    echo "kerberos: installing a KDC, libkrb5-dev and gcc" >&2
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -qq --no-install-recommends krb5-kdc krb5-admin-server krb5-user libkrb5-dev gcc libc6-dev >/dev/null
fi
if ! [ -x "$venv/bin/pytest" ] || ! "$venv/bin/python" -c 'import gssapi, krb5' 2>/dev/null; then
    echo "kerberos: compiling gssapi and krb5 into $venv (about four minutes)" >&2
    "${PYTHON:-python3}" -m venv "$venv"
    PIP_CONSTRAINT=constraints.txt "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        -e '.[negotiate]' 'pyspnego[kerberos]' pytest pytest-timeout
fi
