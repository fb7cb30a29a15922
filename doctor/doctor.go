package doctor

import (
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
	"github.com/kerbchain/kerbchain/internal/spn"
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
	for _, part := range []func(context.Context){x.configuration, x.credentials} {
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

	sourceErr error                // why there is no source or no initiator
	in        middleware.Initiator // nil where there is none
	inside    inspect.Source       // Config is nil where nothing can be seen of it
	choice    kerberos.Choice
	choiceErr error // why no credentials were chosen
	barred    bool  // nothing is to be sent to the server
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
	o := x.o.Client
	if o.Initiator == nil {
		if o, x.sourceErr = o.WithSource(); x.sourceErr != nil {
			return
		}
		x.o.Client = o
	}
	if x.in, x.sourceErr = client.NewInitiator(o); x.sourceErr != nil {
		return
	}
	maker, err := spn.New(spn.Options{Service: o.Service, HostOverride: o.HostOverride, HostOverrides: o.HostOverrides, PortInSPN: o.PortInSPN})
	if err != nil {
		x.sourceErr = err
		return
	}
	x.report.Service, _ = maker.For(x.target)
	x.barred = !policy.NewHosts(o.AllowedHosts, nil).Allow(x.target)
	source, ok := o.Source.(*kerberos.Source)
	if !ok {
		return
	}
	x.within(ctx, func(ctx context.Context) {
		x.choice, x.choiceErr = source.Choose(inspect.Ask(ctx, &x.inside), x.report.Service)
	})
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

// fails notes an error.
func (x *examination) fails(name string, err error) {
	m := messages.Of(err)
	text := m.What
	if m.Why != "" {
		text += ": " + m.Why
	}
	x.say(name, Fail, nil, text, m.Try)
}
