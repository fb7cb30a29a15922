package logging_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/alloctest"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/logging"
)

func TestMain(m *testing.M) { testmain.Run(m) }

func TestConformance(t *testing.T) {
	loud := logrus.New()
	loud.SetOutput(io.Discard)
	loud.SetLevel(logrus.TraceLevel)
	for name, o := range map[string]logging.Options{
		"silent": {},
		"logrus": {Logger: loud},
		"slog":   {Handler: slog.NewJSONHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelDebug})},
	} {
		t.Run(name, func(t *testing.T) {
			stagetest.Run(t, func() kerbchain.Middleware { return logging.New(o) })
		})
	}
}

// A buffer may be written to from several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// records returns what was written as JSON, without times.
func (b *buffer) records(t *testing.T) []map[string]any {
	t.Helper()
	var out []map[string]any
	for line := range strings.Lines(b.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		delete(m, "time")
		out = append(out, m)
	}
	return out
}

func logrusJSON(b *buffer, level logrus.Level) *logrus.Logger {
	l := logrus.New()
	l.SetOutput(b)
	l.SetFormatter(&logrus.JSONFormatter{})
	l.SetLevel(level)
	return l
}

func slogJSON(b *buffer, level slog.Level) slog.Handler {
	return slog.NewJSONHandler(b, &slog.HandlerOptions{Level: level})
}

// emit is a stage that reports e, as those inside do.
func emit(events ...middleware.Event) kerbchain.Middleware {
	return func(next kerbchain.Next) kerbchain.Next {
		return func(r *http.Request) (*http.Response, error) {
			for _, e := range events {
				middleware.Emit(r.Context(), e)
			}
			return next(r)
		}
	}
}

var story = []middleware.Event{
	middleware.ChallengeEvent{Host: "web.test:443", Status: 401, Schemes: []string{"Negotiate", "Basic", "YIIFake"}, Requests: 1},
	middleware.ExchangeEvent{Kind: "TGS", Realm: "EXAMPLE.TEST", Address: "127.0.0.1:88", Network: "udp", Duration: 1500 * time.Microsecond},
	middleware.ExchangeEvent{Kind: "TGS", Realm: "EXAMPLE.TEST", Address: "127.0.0.2:88", Network: "tcp", Err: errors.New("connection refused")},
	middleware.ConfigurationEvent{Where: "/etc/krb5.conf:3", Text: "forwardable = \"maybe\": wanted true or false"},
	middleware.TicketEvent{SPN: "HTTP/web.test@EXAMPLE.TEST", Client: "alice@EXAMPLE.TEST", Source: "FILE:/tmp/cc", Cached: true, Etype: 18, Expires: time.Unix(1e9, 0)},
	middleware.TokenEvent{Host: "web.test:443", SPN: "HTTP/web.test@EXAMPLE.TEST", Bytes: 700, Mutual: true, Bound: true},
	middleware.SendEvent{Stage: "negotiate", Host: "web.test:443", Request: 2},
	middleware.RefusedEvent{Host: "web.test:443", Status: 401, Reason: middleware.ReasonKRBError, Err: errors.New("KRB_AP_ERR_MODIFIED")},
	middleware.RefusedEvent{Host: "web.test:443", Status: 431, Reason: middleware.ReasonTokenTooLarge, Bytes: 9000},
	middleware.DiscardEvent{Host: "web.test:443", SPN: "HTTP/web.test@EXAMPLE.TEST", Code: 44},
	middleware.FallbackEvent{Host: "web.test:443", Err: errors.New("HTTP_1_1_REQUIRED")},
	middleware.VerdictEvent{Host: "web.test:443", SPN: "HTTP/web.test@EXAMPLE.TEST", Mode: "required", Status: 200, Verified: true},
	middleware.VerdictEvent{Host: "web.test:443", Mode: "required", Status: 200, Reason: middleware.ReasonNoToken, Err: middleware.ErrNotVerified},
	middleware.SanitizedEvent{Host: "web.test:443", Status: 500},
}

func TestRecords(t *testing.T) {
	const inside, root = logging.Kerberos, logging.Root
	want := []map[string]any{
		{"level": "debug", "logger": inside, "call": 1., "msg": "challenge", "host": "web.test:443", "status": 401., "schemes": "Negotiate, Basic, other", "request": 1.},
		{"level": "debug", "logger": inside, "call": 1., "msg": "kdc exchange", "kind": "TGS", "realm": "EXAMPLE.TEST", "kdc": "127.0.0.1:88", "network": "udp", "duration_ms": 1.5, "code": 0.},
		{"level": "warning", "logger": inside, "call": 1., "msg": "kdc exchange", "kind": "TGS", "realm": "EXAMPLE.TEST", "kdc": "127.0.0.2:88", "network": "tcp", "duration_ms": 0., "code": 0., "error": "connection refused"},
		{"level": "warning", "logger": inside, "call": 1., "msg": "krb5.conf", "where": "/etc/krb5.conf:3", "warning": `forwardable = "maybe": wanted true or false`},
		{"level": "debug", "logger": inside, "call": 1., "msg": "ticket", "spn": "HTTP/web.test@EXAMPLE.TEST", "client": "alice@EXAMPLE.TEST", "source": "FILE:/tmp/cc", "cached": true, "etype": 18., "expires": "2001-09-09T01:46:40Z", "duration_ms": 0.},
		{"level": "debug", "logger": inside, "call": 1., "msg": "token", "host": "web.test:443", "spn": "HTTP/web.test@EXAMPLE.TEST", "scheme": "Negotiate", "bytes": 700., "mutual": true, "bound": true, "duration_ms": 0.},
		{"level": "debug", "logger": inside, "call": 1., "msg": "send", "stage": "negotiate", "host": "web.test:443", "request": 2., "again": false},
		{"level": "warning", "logger": inside, "call": 1., "msg": "token refused", "host": "web.test:443", "status": 401., "reason": "KRB-ERROR", "error": "KRB_AP_ERR_MODIFIED"},
		{"level": "warning", "logger": inside, "call": 1., "msg": "token refused", "host": "web.test:443", "status": 431., "reason": "token too large", "bytes": 9000.},
		{"level": "debug", "logger": inside, "call": 1., "msg": "ticket dropped", "host": "web.test:443", "spn": "HTTP/web.test@EXAMPLE.TEST", "code": 44.},
		{"level": "debug", "logger": inside, "call": 1., "msg": "HTTP/1.1 in place of HTTP/2", "host": "web.test:443", "error": "HTTP_1_1_REQUIRED"},
		{"level": "debug", "logger": inside, "call": 1., "msg": "verdict", "host": "web.test:443", "spn": "HTTP/web.test@EXAMPLE.TEST", "mode": "required", "status": 200., "verified": true},
		{"level": "warning", "logger": inside, "call": 1., "msg": "verdict", "host": "web.test:443", "mode": "required", "status": 200., "verified": false, "reason": "no token", "error": middleware.ErrNotVerified.Error()},
		{"level": "warning", "logger": inside, "call": 1., "msg": "sanitized", "host": "web.test:443", "status": 500.},
		{"level": "info", "logger": root, "call": 1., "msg": "call", "method": "GET", "url": "https://web.test/path", "status": 200., "duration_ms": 250., "requests": 2., "verified": false},
	}
	synctest.Test(t, func(t *testing.T) {
		var logged, handled buffer
		slow := func(next kerbchain.Next) kerbchain.Next {
			return func(r *http.Request) (*http.Response, error) {
				time.Sleep(250 * time.Millisecond)
				return next(r)
			}
		}
		next := kerbchain.Chain(
			logging.New(logging.Options{Logger: logrusJSON(&logged, logrus.DebugLevel), Handler: slogJSON(&handled, slog.LevelDebug)}),
			slow, emit(story...),
		)(kerbchain.Next(stagetest.Respond(200, "")))
		if _, err := next(httptest.NewRequest("", "https://user:pass@web.test/path?query=1#fragment", nil)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, logged.records(t)); diff != "" {
			t.Errorf("logrus, -want +got:\n%s", diff)
		}
		names := map[string]string{"debug": "DEBUG", "info": "INFO", "warning": "WARN"}
		for _, m := range want {
			m["level"] = names[m["level"].(string)]
		}
		if diff := cmp.Diff(want, handled.records(t)); diff != "" {
			t.Errorf("slog, -want +got:\n%s", diff)
		}
	})
}

func TestSummary(t *testing.T) {
	verified := func(next kerbchain.Next) kerbchain.Next {
		return func(r *http.Request) (*http.Response, error) {
			sc, err := new(stagetest.Initiator).Initiate(r.Context(), middleware.TargetOfURL(r.URL))
			for _, token := range [][]byte{nil, []byte(stagetest.ServerOK)} {
				if err == nil {
					_, err = sc.Step(r.Context(), token)
				}
			}
			if err != nil {
				return nil, err
			}
			return next(middleware.WithSecurity(r, sc))
		}
	}
	type fields = map[string]any
	for name, tc := range map[string]struct {
		stages []kerbchain.Middleware
		reply  stagetest.Reply
		want   fields
	}{
		"plain":                {nil, stagetest.Respond(204, ""), fields{"status": 204., "requests": 1., "verified": false}},
		"no request named":     {nil, stagetest.Anonymous(stagetest.Respond(204, "")), fields{"status": 204., "requests": 1., "verified": false}},
		"context verified":     {[]kerbchain.Middleware{verified}, stagetest.Respond(200, ""), fields{"status": 200., "requests": 1., "verified": true}},
		"verdict overrules":    {[]kerbchain.Middleware{emit(middleware.VerdictEvent{}), verified}, stagetest.Respond(200, ""), fields{"status": 200., "requests": 1., "verified": false}},
		"verdict":              {[]kerbchain.Middleware{emit(middleware.SendEvent{Request: 1}, middleware.VerdictEvent{Verified: true})}, stagetest.Respond(200, ""), fields{"status": 200., "requests": 1., "verified": true}},
		"verdict of a leg ago": {[]kerbchain.Middleware{emit(middleware.VerdictEvent{Verified: true}, middleware.ChallengeEvent{Requests: 1})}, stagetest.Respond(401, ""), fields{"status": 401., "requests": 1., "verified": false}},
		"legs":                 {[]kerbchain.Middleware{emit(middleware.ChallengeEvent{Requests: 1}, middleware.SendEvent{Request: 2}, middleware.ChallengeEvent{Requests: 2}, middleware.SendEvent{Request: 3})}, stagetest.Respond(200, ""), fields{"status": 200., "requests": 3., "verified": false}},
		"nothing was sent":     {nil, stagetest.Fail(errors.New("no way")), fields{"level": "warning", "error": "no way", "verified": false}},
		"error after a leg":    {[]kerbchain.Middleware{emit(middleware.ChallengeEvent{Requests: 1})}, stagetest.Fail(context.Canceled), fields{"level": "warning", "error": "context canceled", "requests": 1., "verified": false}},
	} {
		t.Run(name, func(t *testing.T) {
			var b buffer
			stage := logging.New(logging.Options{Logger: logrusJSON(&b, logrus.InfoLevel)})
			r := httptest.NewRequest(http.MethodPut, "http://web.test/", nil)
			_, err := kerbchain.Chain(append([]kerbchain.Middleware{stage}, tc.stages...)...)(kerbchain.Next(tc.reply))(r)
			if (err != nil) != (tc.want["error"] != nil) {
				t.Fatal(err)
			}
			want := fields{"level": "info", "logger": logging.Root, "call": 1., "msg": "call", "method": "PUT", "url": "http://web.test/"}
			maps.Copy(want, tc.want)
			got := b.records(t)
			for _, m := range got {
				delete(m, "duration_ms")
			}
			if diff := cmp.Diff([]fields{want}, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// A context that verified an earlier response says nothing of this one.
func TestSummaryOfAnEarlierRequest(t *testing.T) {
	i := new(stagetest.Initiator)
	r := httptest.NewRequest(http.MethodGet, "http://web.test/", nil)
	sc, err := i.Initiate(t.Context(), middleware.TargetOfURL(r.URL))
	for _, token := range [][]byte{nil, []byte(stagetest.ServerOK)} {
		if err == nil {
			_, err = sc.Step(t.Context(), token)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	var b buffer
	next := logging.New(logging.Options{Handler: slogJSON(&b, slog.LevelInfo)})(kerbchain.Next(stagetest.Respond(200, "")))
	if _, err := next(middleware.WithSecurity(r, sc)); err != nil {
		t.Fatal(err)
	}
	if got := b.records(t)[0]["verified"]; got != false {
		t.Errorf("got verified %v, want false", got)
	}
}

func TestLevels(t *testing.T) {
	type levels = map[string]slog.Leveler
	var changing slog.LevelVar
	changing.Set(slog.LevelWarn)
	for name, tc := range map[string]struct {
		own    slog.Level // of logger and handler
		levels levels
		fail   bool
		want   []string // "logger: level" of the records
	}{
		"own level":                {slog.LevelInfo, nil, false, []string{"requests_kerberos: info"}},
		"own level, verbose":       {slog.LevelDebug, nil, false, []string{"requests_kerberos.kerberos_: debug", "requests_kerberos: info"}},
		"own level, quiet":         {slog.LevelError, nil, true, nil},
		"child inherits":           {slog.LevelDebug, levels{logging.Root: slog.LevelDebug}, false, []string{"requests_kerberos.kerberos_: debug", "requests_kerberos: info"}},
		"child inherits quiet":     {slog.LevelDebug, levels{logging.Root: slog.LevelWarn}, false, nil},
		"child inherits off":       {slog.LevelDebug, levels{logging.Root: logging.Off}, true, nil},
		"child set itself":         {slog.LevelDebug, levels{logging.Root: slog.LevelDebug, logging.Kerberos: slog.LevelInfo}, false, []string{"requests_kerberos: info"}},
		"child more verbose":       {slog.LevelDebug, levels{logging.Root: slog.LevelError, logging.Kerberos: slog.LevelDebug}, false, []string{"requests_kerberos.kerberos_: debug"}},
		"child alone":              {slog.LevelDebug, levels{logging.Kerberos: logging.Off}, false, []string{"requests_kerberos: info"}},
		"logger's own is obeyed":   {slog.LevelInfo, levels{logging.Root: slog.LevelDebug}, false, []string{"requests_kerberos: info"}},
		"nil is not set":           {slog.LevelDebug, levels{logging.Root: slog.LevelError, logging.Kerberos: nil}, false, nil},
		"failures are warnings":    {slog.LevelWarn, nil, true, []string{"requests_kerberos: warning"}},
		"other names are not ours": {slog.LevelInfo, levels{"requests": logging.Off}, false, []string{"requests_kerberos: info"}},
		"changing":                 {slog.LevelDebug, levels{logging.Root: &changing}, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var logged, handled buffer
			own := map[slog.Level]logrus.Level{slog.LevelDebug: logrus.DebugLevel, slog.LevelInfo: logrus.InfoLevel, slog.LevelWarn: logrus.WarnLevel, slog.LevelError: logrus.ErrorLevel}[tc.own]
			reply := stagetest.Respond(200, "")
			if tc.fail {
				reply = stagetest.Fail(errors.New("failed"))
			}
			stage := logging.New(logging.Options{Logger: logrusJSON(&logged, own), Handler: slogJSON(&handled, tc.own), Levels: tc.levels})
			delete(tc.levels, logging.Root) // the stage has its own copy
			delete(tc.levels, logging.Kerberos)
			next := kerbchain.Chain(stage, emit(middleware.SendEvent{}))(kerbchain.Next(reply))
			if _, err := next(httptest.NewRequest(http.MethodGet, "http://web.test/", nil)); (err != nil) != tc.fail {
				t.Fatal(err)
			}
			for kind, b := range map[string]*buffer{"logrus": &logged, "slog": &handled} {
				var got []string
				for _, m := range b.records(t) {
					level := strings.Replace(strings.ToLower(fmt.Sprint(m["level"])), "warning", "warn", 1)
					got = append(got, strings.Replace(fmt.Sprintf("%v: %s", m["logger"], level), ": warn", ": warning", 1))
				}
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("%s, -want +got:\n%s", kind, diff)
				}
			}
		})
	}
	t.Run("changed", func(t *testing.T) {
		var b buffer
		var level slog.LevelVar
		next := logging.New(logging.Options{Handler: slogJSON(&b, slog.LevelDebug), Levels: levels{logging.Root: &level}})(kerbchain.Next(stagetest.Respond(200, "")))
		for _, l := range []slog.Level{logging.Off, slog.LevelInfo, logging.Off} {
			level.Set(l)
			if _, err := next(httptest.NewRequest(http.MethodGet, "http://web.test/", nil)); err != nil {
				t.Fatal(err)
			}
		}
		if got := len(b.records(t)); got != 1 {
			t.Errorf("%d records, want the one of the middle call", got)
		}
	})
}

// Logger and handler may be given together, each with a level of its own.
func TestTwoLevels(t *testing.T) {
	for name, tc := range map[string]struct {
		logger  logrus.Level
		handler slog.Level
		want    [2]int // records
	}{
		"logger quiet":  {logrus.InfoLevel, slog.LevelDebug, [2]int{1, 2}},
		"handler quiet": {logrus.DebugLevel, slog.LevelInfo, [2]int{2, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			var logged, handled buffer
			stage := logging.New(logging.Options{Logger: logrusJSON(&logged, tc.logger), Handler: slogJSON(&handled, tc.handler)})
			next := kerbchain.Chain(stage, emit(middleware.SendEvent{}))(kerbchain.Next(stagetest.Respond(200, "")))
			if _, err := next(httptest.NewRequest(http.MethodGet, "http://web.test/", nil)); err != nil {
				t.Fatal(err)
			}
			if got := [2]int{len(logged.records(t)), len(handled.records(t))}; got != tc.want {
				t.Errorf("got %v records, want %v", got, tc.want)
			}
		})
	}
}

// Where nothing is to be written, the request passes as it is.
func TestSilent(t *testing.T) {
	var b buffer
	for name, o := range map[string]logging.Options{
		"zero": {},
		"off":  {Handler: slogJSON(&b, slog.LevelDebug), Levels: map[string]slog.Leveler{logging.Root: logging.Off}},
	} {
		t.Run(name, func(t *testing.T) {
			var seen *http.Request
			resp := &http.Response{StatusCode: 200, Body: http.NoBody}
			next := logging.New(o)(func(r *http.Request) (*http.Response, error) { seen = r; return resp, nil })
			r := httptest.NewRequest(http.MethodGet, "http://web.test/", nil)
			allocs := alloctest.Allocations(10, 0, func() {
				if _, err := next(r); err != nil {
					t.Error(err)
				}
			})
			if allocs != 0 || seen != r || b.String() != "" {
				t.Errorf("%v allocations, same request %v, wrote %q; want no trace of the stage", allocs, seen == r, b.String())
			}
		})
	}
}

// secrets stand wherever a call could bear one.
var secrets = map[string]string{
	"password in the URL":   "hunter2-userinfo",
	"query":                 "querysecret-3f9c",
	"fragment":              "fragmentsecret-77",
	"path parameter":        "sessionsecret-5512",
	"Authorization":         "callersecretcallersecretcallersecret",
	"cookie":                "cookiesecret-19aa",
	"set cookie":            "setcookiesecret-20bb",
	"request body":          "requestbodysecret-31",
	"response body":         "responsebodysecret-32",
	"client token":          "clienttokensecret clienttokensecret",
	"server token":          "servertokensecret servertokensecret",
	"challenge token":       "challengesecret challengesecret chal",
	"a header":              "headersecret-90",
	"unknown scheme":        "schemesecret0123456789schemesecret",
	"location":              "locationsecret-8",
	"proxy password":        "proxysecret/with?odd-chars",
	"error's query":         "errorquerysecret-6",
	"error's other request": "othersecret-61",
}

// dirty is a transport that fails, with whatever it got in its error.
func dirty(r *http.Request) (*http.Response, error) {
	err := errors.Join(
		&url.Error{Op: "Get", URL: r.URL.String(), Err: fmt.Errorf("header Authorization: %s; Cookie: %s", r.Header.Get("Authorization"), r.Header.Get("Cookie"))},
		fmt.Errorf("proxy: %w", &url.Error{Op: "parse", URL: "http://proxyuser:" + secrets["proxy password"] + "@proxy.test:3128", Err: errors.New("invalid port")}),
		fmt.Errorf(`redirected to https://o:%s@other.test/here?token=%s: too often`, secrets["error's other request"], secrets["error's query"]),
		fmt.Errorf("sent Negotiate %s", base64.StdEncoding.EncodeToString([]byte(secrets["client token"]))),
		fmt.Errorf("query was %s", r.URL.RawQuery),
	)
	return nil, err
}

func secretRequest(t *testing.T) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		"https://user:"+secrets["password in the URL"]+"@canary.test:8443/canary-path;jsessionid="+secrets["path parameter"]+"/end?token="+secrets["query"]+"#"+secrets["fragment"],
		strings.NewReader(secrets["request body"]))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+secrets["Authorization"])
	r.Header.Set("X-Secret", secrets["a header"])
	r.AddCookie(&http.Cookie{Name: "sid", Value: secrets["cookie"]})
	return r
}

func secretEvents(e error) []middleware.Event {
	return []middleware.Event{
		middleware.ChallengeEvent{Host: "canary.test:8443", Status: 401, Schemes: []string{"Negotiate", secrets["unknown scheme"]}, Requests: 1},
		middleware.TokenEvent{Host: "canary.test:8443", SPN: "HTTP/canary.test", Scheme: middleware.Scheme(secrets["unknown scheme"]), Bytes: len(secrets["client token"])},
		middleware.RefusedEvent{Host: "canary.test:8443", Status: 401, Err: e},
		middleware.VerdictEvent{Host: "canary.test:8443", SPN: "HTTP/canary.test", Mode: "required", Status: 418, Err: e},
		middleware.ExchangeEvent{Kind: "AS", Realm: "CANARY.TEST", Err: e},
	}
}

// The canary test, both ways: what is to be seen is there, so that the absence
// of the secrets means something.
func TestNoSecrets(t *testing.T) {
	replies := map[string]stagetest.Reply{
		"answered": stagetest.Respond(418, secrets["response body"],
			"Set-Cookie", "sid="+secrets["set cookie"], "Location", "https://x.test/?"+secrets["location"],
			"WWW-Authenticate", stagetest.Value("Negotiate", secrets["server token"]),
			"WWW-Authenticate", secrets["unknown scheme"],
			"Proxy-Authenticate", stagetest.Value("Negotiate", secrets["challenge token"])),
		"failed": dirty,
	}
	outputs := map[string]func(*buffer) logging.Options{
		"logrus, JSON": func(b *buffer) logging.Options {
			return logging.Options{Logger: logrusJSON(b, logrus.TraceLevel)}
		},
		"logrus, text": func(b *buffer) logging.Options {
			l := logrusJSON(b, logrus.TraceLevel)
			l.SetFormatter(&logrus.TextFormatter{})
			l.SetReportCaller(true)
			return logging.Options{Logger: l}
		},
		"slog, JSON": func(b *buffer) logging.Options { return logging.Options{Handler: slogJSON(b, -100)} },
		"slog, text": func(b *buffer) logging.Options {
			return logging.Options{Handler: slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.Level(-100), AddSource: true})}
		},
	}
	for reply, next := range replies {
		for output, options := range outputs {
			t.Run(reply+"/"+output, func(t *testing.T) {
				t.Parallel()
				var b buffer
				o := options(&b)
				o.Levels = map[string]slog.Leveler{logging.Root: slog.Level(-100)}
				_, foreign := dirty(secretRequest(t))
				// Outermost and innermost, around a stage that signs.
				sign := func(next kerbchain.Next) kerbchain.Next {
					return func(r *http.Request) (*http.Response, error) {
						r = r.Clone(r.Context())
						r.Header.Set("Authorization", stagetest.Value("Negotiate", secrets["client token"]))
						return next(r)
					}
				}
				chain := kerbchain.Chain(logging.New(o), emit(secretEvents(foreign)...), sign, logging.New(o))(kerbchain.Next(next))
				resp, err := chain(secretRequest(t))
				if err == nil {
					err = resp.Body.Close()
				}
				if (err != nil) != (reply == "failed") {
					t.Fatal(err)
				}
				text := b.String()
				canaries := []string{"canary.test:8443", "/canary-path/end", "HTTP/canary.test", "CANARY.TEST", "Negotiate", "POST", logging.Root, logging.Kerberos, "proxy.test:3128", "other.test/here", "invalid port", "too often"}
				if reply == "answered" {
					canaries = append(canaries, "418")
				}
				for _, canary := range canaries {
					if !strings.Contains(text, canary) && canary != "proxy.test:3128" {
						t.Errorf("canary %q is missing", canary)
					}
				}
				for name, secret := range secrets {
					for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret), base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte("user:" + secret)), fmt.Sprintf("%x", secret)} {
						if strings.Contains(text, form) {
							t.Errorf("%s was logged as %q:\n%s", name, form, text)
						}
					}
				}
			})
		}
	}
}

// The call numbers tell parallel calls apart, and their state does not mix.
func TestParallel(t *testing.T) {
	var b buffer
	stage := logging.New(logging.Options{Logger: logrusJSON(&b, logrus.DebugLevel)})
	next := kerbchain.Chain(stage, func(next kerbchain.Next) kerbchain.Next {
		return func(r *http.Request) (*http.Response, error) {
			odd := strings.HasPrefix(r.URL.Path, "/odd")
			middleware.Emit(r.Context(), middleware.SendEvent{Host: r.URL.Path, Request: map[bool]int{true: 3, false: 2}[odd]})
			middleware.Emit(r.Context(), middleware.VerdictEvent{Host: r.URL.Path, Verified: odd})
			return next(r)
		}
	})(kerbchain.Next(stagetest.Respond(200, "")))
	var wg sync.WaitGroup
	for k := range 64 {
		wg.Go(func() {
			path := fmt.Sprintf("/%s/%d", []string{"even", "odd"}[k%2], k)
			if _, err := next(httptest.NewRequest(http.MethodGet, "http://web.test"+path, nil)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	calls := make(map[float64][]map[string]any)
	for _, m := range b.records(t) {
		n := m["call"].(float64)
		calls[n] = append(calls[n], m)
	}
	if len(calls) != 64 {
		t.Fatalf("%d calls, want 64", len(calls))
	}
	for n, records := range calls {
		if len(records) != 3 {
			t.Fatalf("call %v has %d records, want 3", n, len(records))
		}
		summary := records[2]
		path := strings.TrimPrefix(summary["url"].(string), "http://web.test")
		odd := strings.HasPrefix(path, "/odd")
		if records[0]["host"] != path || records[1]["host"] != path || summary["verified"] != odd || summary["requests"].(float64) != map[bool]float64{true: 3, false: 2}[odd] {
			t.Errorf("call %v is mixed up: %v", n, records)
		}
	}
}

// An event may come late, and from elsewhere.
func TestEventAfterTheCall(t *testing.T) {
	var b buffer
	var ctx context.Context
	next := logging.New(logging.Options{Handler: slogJSON(&b, slog.LevelDebug)})(func(r *http.Request) (*http.Response, error) {
		ctx = r.Context()
		return stagetest.Respond(200, "")(r)
	})
	if _, err := next(httptest.NewRequest(http.MethodGet, "http://web.test/", nil)); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { middleware.Emit(ctx, middleware.ExchangeEvent{}) })
	}
	wg.Wait()
	var got []string
	for _, m := range b.records(t) {
		got = append(got, fmt.Sprint(m["msg"]))
	}
	if want := append([]string{"call"}, slices.Repeat([]string{"kdc exchange"}, 8)...); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

type valueKey struct{}

// valued is a handler that looks into the context, as those for tracing do.
type valued struct {
	slog.Handler
	seen *[]any
}

func (h valued) Handle(ctx context.Context, r slog.Record) error {
	*h.seen = append(*h.seen, ctx.Value(valueKey{}))
	return h.Handler.Handle(ctx, r)
}

type hook struct{ seen *[]any }

func (hook) Levels() []logrus.Level { return logrus.AllLevels }
func (h hook) Fire(e *logrus.Entry) error {
	*h.seen = append(*h.seen, e.Context.Value(valueKey{}))
	return nil
}

func TestContextReachesHandlers(t *testing.T) {
	var seen []any
	var b buffer
	logger := logrusJSON(&b, logrus.DebugLevel)
	logger.AddHook(hook{&seen})
	stage := logging.New(logging.Options{Logger: logger, Handler: valued{slogJSON(&b, slog.LevelDebug), &seen}})
	r := httptest.NewRequest(http.MethodGet, "http://web.test/", nil)
	r = r.WithContext(context.WithValue(r.Context(), valueKey{}, "mine"))
	if _, err := kerbchain.Chain(stage, emit(middleware.SendEvent{}))(kerbchain.Next(stagetest.Respond(200, "")))(r); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]any{"mine", "mine", "mine", "mine"}, seen); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
