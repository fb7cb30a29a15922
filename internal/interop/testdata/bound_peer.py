"""A GSS-API acceptor on libgssapi (python3-gssapi) behind TLS, which checks
channel bindings (tls-server-end-point, RFC 5929).

Arguments: port on loopback, certificate, key, and the hash of the certificate
that goes into the bindings.

GET /required   refuses whoever is not bound
GET /supported  gives libgssapi the bindings and leaves the rest to it
GET /off        gives it none
                -> name of the caller, and "bound" or "not bound"
"""
import base64
import hashlib
import http.server
import ssl
import sys

import gssapi
from gssapi.raw import ChannelBindings

port, certificate, key, algorithm = sys.argv[1:]
with open(certificate) as f:
    der = ssl.PEM_cert_to_DER_cert(f.read())
bindings = ChannelBindings(application_data=b"tls-server-end-point:" + hashlib.new(algorithm, der).digest())
service = gssapi.Name("HTTP@localhost", gssapi.NameType.hostbased_service)
gssapi.SecurityContext.__DEFER_STEP_ERRORS__ = False  # an error has its token with it


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body at once

    def do_GET(self):
        scheme, _, text = self.headers.get("Authorization", "").partition(" ")
        if scheme != "Negotiate":
            return self.answer(401, b"", b"who is it?")
        context = gssapi.SecurityContext(
            creds=gssapi.Credentials(name=service, usage="accept"), usage="accept",
            channel_bindings=None if self.path == "/off" else bindings)
        try:
            token = context.step(base64.b64decode(text)) or b""
        except gssapi.exceptions.GSSError as e:
            return self.answer(401, getattr(e, "token", None) or b"", repr(e).encode())
        bound = bool(context.actual_flags & gssapi.RequirementFlag.channel_bound)
        if self.path == "/required" and not bound:
            return self.answer(401, b"", b"not bound, and that is required")
        self.answer(200, token, b"%s, %s" % (str(context.initiator_name).encode(), b"bound" if bound else b"not bound"))

    def answer(self, status, token, body):
        self.send_response(status)
        if token or status == 401:
            self.send_header("WWW-Authenticate", ("Negotiate " + base64.b64encode(token).decode()).strip())
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
