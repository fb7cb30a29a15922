//go:build interop

package interop

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// A boundUser is alice of a realm that a server outside it belongs to.
type boundUser struct {
	realm *fakekdc.Realm
	dir   string
}

func newBoundUser(t *testing.T, etype int32) *boundUser {
	t.Helper()
	realm := fakekdc.Start(t, fakekdc.WithEtypes(etype), fakekdc.WithUser("alice", "correct horse"), fakekdc.WithService("HTTP/localhost"))
	u := &boundUser{realm, tempDir(t)}
	u.file(t, "krb5.conf", []byte(realm.Config()))
	u.file(t, "keytab", realm.Keytab("HTTP/localhost"))
	return u
}

func (u *boundUser) path(name string) string { return filepath.Join(u.dir, name) }

func (u *boundUser) file(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(u.path(name), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// options are alice's, for a server with the certificate of that file.
func (u *boundUser) options(t *testing.T, ca string, conf ...string) client.Options {
	t.Helper()
	cache := filepath.Join(t.TempDir(), "ccache")
	if err := os.WriteFile(cache, u.realm.CCache("alice", "HTTP/localhost"), 0o600); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(readAll(t, ca))) {
		t.Fatal("no certificate")
	}
	return client.Options{
		Krb5ConfText: u.realm.Config(conf...), CCache: cache, Getenv: func(string) string { return "" },
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}},
	}
}

// environment is the server's.
func (u *boundUser) environment() environment {
	return environment{
		"HOME": u.dir, "PYTHONDONTWRITEBYTECODE": "1", "KRB5_CONFIG": u.path("krb5.conf"),
		"KRB5_KTNAME": "FILE:" + u.path("keytab"), "KRB5RCACHEDIR": u.dir, "KRB5RCACHENAME": "file2:" + u.path("replay"), "TMPDIR": u.dir,
	}
}

// TestBindings has libgssapi check the bindings of our tokens: the right ones,
// those of another certificate, none at all, and none in spite of better
// knowledge.
func TestBindings(t *testing.T) {
	for _, etype := range []int32{17, 18, 19, 20} {
		t.Run(krb.EtypeName(etype), func(t *testing.T) {
			newBoundUser(t, etype).testBindings(t, x509.ECDSAWithSHA256, "sha256")
		})
	}
	for alg, hash := range map[x509.SignatureAlgorithm]string{
		x509.ECDSAWithSHA384: "sha384", x509.ECDSAWithSHA512: "sha512", x509.SHA256WithRSA: "sha256",
		x509.SHA384WithRSA: "sha384", x509.SHA256WithRSAPSS: "sha256", x509.SHA384WithRSAPSS: "sha384", x509.SHA512WithRSAPSS: "sha512",
	} {
		t.Run(alg.String(), func(t *testing.T) { newBoundUser(t, krb.AES256SHA1).testBindings(t, alg, hash) })
	}
	t.Run("undefined", func(t *testing.T) { newBoundUser(t, krb.AES256SHA1).testUndefined(t) })
}

// startPeer starts testdata/bound_peer.py.
func (u *boundUser) startPeer(t *testing.T, alg x509.SignatureAlgorithm, hash string) (url string) {
	t.Helper()
	const python = "/usr/bin/python3" // which Debian's modules are for
	if out, err := exec.Command(python, "-c", "import gssapi").CombinedOutput(); err != nil {
		t.Fatalf("a Python module is missing: install the Debian package python3-gssapi (.ci/packages does): %v\n%s", err, out)
	}
	signedCertificate(t, alg, u.path("cert.pem"), u.path("key.pem"))
	addr := freePorts(t, 1)[0]
	serve(t, u.environment(), nil, []string{addr}, python, filepath.Join("testdata", "bound_peer.py"),
		port(addr), u.path("cert.pem"), u.path("key.pem"), hash)
	return "https://localhost:" + port(addr)
}

func (u *boundUser) testBindings(t *testing.T, alg x509.SignatureAlgorithm, hash string) {
	peer := u.startPeer(t, alg, hash)
	caller := "alice@" + u.realm.Name()
	const aware = "client_aware_channel_bindings = true"
	for name, tc := range map[string]struct {
		mode    kerberos.Bindings
		conf    string
		over    func(*testing.T, *boundUser, string) (url, ca string)
		path    string
		status  int
		body    string
		refused bool // by libgssapi, rather than by us
	}{
		"right":                       {path: "/required", status: 200, body: caller + ", bound"},
		"right, required":             {mode: kerberos.BindingsRequired, path: "/required", status: 200, body: caller + ", bound"},
		"right, aware":                {conf: aware, path: "/required", status: 200, body: caller + ", bound"},
		"right, not demanded":         {path: "/supported", status: 200, body: caller + ", bound"},
		"right, not looked at":        {conf: aware, path: "/off", status: 200, body: caller + ", not bound"},
		"missing":                     {mode: kerberos.BindingsOff, path: "/required", status: 401},
		"missing, not demanded":       {mode: kerberos.BindingsOff, path: "/supported", status: 200, body: caller + ", not bound"},
		"missing, switched off":       {mode: kerberos.BindingsOff, conf: aware, path: "/supported", status: 200, body: caller + ", not bound"},
		"wrong":                       {over: endingTLS, path: "/required", status: 401, refused: true},
		"wrong, not demanded":         {over: endingTLS, path: "/supported", status: 401, refused: true},
		"wrong, not looked at":        {over: endingTLS, path: "/off", status: 200, body: caller + ", not bound"},
		"from plain HTTP":             {over: plainHTTP, path: "/supported", status: 200, body: caller + ", not bound"},
		"from plain HTTP, aware":      {over: plainHTTP, conf: aware, path: "/supported", status: 401, refused: true},
		"from plain HTTP, to nothing": {over: plainHTTP, conf: aware, path: "/off", status: 200, body: caller + ", not bound"},
	} {
		for _, signs := range []preemptive.Policy{nil, preemptive.Always()} {
			t.Run(fmt.Sprintf("%s, %T", name, signs), func(t *testing.T) {
				at, ca := peer, u.path("cert.pem")
				if tc.over != nil {
					at, ca = tc.over(t, u, peer)
				}
				o := u.options(t, ca, tc.conf)
				o.Bindings, o.Preemptive, o.KeepErrorBodies = tc.mode, signs, true
				var refusal error
				ctx := middleware.WithTrace(t.Context(), func(e middleware.Event) {
					if e, ok := e.(middleware.RefusedEvent); ok {
						refusal = e.Err
					}
				})
				r, err := http.NewRequestWithContext(ctx, http.MethodGet, at+tc.path, nil)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := newClient(t, o).Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				b, err := io.ReadAll(resp.Body)
				if err != nil || resp.StatusCode != tc.status || tc.status == 200 && string(b) != tc.body {
					t.Errorf("%s: %q, %v; want %d %q", resp.Status, b, err, tc.status, tc.body)
				}
				var known *middleware.Error
				if told := errors.As(refusal, &known) && known.Code == krb.CodeGeneric; tc.refused && (!told || !strings.Contains(string(b), "BadChannelBindings")) {
					t.Errorf("refused for another reason: %s, and we are told %v", b, refusal)
				}
			})
		}
	}
}

// endingTLS is a server that ends TLS with a certificate of its own, and passes
// requests on to the peer.
func endingTLS(t *testing.T, u *boundUser, peer string) (at, ca string) {
	t.Helper()
	s := httptest.NewUnstartedServer(relay(t, u, peer))
	signedCertificate(t, x509.ECDSAWithSHA256, u.path("other-cert.pem"), u.path("other-key.pem"))
	pair, err := tls.LoadX509KeyPair(u.path("other-cert.pem"), u.path("other-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	s.StartTLS()
	t.Cleanup(s.Close)
	return "https://localhost:" + port(s.Listener.Addr().String()), u.path("other-cert.pem")
}

// plainHTTP is one that clients do not speak TLS to.
func plainHTTP(t *testing.T, u *boundUser, peer string) (at, ca string) {
	t.Helper()
	s := httptest.NewServer(relay(t, u, peer))
	t.Cleanup(s.Close)
	return "http://localhost:" + port(s.Listener.Addr().String()), u.path("cert.pem")
}

func relay(t *testing.T, u *boundUser, peer string) http.Handler {
	t.Helper()
	to, err := url.Parse(peer)
	if err != nil {
		t.Fatal(err)
	}
	tr := u.options(t, u.path("cert.pem")).Transport.(*http.Transport)
	t.Cleanup(tr.CloseIdleConnections)
	return &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(to) },
		Transport: tr, ErrorLog: log.New(io.Discard, "", 0),
	}
}

// testUndefined: RFC 5929 defines no bindings to an Ed25519 signature. We send
// none, whatever others make of them, unless they are required.
func (u *boundUser) testUndefined(t *testing.T) {
	peer := u.startPeer(t, x509.PureEd25519, "sha256")
	const aware = "client_aware_channel_bindings = true"
	for name, tc := range map[string]struct {
		mode   kerberos.Bindings
		path   string
		status int
	}{
		"auto":                  {kerberos.BindingsAuto, "/supported", 200},
		"auto, they want some":  {kerberos.BindingsAuto, "/required", 401},
		"required of ourselves": {kerberos.BindingsRequired, "/supported", 0},
	} {
		o := u.options(t, u.path("cert.pem"), aware)
		o.Bindings = tc.mode
		status, body, _, err := fetch(newClient(t, o), peer+tc.path)
		if status != tc.status || (err != nil) != (tc.status == 0) || err != nil && !errors.Is(err, middleware.ErrToken) {
			t.Errorf("%s: %d, %q, %v", name, status, body, err)
		}
	}
}

// signedCertificate writes a certificate for localhost that vouches for itself
// with that signature, and its key.
func signedCertificate(t *testing.T, alg x509.SignatureAlgorithm, certPath, keyPath string) {
	t.Helper()
	var key crypto.Signer
	var err error
	switch alg {
	case x509.PureEd25519:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA: true, BasicConstraintsValid: true, SignatureAlgorithm: alg,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{
		certPath: {Type: "CERTIFICATE", Bytes: cert},
		keyPath:  {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// startBoundApache starts an Apache with mod_auth_gssapi whose contexts belong
// to connections:
//
//	/bound/hello   GssapiConnectionBound
//	/signal/hello  the same, and GssapiSignalPersistentAuth
//	/once/hello    GssapiNegotiateOnce, requests authenticated one by one
//
// with the status 404 for .../missing, over http and https. The last port closes
// connections after the first request and three more.
func (u *boundUser) startBoundApache(t *testing.T) (origins map[string]string) {
	t.Helper()
	in := u.path
	for _, d := range []string{"run", "www", "www/bound", "www/signal", "www/once"} {
		if err := os.Mkdir(in(d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{"bound", "signal", "once"} {
		write(t, in("www/"+d+"/hello"), authText)
	}
	certificate(t, in("cert.pem"), in("key.pem"))
	addrs := freePorts(t, 3)
	var b strings.Builder
	for _, m := range []string{"mpm_event", "authn_core", "authz_core", "authz_user", "auth_gssapi", "ssl"} {
		fmt.Fprintf(&b, "LoadModule %s_module %s\n", m, module(t, m))
	}
	for _, a := range addrs {
		fmt.Fprintf(&b, "Listen %s\n", a)
	}
	fmt.Fprintf(&b, `
ServerName localhost
DefaultRuntimeDir %[1]s/run
PidFile %[1]s/run/pid
ErrorLog %[1]s/error.log
LogLevel info
StartServers 1
ServerLimit 1
MaxRequestWorkers 25
KeepAlive On
MaxKeepAliveRequests 0
SSLSessionCache none
DocumentRoot %[1]s/www
<Location />
	AuthType GSSAPI
	AuthName interop
	GssapiCredStore keytab:%[1]s/keytab
	GssapiBasicAuth Off
	Require valid-user
</Location>
<Location /bound>
	GssapiConnectionBound On
</Location>
<Location /signal>
	GssapiConnectionBound On
	GssapiSignalPersistentAuth On
</Location>
<Location /once>
	GssapiNegotiateOnce On
</Location>
<VirtualHost %[2]s>
	SSLEngine On
	SSLCertificateFile %[1]s/cert.pem
	SSLCertificateKeyFile %[1]s/key.pem
</VirtualHost>
<VirtualHost %[3]s>
	MaxKeepAliveRequests 3
</VirtualHost>
`, u.dir, addrs[1], addrs[2])
	write(t, in("httpd.conf"), b.String())
	showOnFailure(t, in("error.log"))
	as := unprivileged(t)
	give(t, u.dir, as)
	serve(t, u.environment(), as, addrs, tool(t, "apache2"), "-d", u.dir, "-f", in("httpd.conf"), "-DFOREGROUND")
	return map[string]string{
		"http":  "http://localhost:" + port(addrs[0]),
		"https": "https://localhost:" + port(addrs[1]),
		"short": "http://localhost:" + port(addrs[2]),
	}
}

// TestBound lets a client trust the connections that Apache authenticates.
func TestBound(t *testing.T) {
	u := newBoundUser(t, krb.AES256SHA1)
	origins := u.startBoundApache(t)
	trusting := client.Options{TrustConnection: true}
	for name, tc := range map[string]struct {
		path  string
		o     client.Options
		want  []string
		sent  []int // statuses of all requests
		conns int64
	}{
		"bound": {"/bound/hello", trusting,
			[]string{"200 proved", "200 trusted", "200 trusted"}, []int{401, 200, 200, 200}, 1},
		"bound, as it comes": {"/bound/hello", client.Options{},
			[]string{"200 proved", "200 proved", "200 proved"}, []int{401, 200, 200, 200}, 1},
		"bound and says so, as it comes": {"/signal/hello", client.Options{},
			[]string{"200 proved persistent", "200 proved persistent", "200 proved persistent"}, []int{401, 200, 200, 200}, 1},
		"negotiates once, as it comes": {"/once/hello", client.Options{},
			[]string{"200 proved", "200 proved", "200 proved"}, []int{401, 200, 200, 200}, 1},
		"bound, missing": {"/bound/missing", trusting,
			[]string{"404 proved", "404 trusted"}, []int{401, 404, 404}, 1},
		"bound, signed at once": {"/bound/hello", client.Options{TrustConnection: true, Preemptive: preemptive.Always()},
			[]string{"200 proved", "200 proved", "200 proved"}, []int{200, 200, 200}, 1},
		"bound and says so": {"/signal/hello", trusting,
			[]string{"200 proved persistent", "200 trusted persistent"}, []int{401, 200, 200}, 1},
		"negotiates once": {"/once/hello", trusting,
			[]string{"200 proved", "200 proved"}, []int{401, 200, 401, 200}, 1},
		"negotiates once, signed at once": {"/once/hello", client.Options{TrustConnection: true, Preemptive: preemptive.Always()},
			[]string{"200 proved", "200 proved"}, []int{200, 200}, 1},
	} {
		for _, kind := range []string{"http", "https"} {
			t.Run(name+" over "+kind, func(t *testing.T) {
				u.wantBound(t, tc.o, origins[kind]+tc.path, tc.want, tc.sent, tc.conns)
			})
		}
	}
	t.Run("connections that end", func(t *testing.T) {
		u.wantBound(t, trusting, origins["short"]+"/bound/hello",
			[]string{"200 proved", "200 trusted", "200 trusted", "200 proved", "200 trusted", "200 trusted", "200 proved"},
			[]int{401, 200, 200, 200, 401, 200, 200, 200, 401, 200}, 3)
	})
}

func (u *boundUser) wantBound(t *testing.T, with client.Options, url string, want []string, sent []int, conns int64) {
	t.Helper()
	o := u.options(t, u.path("cert.pem"))
	o.TrustConnection, o.Preemptive = with.TrustConnection, with.Preemptive
	tr := o.Transport.(*http.Transport)
	var opened atomic.Int64
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		opened.Add(1)
		var d net.Dialer
		return d.DialContext(ctx, network, addr)
	}
	rec := &recorder{next: tr}
	o.Transport = rec
	c := newClient(t, o)
	var got []string
	for range want {
		got = append(got, seen(t, c, url))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	var statuses []string
	for _, s := range sent {
		statuses = append(statuses, fmt.Sprint(s))
	}
	if !slices.Equal(rec.statuses, statuses) {
		t.Errorf("answers %v, want %v", rec.statuses, statuses)
	}
	if n := opened.Load(); n != conns {
		t.Errorf("%d connections, want %d", n, conns)
	}
}

// seen tells in a few words what a program sees of an answer.
func seen(t *testing.T, c *http.Client, url string) string {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		var known *middleware.Error
		if errors.As(err, &known) {
			return known.Reason.String()
		}
		return err.Error()
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Error(err)
	}
	out := fmt.Sprint(resp.StatusCode)
	switch sc := middleware.SecurityOf(resp.Request); {
	case sc != nil && sc.Verified():
		out += " proved"
	case middleware.Trusted(resp.Request):
		out += " trusted"
	}
	if resp.Header.Get("Persistent-Auth") == "true" {
		out += " persistent"
	}
	return out
}
