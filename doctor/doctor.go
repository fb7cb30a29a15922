package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/internal/inspect"
	"github.com/kerbchain/kerbchain/internal/messages"
	"github.com/kerbchain/kerbchain/internal/policy"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// Options say what to examine. The zero value is a request of [client.New] with its
// zero options: with the credentials of the environment, say.
type Options struct {
	// Client are the options of the client whose requests are examined. What its
	// Source or Initiator goes by is seen if that is a [*kerberos.Source].
	Client client.Options
	// Timeout bounds each part of the examination, such as the questions to DNS; 0
	// means ten seconds. A part that takes longer fails, and the next one begins.
	Timeout time.Duration
	// CredentialsErr says why credentials that Client was to have are not there, such as the
	// keytab of Armor that cannot be read. Nothing is signed then, the check of credentials
	// fails with it, and the rest is examined.
	CredentialsErr error
}

const defaultTimeout = 10 * time.Second

// Examine looks at a URL, which must begin with http:// or https://. What it finds,
// wrong options and unreadable files among it, is in the report. An error of type
// [*middleware.Error] says that the URL is none for which there can be a ticket. When
// ctx ends, what was not looked at yet is skipped.
func Examine(ctx context.Context, address string, o Options) (*Report, error) {
	x, err := newExamination(ctx, address, o)
	if err != nil {
		return nil, err
	}
	for _, part := range []func(context.Context){x.configuration, x.credentials, x.host, x.server, x.probe, x.initiate, x.exchange, x.verdict} {
		if ctx.Err() != nil {
			x.say("examination", Fail, nil, fmt.Sprintf("cut short: %v", context.Cause(ctx)), "give it more time")
			break
		}
		x.within(ctx, part)
	}
	x.report.OK = !slices.ContainsFunc(x.report.Checks, func(c Check) bool { return c.Status == Fail })
	x.report.Try = best(x.advice)
	return &x.report, nil
}

// An examination is what is known so far.
type examination struct {
	o      Options
	now    func() time.Time
	url    *url.URL
	target middleware.Target
	report Report
	advice []advice

	confErr   error                // why krb5.conf, or an option, is not to be used
	sourceErr error                // why there is no source or no initiator: confErr, or another
	in        middleware.Initiator // nil where there is none
	inside    inspect.Source       // Config is nil where nothing can be seen of it
	choice    kerberos.Choice
	choiceErr error                  // why no credentials were chosen
	barred    bool                   // nothing is to be sent to the server
	unread    bool                   // AllowedHosts cannot be read
	fixed     bool                   // the service principal does not come of the URL
	principal string                 // the client principal wanted, "" for whichever there is
	armor     *kerberos.Source       // whose ticket protects the login; nil for none
	dns       kerberos.Canonicalizer // finds other names of hosts; nil where nothing does

	canonical     string  // another name that DNS has for the host, "" for none
	canonicalized bool    // it is used where the KDC does not know the name in the URL
	first         *answer // what the server said without a token; nil if it was not asked
	asked         bool    // it wants Negotiate
	told          bool    // that it does not authenticate over HTTP/2

	realms    []probed
	context   middleware.SecurityContext // nil where there is no ticket
	ticket    middleware.TicketEvent
	ticketErr error
	explained bool // what failed before explains ticketErr
	token     []byte
	tokenErr  error
}

func newExamination(ctx context.Context, address string, o Options) (*examination, error) {
	wrong := func(err error) error {
		return &middleware.Error{Stage: stage, Kind: middleware.ErrConfiguration, Err: err, Hint: "give a URL that begins with http:// or https://"}
	}
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return nil, wrong(errors.New("the URL cannot be parsed")) // err would repeat it
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, wrong(errors.New("the URL is not one of HTTP"))
	}
	u.User, u.Fragment = nil, "" // nobody is to be told, or signed in by other means
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, wrong(errors.New("no request can be made of the URL"))
	}
	x := &examination{o: o, url: u, target: middleware.TargetOf(r), now: time.Now}
	if wrong := x.target.Check(); wrong != nil {
		return nil, wrong
	}
	if o.Client.Now != nil {
		x.now = o.Client.Now
	}
	if x.o.Timeout <= 0 {
		x.o.Timeout = defaultTimeout
	}
	bare := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	x.report = Report{URL: bare.String(), Checks: []Check{}}
	x.open(ctx)
	return x, nil
}

const stage = "doctor"

// open makes the source and the initiator, and has the source choose.
func (x *examination) open(ctx context.Context) {
	if !x.o.Client.Enterprise { // an alias says nothing of the realm
		x.principal, _, _ = kerberos.SplitPassword(x.o.Client.Principal)
	}
	x.armor = x.o.Client.Armor
	if x.sourceErr = x.o.CredentialsErr; x.sourceErr == nil {
		x.in, x.sourceErr = x.signs()
	}
	if x.confErr = x.destination(); x.sourceErr == nil {
		x.sourceErr = x.confErr
	}
	if x.sourceErr != nil {
		x.in = nil
		x.openConfiguration(ctx)
		return
	}
	x.dns, _ = x.o.Client.Source.(kerberos.Canonicalizer)
	source, ok := x.o.Client.Source.(*kerberos.Source)
	if !ok {
		return
	}
	x.within(ctx, func(ctx context.Context) {
		x.choice, x.choiceErr = source.Choose(inspect.Ask(ctx, &x.inside), x.report.Service)
	})
}

// signs makes what signs requests.
func (x *examination) signs() (middleware.Initiator, error) {
	o := x.o.Client
	if with, err := o.WithSource(); err == nil { // else there is an initiator, or NewInitiator says what is wrong
		if o.Source == nil { // a source of our own leaves caches and passwords as they are
			o.ReadOnlyCache, o.NewPassword = true, nil
			if with, err = o.WithSource(); err != nil {
				return nil, err
			}
		}
		o = with
		x.o.Client = o
	}
	return client.NewInitiator(o)
}

// destination finds out for which service a ticket is wanted, and whether its server may
// get one. It gets nothing if the list of those that do cannot be read.
func (x *examination) destination() error {
	o := x.o.Client
	hosts, err := policy.NewHosts(o.AllowedHosts, nil)
	if err != nil {
		x.barred, x.unread = true, true
		return err
	}
	x.barred = !hosts.Allow(x.target)
	maker, err := policy.NewNamer(policy.Names{Service: o.Service, HostOverride: o.HostOverride, HostOverrides: o.HostOverrides, PortInSPN: o.PortInSPN})
	if err == nil {
		x.report.Service, x.fixed = maker.For(x.target)
	}
	return err
}

// openConfiguration looks at krb5.conf where there are no credentials to go by, for what
// it says of realms and KDCs.
func (x *examination) openConfiguration(ctx context.Context) {
	if errors.Is(x.sourceErr, middleware.ErrConfiguration) && x.o.CredentialsErr == nil {
		x.confErr = x.sourceErr
	}
	with, err := x.o.Client, error(nil)
	source, ok := with.Source.(*kerberos.Source) // that of the client, if it could be made
	if !ok {
		with, err = client.Options{
			Credentials: client.CredentialsOwn, ReadOnlyCache: true, Krb5Conf: with.Krb5Conf, Krb5ConfText: with.Krb5ConfText,
			AllowRC4: with.AllowRC4, Dial: with.Dial, Resolver: with.Resolver, Now: with.Now, Getenv: with.Getenv,
		}.WithSource()
		source, ok = with.Source.(*kerberos.Source)
	}
	if !ok {
		x.confErr = cmp.Or(x.confErr, err)
		return
	}
	x.dns = source
	x.within(ctx, func(ctx context.Context) {
		_, _ = source.Choose(inspect.Ask(ctx, &x.inside), x.report.Service)
	})
	// Other credentials than those that were wanted are nobody's business.
	x.inside.Store, x.inside.Keytab, x.inside.ClientKeytabs = nil, "", nil
}

// within gives a part of the examination its time.
func (x *examination) within(ctx context.Context, part func(context.Context)) {
	ctx, cancel := context.WithTimeoutCause(ctx, x.o.Timeout, fmt.Errorf("not done within %s", x.o.Timeout))
	defer cancel()
	part(ctx)
}

// facts are those of a check.
type facts map[string]any

// say notes what came of a check, and what to try if it is not as it should be.
func (x *examination) say(name string, s Status, f facts, text string, try ...string) {
	x.report.Checks = append(x.report.Checks, Check{Name: name, Status: s, Text: text, Facts: f})
	for _, t := range try {
		if t != "" {
			x.advice = append(x.advice, advice{s, t})
		}
	}
}

// skip notes that there is nothing to look at.
func (x *examination) skip(name, why string) { x.say(name, Skip, nil, why) }

// fails notes an error, and what to try.
func (x *examination) fails(name string, err error, otherwise string) {
	text, try := failure(err)
	x.say(name, Fail, nil, text, cmp.Or(try, otherwise))
}

// failure is the cause of an error in one line, and what to try. The check says what
// failed, for whom.
func failure(err error) (text, try string) {
	m := messages.Of(err)
	return cmp.Or(m.Why, m.What), m.Try
}
