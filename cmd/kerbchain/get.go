package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/internal/printable"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

type getFlags struct {
	method       string
	headers      []string
	data         string
	follow       bool
	downgrade    bool
	include      bool
	output       string
	insecure     bool
	cacert       string
	verbose      bool
	mutual       string
	preemptive   string
	service      string
	hostOverride string
	principal    string
	enterprise   bool
	passwordFile string
	keytab       string
	ccache       string
	readOnly     bool
	noSanitize   bool
	cbt          string
	delegate     string
	timeout      time.Duration
	proxy        string
	url          string
	hasData      bool
}

const getIntro = "The body goes to standard output, everything else to standard error.\n"

func defineGet(fs *pflag.FlagSet) func(context.Context, []string, world) int {
	f := &getFlags{}
	fs.StringVarP(&f.method, "request", "X", "", "method; default GET, or POST with -d")
	fs.StringArrayVarP(&f.headers, "header", "H", nil, "header `\"Name: value\"`; may be repeated")
	fs.StringVarP(&f.data, "data", "d", "", "request body as it is; @file reads a file, @- standard input")
	fs.BoolVarP(&f.follow, "location", "L", false, "follow redirects, each signed for its own host")
	fs.BoolVar(&f.downgrade, "allow-downgrade", false, "sign for plain http where a redirect led there from https")
	fs.BoolVarP(&f.include, "include", "i", false, "print the response's header too, to standard output")
	fs.StringVarP(&f.output, "output", "o", "", "write the body to `file`")
	fs.BoolVarP(&f.insecure, "insecure", "k", false, "do not check the server's certificate")
	fs.StringVar(&f.cacert, "cacert", "", "trust the certificates in this PEM `file` alone")
	fs.BoolVarP(&f.verbose, "verbose", "v", false, "print a timeline of what each stage does")
	fs.StringVar(&f.mutual, "mutual", "required", "mutual authentication: required, optional or disabled")
	fs.StringVar(&f.preemptive, "preemptive", "off", "sign before the server asks: off, learned or always")
	fs.StringVar(&f.service, "service", "", "service class of the SPN; default HTTP")
	fs.StringVar(&f.hostOverride, "host-override", "", "`host` in the SPN, in place of the URL's")
	fs.StringVar(&f.principal, "principal", "", "client principal, `name@REALM`")
	fs.BoolVar(&f.enterprise, "enterprise", false, "the principal is an alias such as user@corp.example, which the KDC translates")
	fs.StringVar(&f.passwordFile, "password-file", "", "log in with the password in the first line of `file`; - for standard input")
	fs.StringVar(&f.keytab, "keytab", "", "log in with the keys in this keytab `file`")
	fs.StringVar(&f.ccache, "ccache", "", "credential cache, such as FILE:/tmp/krb5cc_1000; default $KRB5CCNAME")
	fs.BoolVar(&f.readOnly, "read-only-cache", false, "write no tickets to the credential cache")
	fs.BoolVar(&f.noSanitize, "no-sanitize", false, "keep error bodies of servers that did not prove themselves")
	fs.StringVar(&f.cbt, "cbt", "auto", "channel binding: auto, require or off")
	fs.StringVar(&f.delegate, "delegate", "off", "delegate credentials: off, policy or always")
	fs.DurationVar(&f.timeout, "timeout", 0, "give up after this time, such as 10s; default none")
	fs.StringVar(&f.proxy, "proxy", "", "proxy `URL`; default from the environment")
	return func(ctx context.Context, args []string, w world) int {
		f.hasData = fs.Changed("data")
		if err := f.check(args); err != nil {
			return usageError(w, err)
		}
		return f.run(ctx, w)
	}
}

// check reads arguments and flags together.
func (f *getFlags) check(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("want one URL, got %d arguments", len(args))
	}
	f.url = args[0]
	if f.timeout < 0 {
		return fmt.Errorf("--timeout %s is negative", f.timeout)
	}
	if f.keytab != "" && f.ccache != "" {
		return errors.New("--keytab and --ccache exclude each other")
	}
	return nil
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
	begin := newTimeline(w.stderr)
	if f.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, f.timeout, fmt.Errorf("no response within %s", f.timeout))
		defer cancel()
	}
	if f.verbose {
		ctx = middleware.WithTrace(ctx, begin.trace)
	}
	req, err := f.request(ctx, w)
	if err != nil {
		return usageError(w, err)
	}
	rt, err := client.NewTransport(o)
	if err != nil {
		return failed(ctx, w, err)
	}
	c := &http.Client{Transport: rt}
	defer c.CloseIdleConnections()
	if !f.follow {
		c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	if f.verbose {
		begin.say("get", "%s %s", req.Method, bare(req.URL))
	}
	resp, err := c.Do(req)
	if err != nil {
		return failed(ctx, w, err)
	}
	defer resp.Body.Close()
	n, err := f.write(resp, w)
	if err != nil {
		if i, ok := errors.AsType[interruption](context.Cause(ctx)); ok {
			complain(w, "%v after %d bytes", i, n)
			return i.status()
		}
		if o, ok := errors.AsType[*outputError](err); ok {
			complain(w, "%v", o)
			return exitOutput
		}
		complain(w, "the response broke off after %d bytes: %v", n, err)
		return exitNetwork
	}
	if f.verbose {
		begin.say("get", "%s, %d bytes", resp.Status, n)
	}
	if resp.StatusCode >= 400 {
		if !f.verbose {
			complain(w, "%s", resp.Status)
		}
		return exitStatus
	}
	return exitOK
}

// options turns flags into the client's.
func (f *getFlags) options(w world) (client.Options, error) {
	o := client.Options{
		KeepErrorBodies: f.noSanitize, AllowDowngrade: f.downgrade, Principal: f.principal, Keytab: f.keytab, CCache: f.ccache,
		Enterprise: f.enterprise, ReadOnlyCache: f.readOnly,
		Service: f.service, HostOverride: f.hostOverride, Getenv: w.getenv,
	}
	var err error
	if o.Mutual, err = mutual.ParseMode(f.mutual); err != nil {
		return o, fmt.Errorf("--mutual: %w", err)
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
	if f.passwordFile != "" {
		if f.principal == "" {
			return o, errors.New("--password-file needs --principal")
		}
		b, err := readInput(f.passwordFile, w)
		if err != nil {
			return o, fmt.Errorf("--password-file: %w", err)
		}
		line, _, _ := strings.Cut(string(b), "\n")
		o.Password = kerberos.NewSecret(strings.TrimSuffix(line, "\r"))
	}
	t := kerbchain.NewTransport()
	t.TLSClientConfig = &tls.Config{InsecureSkipVerify: f.insecure}
	if f.cacert != "" {
		pem, err := os.ReadFile(f.cacert)
		if err != nil {
			return o, fmt.Errorf("--cacert: %w", err)
		}
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return o, fmt.Errorf("--cacert: %s holds no certificate in PEM form", f.cacert)
		}
	}
	o.Transport = t
	if f.proxy != "" {
		u, err := url.Parse(f.proxy)
		if err != nil || u.Host == "" {
			return o, errors.New("--proxy: want a URL such as http://proxy.example:3128")
		}
		o.Proxy = http.ProxyURL(u)
	}
	return o, nil
}

// maxInput bounds what is read from standard input to be sent or used.
const maxInput = 1 << 30

// readInput reads a file, or standard input for "-".
func readInput(name string, w world) ([]byte, error) {
	if name != "-" {
		return os.ReadFile(name)
	}
	b, err := io.ReadAll(io.LimitReader(w.stdin, maxInput+1))
	if err == nil && len(b) > maxInput {
		err = fmt.Errorf("standard input exceeds %d bytes: use a file", maxInput)
	}
	return b, err
}

func (f *getFlags) request(ctx context.Context, w world) (*http.Request, error) {
	if _, err := parseURL(f.url); err != nil {
		return nil, err
	}
	method := f.method
	if method == "" {
		method = http.MethodGet
		if f.hasData {
			method = http.MethodPost
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, f.url, nil)
	if err != nil {
		return nil, err
	}
	if f.hasData {
		if err := f.body(r, w); err != nil {
			return nil, err
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, h := range f.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return nil, errors.New(`-H: want "Name: value"`)
		}
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if strings.EqualFold(name, "Host") {
			r.Host = value
			continue
		}
		r.Header.Set(name, value)
	}
	return r, nil
}

// body sets the request's body so that it can be sent again: a file is opened
// anew for each leg.
func (f *getFlags) body(r *http.Request, w world) error {
	name, file := strings.CutPrefix(f.data, "@")
	if !file || name == "-" {
		b := []byte(f.data)
		if file {
			var err error
			if b, err = readInput("-", w); err != nil {
				return fmt.Errorf("-d: %w", err)
			}
		}
		r.ContentLength = int64(len(b))
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
	} else {
		info, err := os.Stat(name)
		if err != nil {
			return fmt.Errorf("-d: %w", err)
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("-d: %s is not a regular file: use @- to read a stream", name)
		}
		r.ContentLength = info.Size()
		r.GetBody = func() (io.ReadCloser, error) { return os.Open(name) }
	}
	if r.ContentLength == 0 {
		r.Body, r.GetBody = http.NoBody, nil
		return nil
	}
	var err error
	r.Body, err = r.GetBody()
	return err
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

// write prints the response and returns the length of its body.
func (f *getFlags) write(resp *http.Response, w world) (n int64, err error) {
	out := output{w.stdout}
	if f.include {
		if _, err := io.WriteString(out, head(resp)); err != nil {
			return 0, err
		}
	}
	if f.output == "" {
		return io.Copy(out, resp.Body)
	}
	file, err := os.Create(f.output)
	if err != nil {
		return 0, &outputError{err}
	}
	n, err = io.Copy(output{file}, resp.Body)
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
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("the URL cannot be parsed")
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("want a URL that begins with http:// or https:// and names a host, got %q", bare(u))
	}
	return u, nil
}

// bare is a URL without user and query.
func bare(u *url.URL) string {
	b := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	return b.String()
}

// failed reports why there is no response.
func failed(ctx context.Context, w world, err error) int {
	if i, ok := errors.AsType[interruption](context.Cause(ctx)); ok {
		complain(w, "%v", i)
		return i.status()
	}
	code := exitNetwork
	var e *middleware.Error
	if errors.As(err, &e) {
		switch {
		case errors.Is(e, middleware.ErrHost):
			code = exitUsage
		case errors.Is(e, middleware.ErrConfiguration):
			code = exitConfiguration
		case errors.Is(e, middleware.ErrCredentials):
			code = exitCredentials
		case errors.Is(e, middleware.ErrKDC):
			code = exitKDC
		case errors.Is(e, middleware.ErrNotVerified):
			code = exitNotVerified
		}
	}
	// The URL in a *url.Error may hold a query.
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	complain(w, "%v", err)
	return code
}

// complain writes one line to standard error, whatever strangers put into it.
func complain(w world, format string, args ...any) {
	fmt.Fprintf(w.stderr, "kerbchain: %s\n", printable.Text(fmt.Sprintf(format, args...)))
}
