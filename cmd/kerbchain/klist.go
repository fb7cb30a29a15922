package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/kerbchain/kerbchain/internal/ccache"
	"github.com/kerbchain/kerbchain/internal/ccache/kcm"
	"github.com/kerbchain/kerbchain/internal/ccache/keyring"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/krb5conf"
	"github.com/kerbchain/kerbchain/internal/policy"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

const klistIntro = `Lists the credential caches of the collection with their tickets, and the client
keytab if there is one; with --keytab the entries of that keytab instead. With a
URL it says which of them a request to that URL takes, as whom, and why. No KDC is
asked, and no key is printed.
`

type klistFlags struct {
	ccache, keytab, principal, service string
	all                                bool
}

func defineKlist(fs *pflag.FlagSet) func(context.Context, []string, world) int {
	f := &klistFlags{}
	fs.StringVar(&f.ccache, "ccache", "", "credential `cache` or collection; default $KRB5CCNAME, else as in krb5.conf")
	fs.StringVarP(&f.keytab, "keytab", "k", "", "list the entries of this keytab `file`")
	fs.StringVar(&f.principal, "principal", "", "client principal wanted for the URL, `name@REALM`")
	fs.StringVar(&f.service, "service", "", "service `class` of the URL's SPN; default HTTP")
	fs.BoolVarP(&f.all, "all", "a", false, "list configuration entries of caches too")
	return func(ctx context.Context, args []string, w world) int {
		if len(args) > 1 {
			return usageError(w, fmt.Errorf("want one URL at most, got %d arguments", len(args)))
		}
		if err := f.check(args, fs); err != nil {
			return usageError(w, err)
		}
		e := &explainer{}
		code := f.run(ctx, args, w, e)
		if _, err := io.WriteString(w.stdout, e.out.String()); err != nil {
			return unwritten(w, err)
		}
		return code
	}
}

// check looks at arguments and flags together.
func (f *klistFlags) check(args []string, fs *pflag.FlagSet) error {
	if err := checkEmpty(fs, "ccache", "keytab", "principal", "service"); err != nil {
		return err
	}
	switch {
	case len(args) == 1 && f.keytab != "" && strings.Trim(f.keytab, "teK") == "" && !strings.Contains(args[0], "://"): // of MIT's klist -kte FILE
		return errors.New("-k has the file: want -k FILE alone, since times and encryption types are listed anyway")
	case f.ccache != "" && f.keytab != "":
		return errors.New("--keytab and --ccache exclude each other")
	case len(args) == 0 && (f.principal != "" || f.service != ""):
		return errors.New("--principal and --service are for a URL: want one")
	case f.keytab != "" && f.all:
		return errors.New("--all is for caches: --keytab has no configuration entries")
	}
	return nil
}

func (f *klistFlags) run(ctx context.Context, args []string, w world, e *explainer) int {
	conf, err := krb5conf.LoadDefault(krb5conf.Options{Getenv: w.getenv})
	if err != nil {
		complain(w, "krb5.conf: %v", err)
		return exitConfiguration
	}
	code := exitOK
	if len(args) == 1 {
		if code = f.choose(ctx, args[0], w, e); code == exitUsage || code == exitConfiguration {
			return code
		}
	}
	if f.keytab != "" {
		if err := listKeytab(ctx, f.keytab, e); err != nil {
			complain(w, "keytab: %v", err)
			return exitCredentials
		}
		return code
	}
	err = f.list(ctx, conf, w, e)
	any := err == nil
	if f.ccache == "" {
		any = listClientKeytabs(ctx, conf, w, e) || any
	}
	switch {
	case err != nil && !any:
		message{what: err.Error(), try: "run kinit"}.write(w.stderr)
		return exitCredentials
	case err != nil:
		e.say("%v", err)
	}
	return code
}

// choose says which credentials a request to the URL takes.
func (f *klistFlags) choose(ctx context.Context, address string, w world, e *explainer) int {
	u, err := parseURL(address)
	if err != nil {
		return usageError(w, err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return usageError(w, err)
	}
	t := middleware.TargetOf(r)
	if err := t.Check(); err != nil {
		return usageError(w, err)
	}
	maker, err := policy.NewNamer(policy.Names{Service: f.service})
	if err != nil {
		return usageError(w, fmt.Errorf("--service: %w", err))
	}
	name, _ := maker.For(t)
	source, err := f.source(w)
	if err != nil {
		return failed(ctx, w, err)
	}
	c, err := source.Choose(ctx, name)
	if err != nil {
		return failed(ctx, w, err)
	}
	e.fact("for", "%s, which is %s", bare(u), name)
	e.fact("taken", "%s", c.Credentials)
	if c.Client != "" {
		e.fact("as", "%s", c.Client)
	}
	if c.Why != "" {
		e.fact("because", "%s", c.Why)
	}
	e.say("")
	return exitOK
}

func (f *klistFlags) source(w world) (*kerberos.Source, error) {
	o := kerberos.SourceOptions{Getenv: w.getenv, Principal: f.principal, ReadOnlyCache: true}
	switch {
	case f.keytab != "":
		return kerberos.FromKeytab(f.keytab, o)
	case f.ccache != "":
		return kerberos.FromCCache(f.ccache, o)
	}
	return kerberos.FromEnvironment(o)
}

// list lists the caches of the collection.
func (f *klistFlags) list(ctx context.Context, conf *krb5conf.Config, w world, e *explainer) error {
	name, err := f.cacheName(conf, w)
	if err != nil {
		return err
	}
	collection, err := openCollection(name, conf)
	if err != nil {
		return fmt.Errorf("credential cache %s: %w", name, err)
	}
	primary, err := collection.Primary(ctx)
	if err != nil {
		return fmt.Errorf("credential cache %s: %w", name, err)
	}
	stores, err := collection.Stores(ctx)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("credential cache %s: %w", name, err)
	}
	if len(stores) == 0 {
		return fmt.Errorf("credential cache %s: there is none", primary.Name())
	}
	read := false
	for _, s := range stores {
		mark := ""
		if len(stores) > 1 && s.Name() == primary.Name() {
			mark = ", the primary one"
		}
		e.say("credential cache %s%s", s.Name(), mark)
		e.within(func() { read = f.cache(ctx, s, e) || read })
	}
	if !read {
		return fmt.Errorf("credential cache %s: nothing of it can be read", name)
	}
	return nil
}

// cacheName is the name of the collection, by the same order in which a source looks.
func (f *klistFlags) cacheName(conf *krb5conf.Config, w world) (ccache.Name, error) {
	text := f.ccache
	if text == "" {
		text = w.getenv("KRB5CCNAME")
	}
	if text == "" {
		text = conf.DefaultCCacheName
	}
	if text == "" {
		return ccache.Name{}, errors.New("no credential cache is named, and Windows has no default one: name it in KRB5CCNAME")
	}
	text, err := krb5conf.Options{Getenv: w.getenv}.Expand(text)
	if err != nil {
		return ccache.Name{}, fmt.Errorf("credential cache: %w", err)
	}
	return ccache.ParseName(text)
}

func openCollection(n ccache.Name, conf *krb5conf.Config) (ccache.Collection, error) {
	switch n.Type {
	case "KCM":
		return kcm.Open(n, kcm.Options{Socket: conf.KCMSocket})
	case "KEYRING":
		return keyring.Open(n)
	}
	return ccache.Open(n)
}

// cache lists one cache, and reports whether it can be read.
func (f *klistFlags) cache(ctx context.Context, s ccache.Store, e *explainer) bool {
	c, err := s.Load(ctx)
	if err != nil {
		e.say("cannot be read: %v", err)
		return false
	}
	e.fact("principal", "%s", c.Client)
	if c.KDCOffset != 0 {
		e.fact("clock", "the KDC's differs by %s", c.KDCOffset)
	}
	if f.all {
		for _, k := range c.Config {
			e.fact("configuration", "%s %s: %d bytes", k.Key, k.Principal, len(k.Value))
		}
	}
	now := time.Now()
	for _, t := range c.Credentials {
		e.say("%s", t.Server)
		e.within(func() { ticketFacts(&t, now, e) })
	}
	if c.Torn != nil {
		e.say("the rest cannot be read: %v", c.Torn)
	}
	return true
}

func ticketFacts(t *ccache.Credential, now time.Time, e *explainer) {
	from := t.StartTime
	if from.IsZero() {
		from = t.AuthTime
	}
	over := ""
	if !now.Before(t.EndTime) {
		over = ", which is over"
	}
	e.fact("valid", "from %s until %s%s", utc(from), utc(t.EndTime), over)
	if !t.RenewTill.IsZero() {
		e.fact("renewable", "until %s", utc(t.RenewTill))
	}
	e.fact("flags", "%s", krb.FlagNames(t.Flags))
	seal := "of no form that is known"
	if ticket, err := krb.ParseTicket(t.Raw); err == nil {
		seal = fmt.Sprintf("sealed with %s, %s", etype(ticket.EncPart.Etype), kvno(ticket.EncPart.Kvno))
		if !ticket.Server.Equal(t.Server) {
			seal += ", for " + ticket.Server.String()
		}
	}
	e.fact("ticket", "%s", seal)
	e.fact("session key", "%s", etype(t.Etype()))
}

// listClientKeytabs lists the client keytab, if there is one.
func listClientKeytabs(ctx context.Context, conf *krb5conf.Config, w world, e *explainer) (any bool) {
	names := conf.ClientKeytabs()
	if name := w.getenv("KRB5_CLIENT_KTNAME"); name != "" {
		names = []string{name}
	}
	for _, name := range names {
		path, err := krb5conf.Options{Getenv: w.getenv}.Expand(name)
		if err != nil {
			continue
		}
		if err := listKeytab(ctx, path, e); err == nil {
			any = true
		} else if !errors.Is(err, fs.ErrNotExist) {
			e.say("client keytab %s cannot be read: %v", path, err)
		}
	}
	return any
}

func listKeytab(ctx context.Context, path string, e *explainer) error {
	entries, err := readKeys(ctx, path)
	if err != nil {
		return err
	}
	e.say("keytab %s", strings.TrimPrefix(path, "FILE:"))
	e.within(func() {
		for _, k := range entries {
			when := ""
			if !k.Time.IsZero() {
				when = ", written " + utc(k.Time)
			}
			note := ""
			if _, err := k.Key(); err != nil {
				note = ", which cannot be used: " + err.Error()
			}
			e.say("%s: key version %d, %s%s%s", k.Principal, k.Kvno, etype(k.Etype), when, note)
		}
	})
	return nil
}
