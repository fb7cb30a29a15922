"""A GSS-API peer on libgssapi (python3-gssapi), spoken to over HTTP/1.1.

Contexts belong to connections, as with WinRM. The argument is the port, on
loopback.

POST /accept   body: token of the initiator      -> ours
POST /initiate body: empty, then the acceptor's  -> ours
POST /wrap     body: token of gss_wrap           -> upper case, wrapped alike
POST /iov      body: LE32 header length, header, data; header X-Padding
               -> the same of upper case
POST /mic      body: token over MESSAGE          -> ours over MESSAGE
POST /wsman    body as WinRM has it              -> upper case in such a body,
               framed by pywinrm
"""
import http.server
import struct
import sys

import gssapi
import gssapi.raw
from gssapi.raw import IOV
from gssapi.raw import IOVBufferType as Type
from winrm.encryption import Encryption

MESSAGE = b"a message of its own"
service = gssapi.Name("HTTP@localhost", gssapi.NameType.hostbased_service)


def wrap_iov(context, plain, padding):
    """As pykerberos and pyspnego do for WinRM: header, data, padding."""
    buffers = [(Type.header, True, None), plain]
    if padding:
        buffers.append((Type.padding, True, None))
    iov = IOV(*buffers, std_layout=False)
    if not gssapi.raw.wrap_iov(context, iov, confidential=True):
        raise ValueError("not sealed")
    values = [b.value or b"" for b in iov]
    return values[0], b"".join(values[1:])


def unwrap_iov(context, header, data, padding):
    """padding None: as pyspnego does for WinRM, whose data have none."""
    buffers = [(Type.header, False, header), data]
    if padding is None:
        buffers.append((Type.data, False, b""))
    elif padding:
        buffers = [buffers[0], data[:-padding], (Type.padding, False, data[-padding:])]
    iov = IOV(*buffers, std_layout=False)
    if not gssapi.raw.unwrap_iov(context, iov).encrypted:
        raise ValueError("not sealed")
    return iov[1].value or b""


class Security:
    """What pywinrm takes for requests_kerberos."""

    def __init__(self, context, padding):
        self.context, self.padding = context, padding

    def wrap_winrm(self, host, message):
        header, data = wrap_iov(self.context, message, self.padding)
        return data, header

    def unwrap_winrm(self, host, message, header):
        return unwrap_iov(self.context, header, message, None)


class Session:
    def __init__(self, auth):
        self.auth = auth

    def prepare_request(self, request):
        return request.prepare()


class Response:
    def __init__(self, headers, content):
        self.headers, self.content = headers, content
        self.request = self
        self.url = "http://localhost/wsman"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body at once
    context = None

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            status, kind, out = 200, "application/octet-stream", getattr(self, self.path[1:])(body)
            if isinstance(out, tuple):
                kind, out = out
        except Exception as e:
            status, kind, out = 500, "text/plain", repr(e).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(out)))
        self.end_headers()
        self.wfile.write(out)

    def log_message(self, *args):
        pass

    def accept(self, token):
        credentials = gssapi.Credentials(name=service.canonicalize(gssapi.MechType.kerberos), usage="accept")
        self.context = gssapi.SecurityContext(creds=credentials, usage="accept")
        return self.context.step(token) or b""

    def initiate(self, token):
        if not token:
            flags = gssapi.RequirementFlag
            wanted = flags.confidentiality | flags.integrity | flags.out_of_sequence_detection | flags.replay_detection
            if self.headers["X-Mutual"]:
                wanted |= flags.mutual_authentication
            self.context = gssapi.SecurityContext(
                name=service, usage="initiate", mech=gssapi.MechType.kerberos, flags=wanted)
        return self.context.step(token or None) or b""

    def wrap(self, token):
        r = self.context.unwrap(token)
        return self.context.wrap(r.message.upper(), r.encrypted).message

    def iov(self, body):
        n, = struct.unpack("<I", body[:4])
        padding = {"none": None, "buffer": 1}[self.headers["X-Padding"]]
        if body[4] == 5:
            padding = padding and 0  # AES has no padding
        plain = unwrap_iov(self.context, body[4:4 + n], body[4 + n:], padding)
        header, data = wrap_iov(self.context, plain.upper(), True)
        return struct.pack("<I", len(header)) + header + data

    def mic(self, token):
        self.context.verify_signature(MESSAGE, token)
        return self.context.get_signature(MESSAGE)

    def wsman(self, body):
        e = Encryption(Session(Security(self.context, True)), "kerberos")
        plain = e.parse_encrypted_response(Response(self.headers, body))
        out = e.prepare_encrypted_request(e.session, "http://localhost/wsman", plain.upper())
        return out.headers["Content-Type"], out.body


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
