package main

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/internal/firstline"
	"github.com/kerbchain/kerbchain/internal/hostname"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/printable"
)

type kdcFlags struct {
	realm       string
	users       []string
	services    []string
	dir         string
	listen      string
	advertise   string
	allowRemote bool
	web         bool
	webListen   string
	tls         bool
	etypes      []string
	lifetime    time.Duration
	readyFile   string
	verbose     bool
	format      string
	withStdin   bool
	limit       time.Duration
}

const kdcIntro = `Runs a Kerberos realm for tests until it is interrupted, for programs in any
language. TEST ONLY: passwords are on the command line, keys in DIR.

Into DIR it writes krb5.conf, service.keytab with the keys of all services, and
NAME.keytab and NAME.ccache for each user, all of mode 0600. It prints lines for
a shell that lead programs there, the same that it writes to DIR/env.sh, and
"# ready" at the end; or, by --format, the same for programs, when it is ready. Keys are new each time. The files stay; with the realm gone
they are good for nothing, and the next run replaces them. It replaces no others.
`

func defineKDC(fs *pflag.FlagSet) func(context.Context, []string, world) int {
	f := &kdcFlags{}
	fs.StringVar(&f.dir, "dir", "", "`folder` to write to; it is made if it is not there")
	fs.StringVar(&f.realm, "realm", "EXAMPLE.TEST", "`name` of the realm")
	fs.StringArrayVar(&f.users, "user", nil, "user as `name:password`, or name for a random password; may be repeated; default alice:alice")
	fs.StringArrayVar(&f.services, "service", nil, "service `principal`; may be repeated; default HTTP/localhost")
	fs.StringVar(&f.listen, "listen", "127.0.0.1:0", "`address:port` of the KDC, UDP and TCP; port 0 is a free one")
	fs.BoolVar(&f.web, "web", false, "serve a web page behind Kerberos too")
	fs.StringVar(&f.webListen, "web-listen", "127.0.0.1:0", "`address:port` of the page")
	fs.BoolVar(&f.tls, "tls", false, "serve the page by https; DIR/ca.pem is what to trust, and for Java DIR/ca.p12 with the password changeit")
	fs.StringSliceVar(&f.etypes, "etypes", nil, "encryption `types` by name or number, the most wanted first")
	fs.DurationVar(&f.lifetime, "lifetime", 10*time.Hour, "of tickets, such as 30s")
	fs.StringVar(&f.readyFile, "ready-file", "", "`file` that is there while the realm is ready, with the KDC's address in its second line")
	fs.BoolVar(&f.allowRemote, "allow-remote", false, "allow addresses that other machines can reach")
	fs.StringVar(&f.advertise, "advertise", "", "`host` of the KDC in krb5.conf, if not that of --listen")
	fs.StringVar(&f.format, "format", "sh", "what to print: sh (for a shell to source), env (NAME=value lines) or json (an object in one line)")
	fs.BoolVar(&f.withStdin, "exit-with-stdin", false, "end when standard input ends, and so with the program that holds it open")
	fs.DurationVar(&f.limit, "for", 0, "end after this time, such as 10m; default never")
	fs.BoolVarP(&f.verbose, "verbose", "v", false, "print what the KDC and the page are asked, as it happens")
	return func(ctx context.Context, args []string, w world) int {
		if err := f.check(args, fs); err != nil {
			return usageError(w, err)
		}
		return f.run(ctx, w)
	}
}

// check reads the flags together, and sets what is set by default.
func (f *kdcFlags) check(args []string, fs *pflag.FlagSet) error {
	err := checkEmpty(fs, "realm", "user", "service", "listen", "web-listen", "etypes", "ready-file", "advertise")
	switch {
	case len(args) > 0:
		return fmt.Errorf("kdc takes flags alone, got %q", args[0])
	case err != nil:
		return err
	case f.dir == "":
		return errors.New("want --dir, a folder to write to")
	case f.format != "sh" && f.format != "env" && f.format != "json":
		return fmt.Errorf("--format %q: want sh, env or json", f.format)
	case f.limit < 0:
		return fmt.Errorf("--for %s is negative", f.limit)
	case !f.web && (f.tls || fs.Changed("web-listen")):
		return errors.New("--tls and --web-listen need --web")
	}
	if f.advertise != "" {
		if _, err := hostname.Normal(f.advertise); err != nil {
			return fmt.Errorf("--advertise: %w: want a host such as kdc.example", err)
		}
	}
	for _, u := range f.users {
		if name, password, ok := strings.Cut(u, ":"); ok && password == "" {
			return fmt.Errorf("--user %q: the password is empty: want name:password, or the name alone for a random one", name)
		}
	}
	for _, s := range f.services { // whose hosts stand in krb5.conf
		name, _, _ := strings.Cut(s, "@")
		if _, host, ok := strings.Cut(name, "/"); ok && (host == "" || strings.ContainsFunc(host, noHost)) {
			return fmt.Errorf("--service %q: want a host after the slash, as in HTTP/localhost", s)
		}
	}
	if len(f.users) == 0 {
		f.users = []string{"alice:alice"}
	}
	if len(f.services) == 0 {
		f.services = []string{"HTTP/localhost"}
	}
	if _, err := hostname.Normal(f.webHost()); f.web && err != nil {
		return fmt.Errorf("--web: the page is of the first --service HTTP/host, of which no URL can be made: %w", err)
	}
	for flag, address := range map[string]string{"--listen": f.listen, "--web-listen": f.webListen} {
		at, err := netip.ParseAddrPort(address)
		switch {
		case err != nil:
			return fmt.Errorf("%s %q: want an address and a port such as 127.0.0.1:88", flag, address)
		case !at.Addr().IsLoopback() && !f.allowRemote:
			return fmt.Errorf("%s %s: other machines can reach this address, and the realm is for tests only; --allow-remote allows it", flag, address)
		case flag == "--listen" && at.Addr().IsUnspecified() && f.advertise == "":
			return fmt.Errorf("%s %s: want --advertise too, since clients cannot connect to %s", flag, address, at.Addr())
		}
	}
	return nil
}

// noHost reports what no name in krb5.conf may hold.
func noHost(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune("{}[]=*#;\"", r) }

// renewable is for how long tickets can be renewed.
func (f *kdcFlags) renewable() time.Duration { return max(f.lifetime, 7*24*time.Hour) }

// options returns those of the realm.
func (f *kdcFlags) options() (opts []fakekdc.Option, err error) {
	opts = []fakekdc.Option{fakekdc.WithRealm(f.realm), fakekdc.WithLifetime(f.lifetime, f.renewable())}
	if f.allowRemote {
		opts = append(opts, fakekdc.WithRemoteAddress(f.listen))
	} else {
		opts = append(opts, fakekdc.WithAddress(f.listen))
	}
	if f.etypes != nil {
		etypes, err := parseEtypes(f.etypes)
		if err != nil {
			return nil, err
		}
		opts = append(opts, fakekdc.WithEtypes(etypes...))
	}
	return opts, nil
}

// makeRealm makes the realm with its users, whose names it returns, and services. Errors
// are about flags.
func (f *kdcFlags) makeRealm(opts []fakekdc.Option) (realm *fakekdc.Realm, users []string, err error) {
	switch last := time.Now().Add(f.renewable()); {
	case f.lifetime < time.Second:
		return nil, nil, fmt.Errorf("--lifetime %s: want a second or more", f.lifetime)
	case last.Unix() > math.MaxUint32:
		return nil, nil, fmt.Errorf("--lifetime %s: want tickets to end before 2106, as credential caches do", f.lifetime)
	}
	if realm, err = fakekdc.New(opts...); err != nil {
		return nil, nil, err
	}
	if users, err = f.fill(realm); err != nil {
		realm.Close()
		return nil, nil, err
	}
	return realm, users, nil
}

// fill adds users, whose names it returns, and services.
func (f *kdcFlags) fill(realm *fakekdc.Realm) (users []string, err error) {
	for _, u := range f.users {
		name, password, ok := strings.Cut(u, ":")
		if !ok {
			password = rand.Text()
		}
		if err := realm.AddUser(name, password); err != nil {
			return nil, fmt.Errorf("--user %q: %s", name, onceEach.Replace(err.Error()))
		}
		users = append(users, name)
	}
	for _, s := range f.services {
		if err := realm.AddService(s); err != nil {
			return nil, fmt.Errorf("--service %q: %s", s, onceEach.Replace(err.Error()))
		}
	}
	return users, nil
}

// onceEach puts the command's advice in the place of the library's.
var onceEach = strings.NewReplacer(": use Modify, SetPassword or Rotate", "; name each once")

func parseEtypes(words []string) (list []int32, err error) {
	known := krb.DefaultEtypes(true)
words:
	for _, word := range words {
		for _, e := range known {
			if word == strconv.Itoa(int(e)) || strings.EqualFold(word, krb.EtypeName(e)) {
				list = append(list, e)
				continue words
			}
		}
		names := make([]string, len(known))
		for i, e := range known {
			names[i] = fmt.Sprintf("%s (%d)", krb.EtypeName(e), e)
		}
		return nil, fmt.Errorf("--etypes %q: want some of %s", word, strings.Join(names, ", "))
	}
	return list, nil
}

func (f *kdcFlags) run(ctx context.Context, w world) int {
	opts, err := f.options()
	if err != nil {
		return usageError(w, err)
	}
	if err := f.serve(ctx, w, opts); err != nil {
		if o, ok := errors.AsType[*outputError](err); ok {
			return unwritten(w, o.err)
		}
		fmt.Fprintf(w.stderr, "kerbchain kdc: %v\n", err)
		return exitFailed
	}
	return exitOK
}

// serve runs the realm until ctx ends.
func (f *kdcFlags) serve(ctx context.Context, w world, opts []fakekdc.Option) (err error) {
	if err := f.notReady(); err != nil {
		return err
	}
	realm, users, err := f.makeRealm(opts)
	if err != nil {
		return err
	}
	defer realm.Close()
	if err := f.claim(realm); err != nil {
		return err
	}
	files, err := realm.WriteFiles(f.dir, users...)
	if err != nil {
		return err
	}
	if f.advertise != "" {
		_, port, _ := net.SplitHostPort(realm.Addr()) // of a listener, so it splits
		text := strings.ReplaceAll(realm.Config(), "kdc = "+realm.Addr(), "kdc = "+net.JoinHostPort(f.advertise, port))
		if err := putFile(files.Config, text); err != nil {
			return err
		}
	}
	env := append(files.Environ(), "KERBCHAIN_KDC="+realm.Addr())
	var page *fakeweb.Handler
	if f.web {
		page = fakeweb.New(realm, "", fakeweb.Options{})
		server, more, err := f.servePage(page, filepath.Dir(files.Config))
		if err != nil {
			return err
		}
		defer server.Close()
		env = append(env, more...)
	}
	script := exports(env)
	if err := putFile(filepath.Join(filepath.Dir(files.Config), scriptName), script); err != nil {
		return err
	}
	fmt.Fprintf(w.stderr, "kerbchain kdc: TEST ONLY: %v, whose keys and passwords are no secrets\n", realm)
	if f.readyFile != "" {
		if err := putFile(f.readyFile, readyLine+"\n"+realm.Addr()+"\n"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.notReady()) }()
	}
	text, err := f.announcement(env, script)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(output{w.stdout}, text); err != nil {
		return err
	}
	ctx, end := f.until(ctx, w)
	defer end()
	f.watch(ctx, w, realm, page)
	return nil
}

// announcement is what is printed when the realm is ready.
func (f *kdcFlags) announcement(env []string, script string) (string, error) {
	switch f.format {
	case "json":
		object := map[string]string{}
		for _, v := range env {
			name, value, _ := strings.Cut(v, "=")
			object[name] = value
		}
		b, err := json.Marshal(object)
		return string(b) + "\n", err
	case "env":
		for _, v := range env {
			if strings.ContainsAny(v, "\r\n") {
				return "", fmt.Errorf("--format env cannot say %q: a value ends with its line", v)
			}
		}
		return strings.Join(env, "\n") + "\n", nil
	}
	return script + "# ready\n", nil
}

// until returns a context that ends when the realm is to end.
func (f *kdcFlags) until(ctx context.Context, w world) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	stop := cancel
	if f.limit > 0 {
		ctx, stop = context.WithTimeout(ctx, f.limit)
	}
	if f.withStdin {
		go func() {
			io.Copy(io.Discard, w.stdin) // an error ends it as well
			cancel()
		}()
	}
	return ctx, func() { stop(); cancel() }
}

// watchEvery is how often there is a look at what was asked.
const watchEvery = 100 * time.Millisecond

// watch waits for the end and, with --verbose, prints what is asked for as long as
// somebody reads it.
func (f *kdcFlags) watch(ctx context.Context, w world, realm *fakekdc.Realm, page *fakeweb.Handler) {
	if !f.verbose {
		<-ctx.Done()
		return
	}
	var exchanges, requests tail
	look := func(last bool) (err error) {
		for _, e := range since(&exchanges, realm.Exchanges(), nil) {
			if _, err = fmt.Fprintln(w.stderr, printable.Text(e.String())); err != nil {
				return err
			}
		}
		if page == nil {
			return nil
		}
		pending := func(r fakeweb.Record) bool { return r.Status == 0 && !last }
		for _, r := range since(&requests, page.Requests(), pending) {
			if _, err = fmt.Fprintln(w.stderr, printable.Text(r.String())); err != nil {
				return err
			}
		}
		return nil
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if look(false) != nil {
				return
			}
		case <-ctx.Done():
			_ = look(true) // there is nobody left to tell
			return
		}
	}
}

// A tail is how much of a growing list was printed, of which the oldest quarter goes
// when it is full.
type tail struct{ seen, most int }

// since returns what is new in a list, up to the first that is still pending.
func since[T any](t *tail, list []T, pending func(T) bool) []T {
	if len(list) < t.most {
		t.seen = max(0, t.seen-t.most/4)
	}
	t.most = len(list)
	fresh := list[min(t.seen, len(list)):]
	if pending != nil {
		if i := slices.IndexFunc(fresh, pending); i >= 0 {
			fresh = fresh[:i]
		}
	}
	t.seen += len(fresh)
	return fresh
}

// notReady removes what an earlier run that was killed may have left, or this one
// has made.
func (f *kdcFlags) notReady() error {
	if f.readyFile == "" {
		return nil
	}
	if there, err := firstline.Check(f.readyFile, readyLine); err != nil {
		return fmt.Errorf("--ready-file: %w; name another file, or remove it", err)
	} else if !there {
		return nil
	}
	return removeFile(f.readyFile)
}

// readyLine is the first one of a ready file, by which a later run knows it.
const readyLine = "# TEST ONLY: kerbchain kdc is ready"

// claim returns an error if the folder holds files of our names that no run before
// this one wrote: those beside which there is no krb5.conf of a test realm. Of the
// files that the realm writes, it makes sure itself.
func (f *kdcFlags) claim(realm *fakekdc.Realm) error {
	line, _, _ := strings.Cut(realm.Config(), "\n")
	if there, _ := firstline.Check(filepath.Join(f.dir, "krb5.conf"), line); there {
		return nil
	}
	for _, name := range []string{scriptName, caName, storeName} {
		path := filepath.Join(f.dir, name)
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("%s is there, and no krb5.conf of a test realm beside it; name another folder, or remove it", path)
		}
	}
	return nil
}

// What is written beside the realm's own files.
const (
	scriptName = "env.sh"
	caName     = "ca.pem"
	storeName  = "ca.p12"
)

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// putFile makes a new file of mode 0600 in the place of what is there, which it
// neither follows nor writes to.
func putFile(path, text string) error {
	if err := removeFile(path); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// servePage serves the page, and returns variables that lead to it.
func (f *kdcFlags) servePage(page *fakeweb.Handler, dir string) (*fakeweb.Server, []string, error) {
	lis, err := net.Listen("tcp", f.webListen)
	if err != nil {
		return nil, nil, err
	}
	server, err := fakeweb.NewServer(page, fakeweb.ServerOptions{Host: f.webHost(), TLS: f.tls, HTTP2: f.tls, Listener: lis})
	if err != nil {
		return nil, nil, err
	}
	env := []string{"KERBCHAIN_URL=" + server.URL() + "/"}
	if f.tls {
		more, err := trust(server.Certificate(), dir)
		if err != nil {
			server.Close()
			return nil, nil, err
		}
		env = append(env, more...)
	}
	return server, env, nil
}

// storePassword is the one of the store of certificates that Java brings. It has no secret
// to keep: a store without a password is empty to Java.
const storePassword = "changeit"

// trust writes the certificate to trust, as PEM and in a store of Java's, and returns
// variables that lead to both.
func trust(cert *x509.Certificate, dir string) (env []string, err error) {
	store, err := pkcs12.Modern2023.EncodeTrustStore([]*x509.Certificate{cert}, storePassword)
	if err != nil {
		return nil, err
	}
	for _, f := range []struct{ name, text, variable string }{
		{caName, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})), "KERBCHAIN_CACERT"},
		{storeName, string(store), "KERBCHAIN_TRUSTSTORE"},
	} {
		path := filepath.Join(dir, f.name)
		if err := putFile(path, f.text); err != nil {
			return nil, err
		}
		env = append(env, f.variable+"="+path)
	}
	return env, nil
}

// webHost is the host of the first web service.
func (f *kdcFlags) webHost() string {
	for _, s := range f.services {
		if host, ok := strings.CutPrefix(s, "HTTP/"); ok {
			host, _, _ = strings.Cut(host, "@")
			return host
		}
	}
	return "localhost"
}

// exports returns lines for a POSIX shell that set the variables.
func exports(env []string) string {
	var b strings.Builder
	for _, v := range env {
		name, value, _ := strings.Cut(v, "=")
		fmt.Fprintf(&b, "export %s=%s\n", name, quote(value))
	}
	return b.String()
}

// quote quotes a word for a POSIX shell, if it must be.
func quote(s string) string {
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("/.:@%+=,_-", c)
	}
	if s != "" && strings.IndexFunc(s, func(c rune) bool { return !plain(c) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
