package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/net/http/httpguts"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/internal/messages"
	"github.com/kerbchain/kerbchain/internal/printable"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

type getFlags struct {
	method       string
	headers      []string
	data         []datum
	form         []datum
	upload       string
	follow       bool
	downgrade    bool
	include      bool
	output       string
	insecure     bool
	cacert       string
	verbose      bool
	mutual       string
	preemptive   string
	credentials  string
	library      string
	service      string
	hostOverride string
	principal    string
	enterprise   bool
	asUser       string
	passwordFile string
	keytab       string
	ccache       string
	armorCCache  string
	armorKeytab  string
	readOnly     bool
	untouched    bool // no cache is written to, whatever the flags say
	noSanitize   bool
	cbt          string
	delegate     string
	timeout      time.Duration
	proxy        string
	noProxy      bool
	url          string
	agent        string
	noAgent      bool // none is sent, by an empty one
	query        bool
	head         bool
	remoteName   bool
	silent       bool
	showError    bool
	fail         bool
	maxTime      float64
	user         string
	writeOut     string
	resolve      []string
	connectTo    []string
	cert, key    string
	compressed   bool
	trust        bool
	canonicalize string
	portInSPN    bool
	allowed      []string
	realm        string
	winrm        bool
}

const getIntro = "The response goes to standard output or a file, everything else to standard error.\n"

func defineGet(fs *pflag.FlagSet) func(context.Context, []string, world) int {
	f := &getFlags{}
	fs.StringVarP(&f.method, "request", "X", "", "`method`; default GET, or POST with -d and -F")
	fs.StringArrayVarP(&f.headers, "header", "H", nil, "header `\"Name: value\"`; @file reads one from each line; may be repeated")
	fs.VarP(data{"data", &f.data}, "data", "d", "`data` to send as a form; @file reads a file without its line breaks, @- standard input; may be repeated, and is joined with &")
	fs.Var(data{"data-binary", &f.data}, "data-binary", "`data` to send as they are; @file reads a file, @- standard input")
	fs.Var(data{"data-raw", &f.data}, "data-raw", "`data` to send, in which @ means nothing")
	fs.Var(data{"json", &f.data}, "json", "`data` to send as JSON, and to be answered in JSON")
	fs.Var(data{"data-urlencode", &f.data}, "data-urlencode", "`data` to send with what a form cannot hold escaped: content, name=content, @file or name@file")
	fs.VarP(data{"form", &f.form}, "form", "F", "`part` of a form (multipart/form-data), name=content; name=@file sends a file, name=<file what it holds, - standard input; ;type=TYPE and ;filename=NAME may follow; may be repeated")
	fs.Var(data{"form-string", &f.form}, "form-string", "`part` of a form, name=content, in which nothing else means anything")
	fs.StringVarP(&f.upload, "upload-file", "T", "", "`file` to send with PUT, under its own name where the URL ends in a slash; - sends standard input as it comes")
	fs.BoolVarP(&f.query, "get", "G", false, "put the data into the URL's query, and send a GET")
	fs.BoolVarP(&f.head, "head", "I", false, "send a HEAD, and print the header of each response alone")
	fs.StringVarP(&f.agent, "user-agent", "A", "", "`name` to send as User-Agent; an empty one is none")
	fs.BoolVarP(&f.follow, "location", "L", false, "follow redirects, each signed for its own host")
	fs.BoolVar(&f.downgrade, "allow-downgrade", false, "sign for plain http where a redirect led there from https")
	fs.BoolVarP(&f.include, "include", "i", false, "print the header of each response before its body")
	fs.StringVarP(&f.output, "output", "o", "", "write the body to `file`; - for standard output")
	fs.BoolVarP(&f.remoteName, "remote-name", "O", false, "write the body to a file named as the URL's path ends")
	fs.BoolVarP(&f.silent, "silent", "s", false, "print no messages")
	fs.BoolVarP(&f.showError, "show-error", "S", false, "with -s, print those about failures all the same")
	fs.BoolVarP(&f.fail, "fail", "f", false, "print no body of a response of 400 and above")
	fs.StringVarP(&f.writeOut, "write-out", "w", "", "print this `format` at the end, with %{http_code} and other variables of curl, %{verified} and %{principal}; @file reads it")
	fs.BoolVarP(&f.verbose, "verbose", "v", false, "print a timeline of what each stage does")
	fs.StringVar(&f.preemptive, "preemptive", "off", "sign before the server asks: off, learned or always")
	f.clientFlags(fs)
	fs.BoolVar(&f.readOnly, "read-only-cache", false, "write no tickets to the credential cache")
	fs.BoolVar(&f.noSanitize, "no-sanitize", false, "keep error bodies of servers that did not prove themselves")
	fs.DurationVar(&f.timeout, "timeout", 0, "give up after this time, such as 10s; default none")
	fs.Float64VarP(&f.maxTime, "max-time", "m", 0, "give up after this many `seconds`; default none")
	fs.BoolVar(&f.compressed, "compressed", false, "ask for a compressed response, and print it uncompressed")
	fs.BoolVar(&f.trust, "trust-connection", false, "take answers without proof for verified on a connection on which the server proved itself")
	fs.BoolVar(&f.winrm, "winrm", false, "speak to WinRM: messages are encrypted over plain http")
	fs.StringVarP(&f.user, "user", "u", "", "taken for curl's sake, as in -u :")
	fs.Bool("negotiate", true, "taken for curl's sake; there is no other way here")
	return func(ctx context.Context, args []string, w world) int {
		if err := f.check(args, fs); err != nil {
			return usageError(w, err)
		}
		if f.timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeoutCause(ctx, f.timeout, fmt.Errorf("no response within %s", f.timeout))
			defer cancel()
		}
		return leaving(ctx, w, func() int { return f.run(ctx, w) })
	}
}

// clientFlags adds those flags that choose credentials, and how servers are reached.
func (f *getFlags) clientFlags(fs *pflag.FlagSet) {
	fs.BoolVarP(&f.insecure, "insecure", "k", false, "do not check the server's certificate")
	fs.StringVar(&f.cacert, "cacert", "", "trust the certificates in this PEM `file` alone")
	fs.StringVar(&f.mutual, "mutual", "required", "mutual authentication: required, optional or disabled")
	fs.StringVar(&f.service, "service", "", "service `class` of the SPN; default HTTP")
	fs.StringVar(&f.hostOverride, "host-override", "", "`host` in the SPN, in place of the URL's")
	fs.StringVar(&f.credentials, "credentials", "", "`whose` credentials: own, those that kerbchain can read, or system, those of the GSS-API library or of who is logged on to Windows; default own, but system on Windows where nothing names a cache, keytab or password")
	fs.StringVar(&f.library, "gssapi-library", "", "`file` of the GSS-API library for --credentials system; default MIT's, else Heimdal's, on macOS Apple's")
	fs.StringVar(&f.principal, "principal", "", "client principal, `name@REALM`")
	fs.StringVar(&f.asUser, "as-user", "", "act for this `user` (S4U2Self and S4U2Proxy), with the credentials of a service")
	fs.BoolVar(&f.enterprise, "enterprise", false, "the principal is an alias such as user@corp.example, which the KDC translates")
	fs.StringVar(&f.passwordFile, "password-file", "", "log in with the password in the first line of `file`; - for standard input")
	fs.StringVar(&f.keytab, "keytab", "", "log in with the keys in this keytab `file`")
	fs.StringVar(&f.ccache, "ccache", "", "credential `cache`, such as FILE:/tmp/krb5cc_1000; default $KRB5CCNAME")
	fs.StringVar(&f.armorCCache, "armor-ccache", "", "protect the login (FAST) by the ticket in this credential `cache`, of a host mostly, as kinit -T does")
	fs.StringVar(&f.armorKeytab, "armor-keytab", "", "protect the login (FAST) by a ticket that the keys in this keytab `file` get, such as /etc/krb5.keytab")
	fs.StringVar(&f.cbt, "cbt", "auto", "channel binding: auto, require or off")
	fs.StringVar(&f.delegate, "delegate", "off", "delegate credentials: off, policy or always")
	fs.StringVarP(&f.proxy, "proxy", "x", "", "proxy `URL`; default from the environment; an empty one is none")
	fs.StringArrayVar(&f.resolve, "resolve", nil, "`HOST:PORT:ADDRESS` to connect to, in place of what DNS says; may be repeated")
	fs.StringArrayVar(&f.connectTo, "connect-to", nil, "`HOST:PORT:HOST2:PORT2`: connect to the latter for the former; may be repeated")
	fs.StringVar(&f.cert, "cert", "", "client certificate, a PEM `file`")
	fs.StringVar(&f.key, "key", "", "its key, a PEM `file`, if it is not in the same one")
	fs.StringVar(&f.canonicalize, "canonicalize", "config", "ask DNS for another name of a host that the KDC does not know: config (as krb5.conf says), never or fallback")
	fs.BoolVar(&f.portInSPN, "port-in-spn", false, "put a port other than 80 and 443 into the SPN")
	fs.StringSliceVar(&f.allowed, "allowed-hosts", nil, "authenticate to these `hosts` alone, such as *.corp.example")
	fs.StringVar(&f.realm, "realm", "", "`realm` of the URL's host")
}

// checkClient looks at the flags of clientFlags together.
func (f *getFlags) checkClient(fs *pflag.FlagSet) error {
	err := checkEmpty(fs, "cacert", "cert", "key", "service", "host-override", "credentials", "gssapi-library", "principal",
		"as-user", "password-file", "keytab", "ccache", "armor-ccache", "armor-keytab", "realm", "allowed-hosts")
	if err != nil {
		return err
	}
	f.noProxy = fs.Changed("proxy") && f.proxy == ""
	switch {
	case f.passwordFile != "" && (f.keytab != "" || f.ccache != ""):
		return errors.New("--password-file, --keytab and --ccache exclude one another")
	case f.passwordFile != "" && f.principal == "":
		return errors.New("--password-file needs --principal")
	case f.enterprise && f.principal == "":
		return errors.New("--enterprise needs --principal")
	}
	return f.checkCredentials(runtime.GOOS)
}

// check reads arguments and flags together.
func (f *getFlags) check(args []string, fs *pflag.FlagSet) error {
	if len(args) != 1 {
		return fmt.Errorf("want one URL, got %d arguments", len(args))
	}
	if err := checkEmpty(fs, "request", "output", "upload-file"); err != nil {
		return err
	}
	f.noAgent = fs.Changed("user-agent") && f.agent == ""
	f.url = args[0]
	if f.timeout > 0 && f.maxTime > 0 {
		return errors.New("--timeout and --max-time exclude each other")
	}
	if f.timeout < 0 {
		return fmt.Errorf("--timeout %s is negative", f.timeout)
	}
	switch {
	case !(f.maxTime >= 0 && f.maxTime < math.MaxInt64/1e9): // NaN is neither
		return fmt.Errorf("--max-time %v is negative, or too much", f.maxTime)
	case f.maxTime > 0:
		f.timeout = max(time.Duration(f.maxTime*float64(time.Second)), 1)
	}
	if fs.Changed("user") && f.user != ":" {
		return errors.New("-u: want \":\", since passwords on a command line are seen by others; use --principal and --password-file")
	}
	if fs.Lookup("negotiate").Value.String() == "false" {
		return errors.New("--negotiate=false: there is no other way here")
	}
	if f.head && len(f.data) > 0 && !f.query {
		return errors.New("-I and -d exclude each other, but with -G")
	}
	if f.upload != "" && (f.head || len(f.data) > 0) {
		return errors.New("-T excludes -d, its like, and -I")
	}
	if len(f.form) > 0 && (f.head || f.query || f.upload != "" || len(f.data) > 0) {
		return errors.New("-F excludes -d, its like, -T, -G and -I")
	}
	if f.upload != "" && f.fromStdin() && f.passwordFile == "-" {
		return errors.New("standard input is either the password or what -T sends")
	}
	if f.remoteName && f.output != "" {
		return errors.New("-o and -O exclude each other")
	}
	return f.checkClient(fs)
}

// choose returns the value that goes with a word.
func choose[T any](flag, word string, words []string, values ...T) (T, error) {
	if i := slices.Index(words, word); i >= 0 {
		return values[i], nil
	}
	var zero T
	return zero, fmt.Errorf("--%s %q: want one of %s", flag, word, strings.Join(words, ", "))
}

func (f *getFlags) run(ctx context.Context, w world) int {
	o, err := f.options(w)
	if err != nil {
		return usageError(w, err)
	}
	visible := w.stderr
	if f.silent && !f.showError {
		w.stderr = io.Discard
	}
	begin := newTimeline(visible)
	if f.verbose {
		ctx = middleware.WithTrace(ctx, begin.trace)
	}
	n := &messages.Notes{}
	ctx = middleware.WithTrace(ctx, n.Trace)
	if f.asUser != "" {
		ctx = kerberos.AsUser(ctx, f.asUser)
	}
	format, err := datum{"write-out", f.writeOut}.read(w)
	if err != nil {
		return usageError(w, err)
	}
	t := &transfer{url: f.url, begin: begin.begin}
	req, err := f.request(httptrace.WithClientTrace(ctx, t.hooks()), w)
	if err != nil {
		return usageError(w, err)
	}
	t.sends(req)
	file, err := f.openOutput()
	if err != nil {
		return unwritten(w, err)
	}
	defer file.close()
	t.file = file.name()
	var bar *progress
	if !f.silent {
		if bar = progressOn(w.stderr, file.over(w.stdout), time.Now); bar != nil {
			begin.w, w.stderr = bar, bar
			bar.sends(req)
		}
	}
	if f.verbose {
		begin.say("get", "%s %s", req.Method, bare(req.URL))
	}
	t.exit = f.do(ctx, w, o, req, t, file, bar, n)
	if f.verbose && t.resp != nil {
		if who := middleware.PrincipalOf(t.resp.Request); who != "" && f.credentials == systemCredentials {
			begin.say("get", "signed by the system as %s", who)
		}
		begin.say("get", "%s, %d bytes", t.resp.Status, t.received)
	}
	if err := t.tell(string(format), w.stdout, visible); err != nil && t.exit == exitOK {
		return unwritten(w, err)
	}
	return t.exit
}

// client returns the client that sends the request.
func (f *getFlags) client(o client.Options) (*http.Client, error) {
	o, err := f.signing(o)
	if err != nil {
		return nil, err
	}
	if f.winrm {
		return client.NewWinRM(client.WinRMOptions{Options: o})
	}
	rt, err := client.NewTransport(o)
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: rt}, nil
}

// signing returns o with who signs, if the flags name anybody.
func (f *getFlags) signing(o client.Options) (client.Options, error) {
	o, err := f.armored(o)
	if err == nil {
		o, err = f.withCredentials(o)
	}
	if err == nil && f.asUser != "" {
		return f.actingForUser(o)
	}
	return o, err
}

// do sends the request and writes the response.
func (f *getFlags) do(ctx context.Context, w world, o client.Options, req *http.Request, t *transfer, file *outputFile, bar *progress, n *messages.Notes) int {
	fail := func(err error) int {
		t.message = withoutURL(err).Error()
		return failed(ctx, w, err)
	}
	c, err := f.client(o)
	if err != nil {
		return fail(err)
	}
	defer c.CloseIdleConnections()
	uploads := f.upload != ""
	c.CheckRedirect = func(next *http.Request, via []*http.Request) (err error) {
		defer func() {
			if err != nil && next.Body != nil { // which net/http leaves open
				next.Body.Close()
			}
		}()
		// As curl, and unlike net/http, no server is told unasked where the user was.
		if via[0].Header.Get("Referer") == "" {
			next.Header.Del("Referer")
		}
		// Likewise, what proves the user to one origin goes to no other. net/http takes the
		// hosts below one, other ports and plain http for the same.
		if !sameOrigin(next.URL, via[0].URL) {
			next.Header.Del("Authorization")
			next.Header.Del("Cookie")
		}
		switch {
		case !f.follow:
			return http.ErrUseLastResponse
		case len(via) > maxRedirects:
			return fmt.Errorf("more than %d redirects", maxRedirects)
		}
		// As curl, what -T sends goes where the redirect says, but for that of a 303. After it
		// there is no body, of which net/http asks the first request.
		if next.Response.StatusCode == http.StatusSeeOther && isStream(via[0]) {
			via[0].Body, via[0].ContentLength = http.NoBody, 0
		}
		if uploads = uploads && next.Response.StatusCode != http.StatusSeeOther; uploads {
			if err := sendAgain(next, via[0]); err != nil {
				return err
			}
		}
		if next.Body == nil {
			next.Header.Del("Expect") // there is nothing that could wait (RFC 9110 section 10.1.1)
		}
		t.redirects = len(via)
		return f.printHead(next.Response, w, file)
	}
	resp, err := c.Do(req)
	bar.end()
	if err != nil {
		return fail(err)
	}
	defer resp.Body.Close()
	t.resp = resp
	if next, err := resp.Location(); err == nil && f.follow && (keepsMethod(resp.StatusCode) || uploads && isRedirect(resp.StatusCode)) {
		t.message = fmt.Sprintf("the redirect to %s wants the body again, which was a stream: send a file with -T", bare(next))
		complain(w, "%s", t.message)
		return exitNetwork
	}
	t.received, err = f.write(resp, w, file, bar)
	bar.end()
	if err != nil {
		t.message = err.Error()
		return brokeOff(ctx, w, t.received, err)
	}
	if resp.StatusCode >= 400 {
		if !f.verbose {
			inCommand(n.About(resp)).write(w.stderr)
		}
		return exitStatus
	}
	return exitOK
}

// sameOrigin reports whether two URLs are of one scheme, host and port.
func sameOrigin(a, b *url.URL) bool {
	port := func(u *url.URL) string {
		if p := u.Port(); p != "" || u.Scheme != "https" {
			return cmp.Or(p, "80")
		}
		return "443"
	}
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

// keepsMethod reports whether a redirect is for the same request at another place (RFC 9110
// sections 15.4.8 and 15.4.9).
func keepsMethod(status int) bool {
	return status == http.StatusTemporaryRedirect || status == http.StatusPermanentRedirect
}

// isRedirect reports whether net/http follows a status, and would leave out the body.
func isRedirect(status int) bool {
	return status == http.StatusMovedPermanently || status == http.StatusFound
}

// maxRedirects is how many are followed, as by curl.
const maxRedirects = 50

// brokeOff reports why a response was not written whole.
func brokeOff(ctx context.Context, w world, n int64, err error) int {
	if i, ok := errors.AsType[interruption](context.Cause(ctx)); ok {
		complain(w, "%v after %d bytes", i, n)
		return i.status()
	}
	if o, ok := errors.AsType[*outputError](err); ok {
		return unwritten(w, o.err)
	}
	complain(w, "the response broke off after %d bytes: %v", n, err)
	return exitNetwork
}

// options turns flags into the client's.
func (f *getFlags) options(w world) (client.Options, error) {
	o, err := f.names(w)
	if err != nil {
		return o, err
	}
	if o.Password, err = f.password(w); err != nil {
		return o, err
	}
	t, err := f.transport()
	if err != nil {
		return o, err
	}
	o.Transport = t
	return o, nil
}

// names returns the options that take no file.
func (f *getFlags) names(w world) (client.Options, error) {
	o := client.Options{
		KeepErrorBodies: f.noSanitize, AllowDowngrade: f.downgrade, Principal: f.principal, Keytab: f.keytab, CCache: f.ccache,
		Enterprise: f.enterprise, ReadOnlyCache: f.readOnly,
		Service: f.service, HostOverride: f.hostOverride, Getenv: w.getenv,
	}
	o.TrustConnection, o.PortInSPN, o.AllowedHosts = f.trust, f.portInSPN, f.allowed
	o.OneShot = negotiate.Probe // a long stream is not lost to a 401
	var err error
	o.Mutual, err = choose("mutual", strings.ToLower(f.mutual), []string{"required", "optional", "disabled"}, mutual.Required, mutual.Optional, mutual.Disabled)
	if err != nil {
		return o, err
	}
	o.Preemptive, err = choose("preemptive", f.preemptive, []string{"off", "learned", "always"}, nil, preemptive.Learned(), preemptive.Always())
	if err != nil {
		return o, err
	}
	o.Bindings, err = choose("cbt", f.cbt, []string{"auto", "require", "off"},
		kerberos.BindingsAuto, kerberos.BindingsRequired, kerberos.BindingsOff)
	if err != nil {
		return o, err
	}
	o.Delegation, err = choose("delegate", f.delegate, []string{"off", "policy", "always"},
		kerberos.DelegationOff, kerberos.DelegationPolicy, kerberos.DelegationAlways)
	if err != nil {
		return o, err
	}
	o.Canonicalize, err = choose("canonicalize", f.canonicalize, []string{"config", "never", "fallback"},
		kerberos.CanonicalizeAsConfigured, kerberos.CanonicalizeNever, kerberos.CanonicalizeFallback)
	if err != nil {
		return o, err
	}
	if f.realm != "" {
		if o.HostOverrides, err = f.inRealm(); err != nil {
			return o, err
		}
		o.HostOverride = ""
	}
	if f.noProxy {
		o.Proxy = http.ProxyURL(nil)
	}
	if f.proxy != "" {
		u, err := proxyURL(f.proxy)
		if err != nil {
			return o, err
		}
		o.Proxy = http.ProxyURL(u)
	}
	return o, nil
}

// password reads the one of --password-file, if there is such a flag.
func (f *getFlags) password(w world) (kerberos.Secret, error) {
	if f.passwordFile == "" {
		return kerberos.Secret{}, nil
	}
	line, err := readPassword(f.passwordFile, w)
	if err != nil {
		return kerberos.Secret{}, &fileError{"--password-file", f.passwordFile, err}
	}
	return kerberos.NewSecret(line), nil
}

// transport returns what connects as the flags say.
func (f *getFlags) transport() (*http.Transport, error) {
	t := kerbchain.NewTransport()
	t.TLSClientConfig = &tls.Config{InsecureSkipVerify: f.insecure}
	if err := f.connections(t); err != nil {
		return nil, err
	}
	if f.cacert == "" {
		return t, nil
	}
	pem, err := readFile(f.cacert)
	if err != nil {
		return nil, &fileError{"--cacert", f.cacert, err}
	}
	t.TLSClientConfig.RootCAs = x509.NewCertPool()
	if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
		return nil, &fileError{"--cacert", f.cacert, fmt.Errorf("%s holds no certificate in PEM form", f.cacert)}
	}
	return t, nil
}

func (f *getFlags) request(ctx context.Context, w world) (*http.Request, error) {
	if _, err := parseURL(f.url); err != nil {
		return nil, err
	}
	if !httpguts.ValidHeaderFieldName(f.verb()) { // both are tokens (RFC 9110 section 5.6.2)
		return nil, fmt.Errorf("-X %q: want a method such as PUT", f.method)
	}
	r, err := http.NewRequestWithContext(ctx, f.verb(), f.url, nil)
	if err != nil {
		return nil, err
	}
	r.URL = (&url.URL{}).ResolveReference(r.URL) // as curl, without . and .. in its path
	switch {
	case f.upload != "":
		err = f.setUpload(r, w)
	case len(f.form) > 0:
		err = f.setForm(r, w)
	case len(f.data) == 0:
	case f.query:
		err = f.asQuery(r, w)
	default:
		err = f.body(r, w)
	}
	if err != nil {
		return nil, err
	}
	return r, f.setHeader(r, w)
}

// verb is the method of the request.
func (f *getFlags) verb() string {
	switch {
	case f.method != "":
		return f.method
	case f.head:
		return http.MethodHead
	case f.upload != "":
		return http.MethodPut
	case len(f.data) > 0 && !f.query, len(f.form) > 0:
		return http.MethodPost
	}
	return http.MethodGet
}

// inRealm returns the SPN of the URL's host in the realm that was given.
func (f *getFlags) inRealm() (map[string]string, error) {
	u, err := parseURL(f.url)
	if err != nil {
		return nil, err
	}
	service, host := "HTTP", f.hostOverride
	if f.service != "" {
		service = f.service
	}
	if host == "" {
		host = u.Hostname()
		if p := u.Port(); f.portInSPN && p != "" && p != "80" && p != "443" {
			host += ":" + p
		}
	}
	return map[string]string{u.Hostname(): service + "/" + host + "@" + f.realm}, nil
}

// An outputError says that what the server sent could not be written.
type outputError struct{ err error }

func (e *outputError) Error() string { return "the output cannot be written: " + e.err.Error() }
func (e *outputError) Unwrap() error { return e.err }

// An output tells errors of writing from those of reading.
type output struct{ io.Writer }

func (o output) Write(b []byte) (int, error) {
	n, err := o.Writer.Write(b)
	if err != nil {
		err = &outputError{err}
	}
	return n, err
}

// An outputFile is what -o or -O names, which is opened before the request goes, and
// emptied when there is a response. A nil one is standard output.
type outputFile struct {
	*os.File
	isNew bool // it was not there before
	kept  bool // there was a response to write
}

// openOutput opens the file for the body, nil for standard output.
func (f *getFlags) openOutput() (*outputFile, error) {
	name := f.output
	if f.remoteName {
		u, err := parseURL(f.url)
		if err != nil {
			return nil, err
		}
		// As curl, it is called what the URL says: %2f stays.
		p := u.RawPath
		if p == "" {
			p = u.EscapedPath()
		}
		if name = path.Base(p); strings.HasSuffix(p, "/") || !filepath.IsLocal(name) || name == "." || filepath.Base(name) != name {
			return nil, errors.New("-O: the URL's path does not end in the name of a file")
		}
	}
	if name == "" || name == "-" {
		return nil, nil
	}
	_, err := os.Lstat(name)
	file, openErr := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o666)
	if openErr != nil {
		return nil, openErr
	}
	return &outputFile{File: file, isNew: errors.Is(err, fs.ErrNotExist)}, nil
}

// name is what the file is called, "" for standard output.
func (o *outputFile) name() string {
	if o == nil {
		return ""
	}
	return o.Name()
}

// over returns what the body is written to.
func (o *outputFile) over(stdout io.Writer) io.Writer {
	if o == nil {
		return stdout
	}
	return o.File
}

// begin empties the file, if it is a regular one, before anything is written to it.
func (o *outputFile) begin() error {
	if o.kept {
		return nil
	}
	o.kept = true
	if info, err := o.Stat(); err != nil || !info.Mode().IsRegular() {
		return err
	}
	return o.Truncate(0)
}

// close closes the file, and removes it if it was made for nothing.
func (o *outputFile) close() {
	if o == nil {
		return
	}
	o.Close()
	if o.isNew && !o.kept {
		os.Remove(o.Name())
	}
}

// Write writes to the file, which is emptied first.
func (o *outputFile) Write(b []byte) (int, error) {
	if err := o.begin(); err != nil {
		return 0, err
	}
	return o.File.Write(b)
}

// outlet is where responses go.
func outlet(w world, file *outputFile) output {
	if file == nil {
		return output{w.stdout}
	}
	return output{file}
}

// printHead prints the header of a response, if that is wanted.
func (f *getFlags) printHead(resp *http.Response, w world, file *outputFile) error {
	if !f.include && !f.head {
		return nil
	}
	_, err := io.WriteString(outlet(w, file), head(resp))
	return err
}

// write prints the response and returns the length of its body.
func (f *getFlags) write(resp *http.Response, w world, file *outputFile, bar *progress) (n int64, err error) {
	if err := f.printHead(resp, w, file); err != nil {
		return 0, err
	}
	// What follows a 101 is no body, and no context ends it.
	if f.head || f.fail && resp.StatusCode >= 400 || resp.StatusCode == http.StatusSwitchingProtocols {
		return 0, nil
	}
	if file == nil {
		return io.Copy(outlet(w, file), bar.received(resp))
	}
	if err := file.begin(); err != nil {
		return 0, &outputError{err}
	}
	n, err = io.Copy(outlet(w, file), bar.received(resp))
	if closeErr := file.Close(); err == nil && closeErr != nil {
		err = &outputError{closeErr}
	}
	return n, err
}

// head is what comes before a response's body, with what a terminal might obey
// escaped: a server need not have proved itself for it to be shown.
func head(resp *http.Response) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\r\n", printable.Text(resp.Proto), printable.Text(resp.Status))
	h := resp.Header.Clone()
	redact(h)
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, value := range h[name] {
			fmt.Fprintf(&b, "%s: %s\r\n", printable.Text(name), printable.Text(value))
		}
	}
	b.WriteString("\r\n")
	return b.String()
}

// redact keeps the tokens of authentication headers from being printed.
func redact(h http.Header) {
	for _, name := range []string{"Www-Authenticate", "Proxy-Authenticate", "Proxy-Authentication-Info", "Authentication-Info"} {
		for i, v := range h[name] {
			if scheme, token, ok := strings.Cut(v, " "); ok && len(token) > 32 && !strings.ContainsAny(token, "=\" ,") ||
				ok && strings.EqualFold(scheme, "Negotiate") || ok && strings.EqualFold(scheme, "Kerberos") {
				h[name][i] = fmt.Sprintf("%s [token of %d characters]", scheme, len(token))
			}
		}
	}
}

// parseURL parses what a request can go to.
func parseURL(text string) (*url.URL, error) {
	if strings.Contains(text, " ") {
		return nil, errors.New("the URL holds a blank: write it as %20")
	}
	u, err := url.Parse(text)
	if escape, ok := errors.AsType[url.EscapeError](err); ok {
		return nil, fmt.Errorf("the URL cannot be parsed: %w; write %% itself as %%25", escape)
	}
	if err != nil {
		return nil, errors.New("the URL cannot be parsed") // the error may show a password
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return nil, fmt.Errorf("the URL's port is %s: want 1 to 65535", p)
		}
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, fmt.Errorf("want a URL that begins with http:// or https:// and names a host, got %q", bare(u))
	}
	return u, nil
}

// bare is a URL without user and query.
func bare(u *url.URL) string {
	b := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	return b.String()
}

// actingForUser returns o with an impersonator in place of its credentials.
func (f *getFlags) actingForUser(o client.Options) (client.Options, error) {
	o, err := o.WithSource()
	if err != nil {
		return o, err
	}
	service, ok := o.Source.(*kerberos.Source)
	if !ok {
		return o, fmt.Errorf("a %T cannot act for users", o.Source)
	}
	o.Source = kerberos.NewImpersonator(service)
	return o, nil
}
