package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/doctor"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

const doctorIntro = `Looks at all that is between the credentials and the answer of the URL, in the order
in which a request meets it: krb5.conf, caches and keytabs, DNS, clocks, KDCs, the
ticket, channel bindings, and what the server makes of it. Each line is one check: ok,
warn where it works all the same or for some, FAIL where a request fails because of
it, or skip. At most three things to try come after them. It sends no more than a few
GETs, changes nothing, and prints no secrets. The status is 1 if a check failed.
`

type doctorFlags struct {
	getFlags
	json bool
}

func defineDoctor(fs *pflag.FlagSet) func(context.Context, []string, world) int {
	f := &doctorFlags{getFlags: getFlags{preemptive: "off", untouched: true}}
	fs.BoolVar(&f.json, "json", false, "print the report as JSON, in which each check has its facts")
	fs.DurationVar(&f.timeout, "timeout", 0, "give up each part after this time; default 10s")
	f.clientFlags(fs)
	return func(ctx context.Context, args []string, w world) int {
		return leaving(ctx, w, func() int {
			if err := f.examined(args, fs); err != nil {
				return usageError(w, err)
			}
			o, err := f.options(w)
			if err != nil {
				return usageError(w, err)
			}
			return f.run(ctx, o, w)
		})
	}
}

// examined reads arguments and flags together.
func (f *doctorFlags) examined(args []string, fs *pflag.FlagSet) error {
	if len(args) != 1 {
		return fmt.Errorf("want one URL, got %d arguments", len(args))
	}
	f.url = args[0]
	_, err := parseURL(f.url)
	switch {
	case err != nil:
		return err
	case f.timeout < 0:
		return fmt.Errorf("--timeout %s is negative", f.timeout)
	}
	return f.checkClient(fs)
}

// options turns flags into the doctor's options. A file that cannot be used is no wrong
// usage here, but what is to be found out.
func (f *doctorFlags) options(w world) (o doctor.Options, err error) {
	o.Timeout = f.timeout
	if o.Client, err = f.names(w); err != nil {
		return o, err
	}
	o.Client.Password, err = f.password(w)
	unread, ok := errors.AsType[*fileError](err)
	switch {
	case ok && unread.name != "-":
		o.CredentialsErr = unread.wrong(middleware.ErrCredentials)
	case err != nil:
		return o, err
	}
	t, err := f.transport()
	if unread, ok := errors.AsType[*fileError](err); ok {
		t = kerbchain.NewTransport()
		t.Proxy = nil
		t.DialContext = func(context.Context, string, string) (net.Conn, error) {
			return nil, unread.wrong(middleware.ErrConfiguration)
		}
	} else if err != nil {
		return o, err
	}
	o.Client.Transport = t
	if o.CredentialsErr != nil {
		return o, nil
	}
	signed := o.Client
	signed.ReadOnlyCache = f.asUser != "" // of sources that it makes, the doctor sees to it by itself
	signed, err = f.signing(signed)
	if err != nil {
		o.CredentialsErr = err
		return o, nil
	}
	o.Client = signed
	return o, nil
}

func (f *doctorFlags) run(ctx context.Context, o doctor.Options, w world) int {
	if f.asUser != "" {
		ctx = kerberos.AsUser(ctx, f.asUser)
	}
	r, err := doctor.Examine(ctx, f.url, o)
	if err != nil {
		return failed(ctx, w, err)
	}
	if i, ok := errors.AsType[interruption](context.Cause(ctx)); ok {
		complain(w, "%v", i)
		return i.status()
	}
	if err := f.print(r, w); err != nil {
		return unwritten(w, err)
	}
	if !r.OK {
		return exitFailed
	}
	return exitOK
}

// ofGet says of the flags that doctor lacks whose they are.
var ofGet = strings.NewReplacer(
	"--no-sanitize", "kerbchain get --no-sanitize", "--allow-downgrade", "kerbchain get --allow-downgrade",
	"--preemptive always", "kerbchain get --preemptive always", "--trust-connection", "kerbchain get --trust-connection",
)

// print prints a report, in the command's words.
func (f *doctorFlags) print(r *doctor.Report, w world) error {
	for i := range r.Checks {
		r.Checks[i].Text = ofGet.Replace(inWords.Replace(r.Checks[i].Text))
	}
	for i := range r.Try {
		r.Try[i] = ofGet.Replace(inWords.Replace(r.Try[i]))
	}
	var b strings.Builder
	if !f.json {
		b.WriteString(r.String())
	} else {
		e := json.NewEncoder(&b)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		if err := e.Encode(r); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w.stdout, b.String())
	return err
}
