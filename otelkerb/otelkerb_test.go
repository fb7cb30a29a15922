package otelkerb

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/client/clienttest"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// An sdk is OpenTelemetry with exporters in memory.
type sdk struct {
	spans  *tracetest.InMemoryExporter
	traces *sdktrace.TracerProvider
	reader *sdkmetric.ManualReader
	meters *sdkmetric.MeterProvider
}

func newSDK(t *testing.T) *sdk {
	s := &sdk{spans: tracetest.NewInMemoryExporter(), reader: sdkmetric.NewManualReader()}
	s.traces = sdktrace.NewTracerProvider(sdktrace.WithSyncer(s.spans))
	s.meters = sdkmetric.NewMeterProvider(sdkmetric.WithReader(s.reader))
	t.Cleanup(func() {
		if err := errors.Join(s.traces.Shutdown(context.Background()), s.meters.Shutdown(context.Background())); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *sdk) observer() *Observer {
	return New(Options{TracerProvider: s.traces, MeterProvider: s.meters})
}

// otelhttp wraps a transport in what most programs have.
func (s *sdk) otelhttp(rt http.RoundTripper) http.RoundTripper {
	return otelhttp.NewTransport(rt, otelhttp.WithTracerProvider(s.traces), otelhttp.WithMeterProvider(s.meters),
		otelhttp.WithPropagators(propagation.TraceContext{}))
}

// metrics returns the points of our instruments, as "name{attribute=value,...}", with
// their counts. Addresses are left out: they are other ones in each run.
func (s *sdk) metrics(t *testing.T) map[string]int {
	t.Helper()
	out := map[string]int{}
	s.points(t, func(name string, set attribute.Set, count int) {
		var parts []string
		for _, kv := range set.ToSlice() {
			if k := string(kv.Key); k != "server.address" && k != "server.port" && k != "network.protocol.name" {
				parts = append(parts, strings.TrimPrefix(k, "kerberos.")+"="+kv.Value.String())
			}
		}
		out[strings.TrimPrefix(name, "kerberos.client.")+"{"+strings.Join(parts, ",")+"}"] += count
	})
	return out
}

func (s *sdk) points(t *testing.T, yield func(name string, set attribute.Set, count int)) {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := s.reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	for _, m := range all.ScopeMetrics {
		if m.Scope.Name != scope {
			continue
		}
		for _, m := range m.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					yield(m.Name, p.Attributes, int(p.Value))
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					yield(m.Name, p.Attributes, int(p.Count))
				}
			default:
				t.Errorf("%s is a %T", m.Name, data)
			}
		}
	}
}

// An intranet is a realm with a web service, within the process.
type intranet struct {
	realm  *fakekdc.Realm
	web    *fakeweb.Handler
	server *fakeweb.Server
}

func newIntranet(t *testing.T, o fakeweb.Options) *intranet {
	return serve(t, o, fakeweb.ServerOptions{InMemory: true}, fakekdc.WithoutSockets())
}

func serve(t *testing.T, o fakeweb.Options, so fakeweb.ServerOptions, opts ...fakekdc.Option) *intranet {
	realm := fakekdc.Start(t, append(opts, fakekdc.WithRealm("EXAMPLE.COM"),
		fakekdc.WithUser("alice", "secret-of-alice"), fakekdc.WithService("HTTP/localhost"))...)
	web := fakeweb.New(realm, "HTTP/localhost", o)
	return &intranet{realm, web, fakeweb.Serve(realm, web, so)}
}

// base is what reaches the service.
func (in *intranet) base(t *testing.T) *http.Transport {
	base := in.server.Transport()
	t.Cleanup(base.CloseIdleConnections)
	return base
}

// transport logs in as alice with her password.
func (in *intranet) transport(t *testing.T, base http.RoundTripper) http.RoundTripper {
	t.Helper()
	o := clienttest.Options(t, in.realm, "", client.Options{Principal: "alice", Password: kerberos.NewSecret("secret-of-alice"), Transport: base})
	rt, err := client.NewTransport(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup((&http.Client{Transport: rt}).CloseIdleConnections)
	return rt
}

// get sends a request, and returns the status.
func get(ctx context.Context, rt http.RoundTripper, url string) (int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := (&http.Client{Transport: rt}).Do(r)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, errors.Join(err, resp.Body.Close())
}

func attributes(s tracetest.SpanStub) map[string]string {
	out := map[string]string{}
	for _, kv := range s.Attributes {
		out[string(kv.Key)] = kv.Value.String()
	}
	return out
}

func named(spans tracetest.SpanStubs, name string) (out tracetest.SpanStubs) {
	for _, s := range spans {
		if s.Name == name {
			out = append(out, s)
		}
	}
	return out
}

// The first request logs in, fetches a ticket and is challenged, and the second finds the
// ticket. Exchanges are children of otelhttp's span, which bears the other events, and
// whose identity reaches the server with each request.
func TestAroundRequests(t *testing.T) {
	in, s := serve(t, fakeweb.Options{}, fakeweb.ServerOptions{}), newSDK(t)
	var mu sync.Mutex
	var parents []string
	base := in.base(t)
	seen := kerbchain.Next(func(r *http.Request) (*http.Response, error) {
		mu.Lock()
		defer mu.Unlock()
		parents = append(parents, r.Header.Get("Traceparent"))
		return base.RoundTrip(r)
	})
	rt := s.otelhttp(kerbchain.Wrap(in.transport(t, seen), s.observer().Middleware()))
	for range 2 {
		if status, err := get(t.Context(), rt, in.server.URL()); status != 200 || err != nil {
			t.Fatal(status, err)
		}
	}
	spans := s.spans.GetSpans()
	calls := named(spans, "HTTP GET")
	if len(calls) != 2 {
		t.Fatalf("spans %v", spans.Snapshots())
	}
	first := calls[0].SpanContext
	as, tgs := named(spans, "AS EXAMPLE.COM"), named(spans, "TGS EXAMPLE.COM")
	if len(as) != 2 || len(tgs) != 1 {
		t.Fatalf("%d and %d exchanges, want one without pre-authentication, one with it, and one for a ticket", len(as), len(tgs))
	}
	for _, x := range slices.Concat(as, tgs) {
		if x.Parent.SpanID() != first.SpanID() || x.SpanContext.TraceID() != first.TraceID() {
			t.Errorf("%s is no child of the call", x.Name)
		}
		if x.SpanKind != trace.SpanKindClient || x.Status.Code == codes.Error {
			t.Errorf("%s is %v, %v", x.Name, x.SpanKind, x.Status)
		}
		if x.StartTime.Before(calls[0].StartTime) || x.EndTime.After(calls[0].EndTime) || !x.StartTime.Before(x.EndTime) {
			t.Errorf("%s lasts from %v to %v, the call from %v to %v", x.Name, x.StartTime, x.EndTime, calls[0].StartTime, calls[0].EndTime)
		}
	}
	if got := attributes(as[1])["kerberos.preauth"]; got != "timestamp" {
		t.Errorf("the second login bore %q", got)
	}
	got := attributes(as[0])
	delete(got, "server.port")
	if d := cmp.Diff(map[string]string{
		"kerberos.exchange": "AS", "kerberos.realm": "EXAMPLE.COM", "kerberos.response.code": "25",
		"network.transport": "udp", "network.protocol.name": "kerberos", "server.address": "127.0.0.1",
	}, got); d != "" {
		t.Error(d)
	}
	for i, want := range [][]string{
		{"kerberos.challenge", "kerberos.ticket", "kerberos.token", "kerberos.send", "kerberos.verdict"},
		{"kerberos.ticket", "kerberos.token", "kerberos.send", "kerberos.verdict"}, // the connection proved itself
	} {
		var names []string
		for _, e := range calls[i].Events {
			names = append(names, e.Name)
		}
		if d := cmp.Diff(want, names); d != "" {
			t.Errorf("call %d: %s", i, d)
		}
	}
	if len(parents) != 3 {
		t.Errorf("%d requests were sent", len(parents))
	}
	for i, p := range parents {
		if call := calls[max(0, i-1)].SpanContext; !strings.Contains(p, call.TraceID().String()+"-"+call.SpanID().String()) {
			t.Errorf("request %d has the parent %q, want %s", i, p, call.SpanID())
		}
	}
	if d := cmp.Diff(map[string]int{
		"exchange.duration{exchange=AS,realm=EXAMPLE.COM,response.code=25,network.transport=udp}":  1,
		"exchange.duration{exchange=AS,preauth=timestamp,realm=EXAMPLE.COM,network.transport=udp}": 1,
		"exchange.duration{exchange=TGS,realm=EXAMPLE.COM,network.transport=udp}":                  1,
		"tickets{ticket.cached=false,ticket.etype=18}":                                             1,
		"tickets{ticket.cached=true,ticket.etype=18}":                                              1,
		"verdicts{mode=required,reason=none,verdict=verified}":                                     2,
	}, s.metrics(t)); d != "" {
		t.Error(d)
	}
}

// Below the stages otelhttp has a span for each request that is sent, beside those of
// the exchanges.
func TestBelowStages(t *testing.T) {
	in, s := newIntranet(t, fakeweb.Options{}), newSDK(t)
	rt := kerbchain.Wrap(in.transport(t, s.otelhttp(in.base(t))), s.observer().Middleware())
	ctx, span := s.traces.Tracer("application").Start(t.Context(), "report")
	status, err := get(ctx, rt, in.server.URL())
	span.End()
	if status != 200 || err != nil {
		t.Fatal(status, err)
	}
	count := map[string]int{}
	for _, x := range s.spans.GetSpans() {
		count[x.Name]++
		if x.Name != "report" && x.Parent.SpanID() != span.SpanContext().SpanID() {
			t.Errorf("%s is no child of the application's", x.Name)
		}
	}
	if d := cmp.Diff(map[string]int{"report": 1, "HTTP GET": 2, "AS EXAMPLE.COM": 2, "TGS EXAMPLE.COM": 1}, count); d != "" {
		t.Error(d)
	}
}

// Without a span, exchanges have spans of their own, and metrics are as ever; a login
// outside of requests is observed too.
func TestWithoutSpan(t *testing.T) {
	in, s := newIntranet(t, fakeweb.Options{}), newSDK(t)
	source, err := kerberos.FromPassword(kerberos.NewSecret("secret-of-alice"), kerberos.SourceOptions{Principal: "alice",
		Krb5ConfText: in.realm.Config(), Getenv: func(string) string { return "" }, Dial: in.realm.Dial})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := source.ServiceTicket(s.observer().Observe(t.Context()), "HTTP/localhost"); err != nil {
		t.Fatal(err)
	}
	for _, x := range s.spans.GetSpans() {
		if x.Parent.IsValid() {
			t.Errorf("%s has a parent", x.Name)
		}
	}
	if n := s.metrics(t)["exchange.duration{exchange=TGS,realm=EXAMPLE.COM,network.transport=udp}"]; n != 1 {
		t.Errorf("%v", s.metrics(t))
	}
}

// What goes wrong is counted by what went wrong, and is seen in the spans.
func TestFailures(t *testing.T) {
	for name, tc := range map[string]struct {
		faults  []fakekdc.Fault // of the KDC
		quirks  fakeweb.Quirks
		metrics []string
		event   string // of the call, with an attribute
		status  string // of an exchange
	}{
		"the server refuses": {
			quirks:  fakeweb.Quirks{Reject: true, RejectCode: 41},
			metrics: []string{"refusals{http.response.status_code=401,reason=krb_error}"},
			event:   "kerberos.refused error.type=token",
		},
		"the server proves nothing": {
			quirks: fakeweb.Quirks{Proof: fakeweb.ProofNone},
			metrics: []string{
				"verdicts{mode=required,reason=no_token,verdict=refused}",
				"errors{error.type=not_verified,stage=mutual,temporary=false}",
			},
			event: "kerberos.verdict error.type=not_verified",
		},
		"the KDC refuses": {
			faults: fakekdc.Repeat(99, fakekdc.ReplyError(fakekdc.CodeClientRevoked, nil)),
			metrics: []string{
				"exchange.duration{error.type=18,exchange=AS,realm=EXAMPLE.COM,response.code=18,network.transport=udp}",
				"errors{error.type=credentials,stage=kerberos,temporary=false}",
			},
			status: "KRB-ERROR 18",
		},
		"a code that means nothing": {
			faults:  fakekdc.Repeat(99, fakekdc.ReplyError(1<<30, nil)),
			metrics: []string{"exchange.duration{error.type=_OTHER,exchange=AS,realm=EXAMPLE.COM,response.code=_OTHER,network.transport=udp}"},
			status:  "KRB-ERROR _OTHER",
		},
		"the KDC is silent": {
			faults: fakekdc.Repeat(99, fakekdc.Silence()),
			metrics: []string{
				"exchange.duration{error.type=timeout,exchange=AS,realm=EXAMPLE.COM,network.transport=udp}",
				"errors{error.type=kdc,stage=kerberos,temporary=true}",
			},
			status: "i/o timeout",
		},
		"the KDC hangs up": {
			faults:  fakekdc.Repeat(99, fakekdc.ResetConnection()),
			metrics: []string{"exchange.duration{error.type=_OTHER,exchange=AS,realm=EXAMPLE.COM,network.transport=tcp}"},
			status:  "connection reset by peer",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in, s := newIntranet(t, fakeweb.Options{Quirks: tc.quirks}), newSDK(t)
				in.realm.FailNext(fakekdc.AS, tc.faults...)
				rt := s.otelhttp(kerbchain.Wrap(in.transport(t, in.base(t)), s.observer().Middleware()))
				_, err := get(t.Context(), rt, in.server.URL())
				t.Log(err)
				got := s.metrics(t)
				for _, want := range tc.metrics {
					if got[want] == 0 {
						t.Errorf("no %s among %v", want, got)
					}
				}
				if tc.event != "" && !slices.Contains(events(s.spans.GetSpans()), tc.event) {
					t.Errorf("no event %s among %v", tc.event, events(s.spans.GetSpans()))
				}
				if tc.status != "" && !slices.ContainsFunc(s.spans.GetSpans(), func(x tracetest.SpanStub) bool {
					return x.SpanKind == trace.SpanKindClient && x.Status.Code == codes.Error && strings.Contains(x.Status.Description, tc.status)
				}) {
					t.Errorf("no exchange failed with %q: %v", tc.status, s.spans.GetSpans())
				}
			})
		})
	}
}

// events returns each event with each of its attributes.
func events(spans tracetest.SpanStubs) (out []string) {
	for _, s := range spans {
		for _, e := range s.Events {
			for _, kv := range e.Attributes {
				out = append(out, e.Name+" "+string(kv.Key)+"="+kv.Value.String())
			}
		}
	}
	return out
}

// No secret reaches a span or a metric, wherever a request bears it; principals reach
// spans alone.
func TestSecrets(t *testing.T) {
	var bodies, tokens []string
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "cookie-of-the-server-6f1d"})
		w.Header().Set("Location", "/elsewhere?ticket=location-2a9b")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, "answer-77c0")
	})
	in, s := newIntranet(t, fakeweb.Options{Next: next}), newSDK(t)
	base := in.base(t)
	wire := kerbchain.Next(func(r *http.Request) (*http.Response, error) {
		resp, err := base.RoundTrip(r)
		for _, field := range append(r.Header.Values("Authorization"), resp.Header.Values("Www-Authenticate")...) {
			if _, token, ok := strings.Cut(field, " "); ok {
				tokens = append(tokens, token[max(0, len(token)-40):])
			}
		}
		return resp, err
	})
	rt := kerbchain.Wrap(in.transport(t, wire), s.observer().Middleware())
	ctx, span := s.traces.Tracer("application").Start(t.Context(), "report")
	for _, quirks := range []fakeweb.Quirks{{}, {Proof: fakeweb.ProofNone}, {Challenge: []string{"Negotiate challenge-51e2"}}, {Reject: true}} {
		in.web.SetQuirks(quirks)
		body := "question-0b3e"
		url := strings.Replace(in.server.URL(), "//", "//user:userinfo-44aa@", 1)
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/path-91fe;jsessionid=parameter-08c4?key=query-d5d5", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Cookie", "session=cookie-of-the-client-3e1b")
		r.Header.Set("X-Api-Key", "field-5c2d")
		resp, err := (&http.Client{Transport: rt}).Do(r)
		if err == nil {
			b, err := io.ReadAll(resp.Body)
			if err = errors.Join(err, resp.Body.Close()); err != nil {
				t.Fatal(err)
			}
			bodies = append(bodies, string(b))
		}
	}
	span.End()
	if !slices.Contains(bodies, "answer-77c0") || len(tokens) < 3 {
		t.Fatalf("the server said %q, tokens %q", bodies, tokens)
	}
	dump := fmt.Sprintf("%+v", s.spans.GetSpans())
	for _, want := range []string{"kerberos.refused", "kerberos.verdict", "alice@EXAMPLE.COM", "HTTP/localhost@EXAMPLE.COM"} {
		if !strings.Contains(dump, want) {
			t.Errorf("the spans do not hold %s", want)
		}
	}
	s.points(t, func(name string, set attribute.Set, _ int) {
		text := name + " " + set.Encoded(attribute.DefaultEncoder())
		dump += text
		for _, principal := range []string{"alice", "HTTP/", "krbtgt", "@"} {
			if strings.Contains(text, principal) {
				t.Errorf("the metric %s holds a principal", text)
			}
		}
	})
	for _, secret := range append(tokens, "secret-of-alice", "userinfo-44aa", "path-91fe", "parameter-08c4", "query-d5d5", "question-0b3e",
		"answer-77c0", "cookie-of-the-client-3e1b", "cookie-of-the-server-6f1d", "field-5c2d", "location-2a9b", "challenge-51e2") {
		if strings.Contains(dump, secret) {
			t.Errorf("%s is told", secret)
		}
	}
}

// What runs at once is counted once, and told by the span to which it belongs.
func TestConcurrentUse(t *testing.T) {
	in, s := newIntranet(t, fakeweb.Options{}), newSDK(t)
	rt := s.otelhttp(kerbchain.Wrap(in.transport(t, in.base(t)), s.observer().Middleware()))
	const calls = 40
	var wg sync.WaitGroup
	for range calls {
		wg.Go(func() {
			if status, err := get(t.Context(), rt, in.server.URL()); status != 200 || err != nil {
				t.Error(status, err)
			}
		})
	}
	wg.Wait()
	verdicts, tickets, exchanges := 0, 0, 0
	for name, n := range s.metrics(t) {
		switch {
		case strings.HasPrefix(name, "verdicts{"):
			verdicts += n
		case strings.HasPrefix(name, "tickets{"):
			tickets += n
		case strings.HasPrefix(name, "exchange.duration{"):
			exchanges += n
		}
	}
	// All wait for one login and one ticket, and each asks for that ticket.
	if verdicts != calls || tickets < calls || exchanges != 3 {
		t.Errorf("%d verdicts, %d tickets, %d exchanges of %d calls", verdicts, tickets, exchanges, calls)
	}
	spans := s.spans.GetSpans()
	for _, call := range named(spans, "HTTP GET") {
		n := 0
		for _, e := range call.Events {
			if e.Name == "kerberos.verdict" {
				n++
			}
		}
		if n != 1 {
			t.Errorf("a call has %d verdicts", n)
		}
	}
	if got := len(spans); got != calls+exchanges {
		t.Errorf("%d spans", got)
	}
}

// A request is counted once, though the stage stands twice and the request is made of
// the response to an earlier one.
func TestCountsOnce(t *testing.T) {
	in, s := newIntranet(t, fakeweb.Options{Quirks: fakeweb.Quirks{Proof: fakeweb.ProofNone, ProofOn: fakeweb.OnSuccess}}), newSDK(t)
	stage := s.observer().Middleware()
	rt := kerbchain.Wrap(in.transport(t, in.base(t)), stage, stage)
	ctx := t.Context()
	for range 3 {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, in.server.URL(), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := rt.RoundTrip(r)
		if err == nil {
			ctx = resp.Request.Context()
			if err := resp.Body.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := s.metrics(t)
	if n := got["verdicts{mode=required,reason=no_token,verdict=refused}"]; n != 3 {
		t.Errorf("%d verdicts of 3: %v", n, got)
	}
	if n := got["errors{error.type=not_verified,stage=mutual,temporary=false}"]; n != 3 {
		t.Errorf("%d errors of 3: %v", n, got)
	}
}

// Two observers each report what they see, and one reports it once.
func TestTwoObservers(t *testing.T) {
	one, two := newSDK(t), newSDK(t)
	ctx := two.observer().Observe(one.observer().Observe(t.Context()))
	middleware.Emit(ctx, middleware.TicketEvent{Cached: true})
	again := one.observer()
	middleware.Emit(again.Observe(again.Observe(t.Context())), middleware.RefusedEvent{})
	if d := cmp.Diff(map[string]int{"tickets{ticket.cached=true,ticket.etype=0}": 1, "refusals{http.response.status_code=0,reason=none}": 1}, one.metrics(t)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string]int{"tickets{ticket.cached=true,ticket.etype=0}": 1}, two.metrics(t)); d != "" {
		t.Error(d)
	}
}

// Each kind of event has a name of its own, those that may come to be have one in common.
func TestEveryEvent(t *testing.T) {
	all := []middleware.Event{
		middleware.ChallengeEvent{}, middleware.CredentialsEvent{}, middleware.WithheldEvent{Err: middleware.ErrNotAllowed},
		middleware.ConfigurationEvent{}, middleware.TicketEvent{}, middleware.CacheEvent{}, middleware.ForeignCacheEvent{},
		middleware.TokenEvent{}, middleware.SendEvent{}, middleware.RefusedEvent{}, middleware.DiscardEvent{},
		middleware.FallbackEvent{}, middleware.VerdictEvent{}, middleware.SanitizedEvent{},
	}
	seen := map[string]bool{}
	types := map[string]bool{"ExchangeEvent": true} // a span
	for _, e := range all {
		name, attributes := describe(e)
		if name == "event" || seen[name] || len(attributes) == 0 {
			t.Errorf("%T is %q with %v", e, name, attributes)
		}
		seen[name] = true
		types[strings.TrimPrefix(fmt.Sprintf("%T", e), "middleware.")] = true
	}
	if name, attributes := describe(nil); name != "event" || len(attributes) != 1 {
		t.Errorf("an unknown event is %q with %v", name, attributes)
	}
	f, err := parser.ParseFile(token.NewFileSet(), "../middleware/trace.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Name.Name == "event" {
			if name := fn.Recv.List[0].Type.(*ast.Ident).Name; !types[name] {
				t.Errorf("%s is not told", name)
			}
		}
	}
}

// Each reason has a name.
func TestReasons(t *testing.T) {
	n := middleware.ReasonNone
	for ; n.String() != fmt.Sprintf("reason %d", int(n)); n++ {
		if reasons[n] == "" {
			t.Errorf("%v has no name", n)
		}
	}
	if int(n) != len(reasons) || reason(n).Value.AsString() != "_OTHER" {
		t.Errorf("%d names for %d reasons, and beyond them %v", len(reasons), int(n), reason(n))
	}
}

// Whom a host names, however it is written.
func TestServer(t *testing.T) {
	for in, want := range map[string]string{
		"a.example:443":  "server.address=a.example server.port=443",
		"[::1]:88":       "server.address=::1 server.port=88",
		"a.example":      "server.address=a.example",
		"a.example:none": "server.address=a.example",
		"":               "server.address=",
	} {
		var parts []string
		for _, kv := range server(in) {
			parts = append(parts, string(kv.Key)+"="+kv.Value.String())
		}
		if got := strings.Join(parts, " "); got != want {
			t.Errorf("%q is %s, want %s", in, got, want)
		}
	}
}

// Verdicts and the ends of exchanges have names.
func TestNames(t *testing.T) {
	for want, e := range map[string]middleware.VerdictEvent{
		"verified":   {Verified: true},
		"trusted":    {Verified: true, Trusted: true},
		"unverified": {},
		"refused":    {Err: middleware.ErrNotVerified},
	} {
		set := attribute.NewSet(verdict(e)...)
		if v, _ := set.Value("kerberos.verdict"); v.AsString() != want {
			t.Errorf("%v is %q, want %q", e, v.AsString(), want)
		}
	}
	for want, e := range map[string]middleware.ExchangeEvent{
		"":         {},
		"7":        {Code: 7},
		"127":      {Code: 127},
		"_OTHER":   {Err: io.ErrUnexpectedEOF},
		"timeout":  {Err: fmt.Errorf("asked: %w", context.DeadlineExceeded)},
		"canceled": {Err: fmt.Errorf("asked: %w", context.Canceled)},
	} {
		if got := failure(e); got != want {
			t.Errorf("%v is %q, want %q", e, got, want)
		}
	}
	for _, code := range []int32{25, 52, 91} {
		if got := failure(middleware.ExchangeEvent{Code: code}); got != "" {
			t.Errorf("by %d a KDC asks for more, and that is %q", code, got)
		}
	}
}

// Where nobody records, nothing is described.
func TestCostsNothingUnrecorded(t *testing.T) {
	var e middleware.Event = middleware.TokenEvent{Host: "a.example:443"}
	o := newSDK(t).observer()
	if n := testing.AllocsPerRun(100, func() { o.note(t.Context(), e, time.Time{}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A proxy for KDCs is not taken for a KDC that speaks TCP.
func TestKDCProxy(t *testing.T) {
	got := exchange(middleware.ExchangeEvent{Address: "kkdcp.example:443", Network: "https"})
	set := attribute.NewSet(got...)
	if v, _ := set.Value("network.transport"); v.AsString() != "tcp" {
		t.Errorf("transport %v", v)
	}
	if v, _ := set.Value("network.protocol.name"); v.AsString() != "kkdcp" {
		t.Errorf("protocol %v", v)
	}
}

// What protected a login is told, and nothing of those that nothing protected.
func TestArmored(t *testing.T) {
	for want, e := range map[string]middleware.ExchangeEvent{
		"challenge true": {Preauth: "challenge", Armored: true},
		" false":         {},
	} {
		set := attribute.NewSet(exchange(e)...)
		preauth, said := set.Value("kerberos.preauth")
		armored, armour := set.Value("kerberos.armored")
		if got := fmt.Sprint(preauth.AsString(), " ", armored.AsBool()); got != want || said != (e.Preauth != "") || armour != e.Armored {
			t.Errorf("%q of %+v", got, e)
		}
	}
}
