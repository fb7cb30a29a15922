"""An HTTP peer on libgssapi (python3-gssapi), as client and as server.

It is spoken to over HTTP/1.1. Arguments are the ports for HTTP and HTTPS, on
loopback, and a certificate and its key in PEM form; KRB5_KTNAME is the keytab of
HTTP/localhost.

POST /login?as=NAME&with=password|keytab|ccache[&path=FILE]
     body: password                  -> whose credentials NAME/WITH has now
POST /get?as=NAME/WITH&url=URL[&mech=krb5][&mutual=1][&conf=1][&deleg=1]
     [&bind=none|wrong|tls][&cert=FILE]  -> what a client of that name got
GET  /protected[?bind=none]          -> a greeting, after Negotiate
"""
import base64
import hashlib
import http.client
import http.server
import ssl
import sys
import threading
import urllib.parse

import gssapi
import gssapi.raw

SPNEGO = gssapi.OID.from_int_seq("1.3.6.1.5.5.2")
Flag = gssapi.RequirementFlag
gssapi.SecurityContext.__DEFER_STEP_ERRORS__ = False
service = gssapi.Name("HTTP@localhost", gssapi.NameType.hostbased_service)
logins = {}


def end_point(pem):
    """The channel bindings of a certificate signed with SHA-256 (RFC 5929)."""
    with open(pem) as f:
        der = ssl.PEM_cert_to_DER_cert(f.read())
    data = b"tls-server-end-point:" + hashlib.sha256(der).digest()
    return gssapi.raw.ChannelBindings(application_data=data)


def login(q, body):
    name = gssapi.Name(q["as"], gssapi.NameType.kerberos_principal)
    if q["with"] == "password":
        creds = gssapi.raw.acquire_cred_with_password(name, body, mechs=[gssapi.MechType.kerberos, SPNEGO], usage="initiate").creds  # once for each
        creds = gssapi.Credentials(base=creds)
    elif q["with"] == "keytab":
        store = {"client_keytab": q["path"], "ccache": "MEMORY:" + q["as"]}
        creds = gssapi.Credentials(name=name, usage="initiate", store=store)
    else:
        creds = gssapi.Credentials(usage="initiate", store={"ccache": "FILE:" + q["path"]})
    logins[q["as"] + "/" + q["with"]] = creds
    return "%s, %s" % (creds.name, "alive" if creds.lifetime > 0 else "expired")


def initiate(creds, q):
    flags = Flag.integrity | Flag.replay_detection | Flag.out_of_sequence_detection
    for name, flag in ("mutual", Flag.mutual_authentication), ("conf", Flag.confidentiality), ("deleg", Flag.delegate_to_peer):
        if name in q:
            flags |= flag
    bindings = {
        "none": lambda: None,
        "wrong": lambda: gssapi.raw.ChannelBindings(application_data=b"tls-server-end-point:" + bytes(32)),
        "tls": lambda: end_point(q["cert"]),
    }[q.get("bind", "none")]()
    mech = gssapi.MechType.kerberos if q.get("mech") == "krb5" else SPNEGO
    return gssapi.SecurityContext(name=service, creds=creds, usage="initiate", mech=mech, flags=flags, channel_bindings=bindings)


def get(q):
    url = urllib.parse.urlsplit(q["url"])
    if url.scheme == "https":
        c = http.client.HTTPSConnection(url.netloc, timeout=20, context=ssl.create_default_context(cafile=q["cert"]))
    else:
        c = http.client.HTTPConnection(url.netloc, timeout=20)
    context = initiate(logins[q["as"]], q)
    token = base64.b64encode(context.step()).decode()
    c.request("GET", url.path or "/", headers={"Authorization": "Negotiate " + token})
    r = c.getresponse()
    out = "status %d\n" % r.status
    body = r.read().decode()
    for line in r.headers.get_all("WWW-Authenticate", ()):
        if line.startswith("Negotiate "):
            try:
                context.step(base64.b64decode(line[10:]))
            except gssapi.exceptions.GSSError as e:
                return out + "refused %s\nestablished false\n" % e + body
    c.close()

    def has(flag):
        return "true" if flag in context.actual_flags else "false"
    out += "established " + str(context.complete).lower()
    out += ", mutual %s, conf %s, deleg %s\n" % (has(Flag.mutual_authentication), has(Flag.confidentiality), has(Flag.delegate_to_peer))
    return out + body


def delegated(creds):
    """Acts as the client with what it delegated: a ticket is fetched and accepted."""
    i = gssapi.SecurityContext(name=service, creds=creds, usage="initiate", mech=gssapi.MechType.kerberos)
    a = gssapi.SecurityContext(creds=gssapi.Credentials(usage="accept"), usage="accept")
    a.step(i.step())
    return "acting as %s" % a.initiator_name


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body at once

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        url = urllib.parse.urlsplit(self.path)
        q = dict(urllib.parse.parse_qsl(url.query))
        try:
            status, out = 200, login(q, body) if url.path == "/login" else get(q)
        except Exception as e:
            status, out = 500, repr(e)
        self.answer(status, out)

    def answer(self, status, text, token=None):
        out = text.encode()
        self.send_response(status)
        if token is not None:
            self.send_header("WWW-Authenticate", ("Negotiate " + token).strip())
        self.send_header("Content-Length", str(len(out)))
        self.end_headers()
        self.wfile.write(out)

    def do_GET(self):
        header = self.headers.get("Authorization", "")
        if not header.startswith("Negotiate "):
            self.answer(401, "", "")
            return
        bindings = None
        if self.server.bindings and "bind=none" not in self.path:
            bindings = self.server.bindings
        try:
            c = gssapi.SecurityContext(creds=gssapi.Credentials(usage="accept"), usage="accept", channel_bindings=bindings)
            out = c.step(base64.b64decode(header[10:]))
            text = "hello %s, established %s" % (c.initiator_name, str(c.complete).lower())
            # libgssapi takes tokens without bindings, and tells.
            if bindings and Flag.channel_bound not in c.actual_flags:
                self.answer(401, "refused: not bound\n", "")
                return
            if c.delegated_creds is not None:
                text += ", " + delegated(c.delegated_creds)
        except gssapi.exceptions.GSSError as e:
            self.answer(401, "refused: %s\n" % e, "")
            return
        self.answer(200, text + "\n", base64.b64encode(out or b"").decode())

    def log_message(self, *args):
        pass


secure = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler)
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(sys.argv[3], sys.argv[4])
secure.socket = tls.wrap_socket(secure.socket, server_side=True)
secure.bindings = end_point(sys.argv[3])
plain = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
plain.bindings = None
threading.Thread(target=secure.serve_forever, daemon=True).start()
plain.serve_forever()
