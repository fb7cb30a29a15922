"""A WinRM endpoint on libgssapi (python3-gssapi), with pywinrm's own encryption.

Contexts belong to connections. A message is answered with itself in upper case,
"fault" with status 500, "forget" once more with 401, "again" with the answer
before, and "clear" in clear. The argument is the port, on loopback.
"""
import base64
import http.server
import sys

import gssapi
import gssapi.raw
from gssapi.raw import IOV
from gssapi.raw import IOVBufferType as Type
from winrm.encryption import Encryption


class Security:
    """What pywinrm takes for requests_kerberos."""

    def __init__(self, context):
        self.context = context

    def wrap_winrm(self, host, message):
        iov = IOV((Type.header, True, None), message, (Type.padding, True, None), std_layout=False)
        if not gssapi.raw.wrap_iov(self.context, iov, confidential=True):
            raise ValueError("not sealed")
        header, data, padding = [b.value or b"" for b in iov]
        return data + padding, header

    def unwrap_winrm(self, host, message, header):
        iov = IOV((Type.header, False, header), message, (Type.data, False, b""), std_layout=False)
        if not gssapi.raw.unwrap_iov(self.context, iov).encrypted:
            raise ValueError("not sealed")
        return iov[1].value or b""


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
    forgotten = False
    last = b""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            self.serve(body)
        except Exception as e:
            self.reply(400, {"Content-Type": "text/plain"}, repr(e).encode())

    def reply(self, status, headers, body=b""):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def serve(self, body):
        authorization = self.headers["Authorization"]
        if authorization:
            scheme, token = authorization.split(" ")
            if scheme != "Negotiate" or body:
                raise ValueError("not the request that sets up a session")
            service = gssapi.Name("HTTP@localhost", gssapi.NameType.hostbased_service)
            credentials = gssapi.Credentials(name=service, usage="accept")
            self.context = gssapi.SecurityContext(creds=credentials, usage="accept")
            out = self.context.step(base64.b64decode(token))
            if not self.context.complete:
                raise ValueError("context takes more than one leg")
            self.reply(200, {"WWW-Authenticate": "Negotiate " + base64.b64encode(out).decode()})
            return
        if self.context is None:
            self.reply(401, {"WWW-Authenticate": "Negotiate"})
            return
        e = Encryption(Session(Security(self.context)), "kerberos")
        if e.protocol_string.decode() not in self.headers["Content-Type"]:
            raise ValueError("in clear")
        plain = e.parse_encrypted_response(Response(self.headers, body))
        if plain == b"forget" and not Handler.forgotten:
            Handler.forgotten, self.context = True, None
            self.reply(401, {})
            return
        if plain == b"clear":
            self.reply(200, {"Content-Type": "application/soap+xml;charset=UTF-8"}, plain.upper())
            return
        out = e.prepare_encrypted_request(e.session, "http://localhost/wsman", plain.upper())
        answer = self.last if plain == b"again" else out.body
        self.last = out.body
        self.reply(500 if plain == b"fault" else 200, {"Content-Type": out.headers["Content-Type"]}, answer)

    def log_message(self, *args):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
