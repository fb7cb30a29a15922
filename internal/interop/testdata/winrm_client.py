"""Runs a command with pywinrm, messages encrypted. The argument is the endpoint.

requests_kerberos takes messages apart with two functions that pykerberos has from
1.2.1 on, and Debian's has not. So they, and the rest of that module, are here, on
libgssapi (python3-gssapi).
"""
import base64
import sys
import types

import gssapi
import gssapi.raw
from gssapi.raw import IOV
from gssapi.raw import IOVBufferType as Type

kerberos = types.ModuleType("kerberos")
kerberos.GSSError = gssapi.exceptions.GSSError
kerberos.GSS_C_DELEG_FLAG, kerberos.GSS_C_MUTUAL_FLAG, kerberos.GSS_C_SEQUENCE_FLAG = 1, 2, 8


class Context:
    pass


def init(service, gssflags, principal=None):
    c = Context()
    name = gssapi.Name(service, gssapi.NameType.hostbased_service)
    # Newer pykerberos asks for confidentiality as well.
    c.gss = gssapi.SecurityContext(name=name, usage="initiate", mech=gssapi.MechType.kerberos, flags=gssflags | 0x10 | 0x20)
    return 1, c


def step(c, token):
    c.out = c.gss.step(base64.b64decode(token) or None)
    return int(c.gss.complete)


def encrypt(c, message):
    iov = IOV((Type.header, True, None), message, (Type.padding, True, None), std_layout=False)
    gssapi.raw.wrap_iov(c.gss, iov, confidential=True)
    header, data, padding = [b.value or b"" for b in iov]
    return data + padding, header


def decrypt(c, message, header):
    iov = IOV((Type.header, False, header), message, (Type.data, False, b""), std_layout=False)
    if not gssapi.raw.unwrap_iov(c.gss, iov).encrypted:
        raise ValueError("not sealed")
    return iov[1].value or b""


kerberos.authGSSClientInit = init
kerberos.authGSSClientStep = step
kerberos.authGSSClientResponse = lambda c: base64.b64encode(c.out or b"").decode()
kerberos.authGSSWinRMEncryptMessage = encrypt
kerberos.authGSSWinRMDecryptMessage = decrypt
sys.modules["kerberos"] = kerberos

from winrm.protocol import Protocol  # noqa: E402

p = Protocol(endpoint=sys.argv[1], transport="kerberos", message_encryption="always")
shell = p.open_shell()
command = p.run_command(shell, "whoami", ["/all"])
out, err, code = p.get_command_output(shell, command)
p.cleanup_command(shell, command)
p.close_shell(shell)
print(out.decode(), err.decode(), code)
