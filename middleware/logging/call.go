package logging

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/kerbchain/kerbchain/internal/challenge"
	"github.com/kerbchain/kerbchain/middleware"
)

// A call is one request on its way through the stage. Events may come from
// several goroutines, and after the call has ended.
type call struct {
	ctx    context.Context
	r      *http.Request
	number uint64
	inside sink
	signed middleware.Call

	mu       sync.Mutex
	requests int
	judged   bool
	verdict  bool
}

// summary writes the record of a call that has ended.
func (c *call) summary(root sink, resp *http.Response, err error, took time.Duration) {
	level := slog.LevelInfo
	if err != nil {
		level = slog.LevelWarn
	}
	if !root.enabled(c.ctx, level) {
		return
	}
	var outcome slog.Attr
	switch {
	case err != nil:
		outcome = slog.String("error", errorText(err, c.r))
	case resp != nil:
		outcome = slog.Int("status", resp.StatusCode)
	}
	requests, verified := c.result(resp)
	root.write(c.ctx, level, "call",
		slog.Uint64("call", c.number),
		slog.String("method", cmp.Or(c.r.Method, http.MethodGet)),
		slog.String("url", urlText(c.r.URL)),
		outcome,
		milliseconds(took),
		optional("requests", requests),
		slog.Bool("verified", verified),
	)
}

// result returns how many requests the call took, 0 if that is not known, and
// whether its response was verified: by the verdict of mutual, or, without
// mutual, by the context that signed the request.
func (c *call) result(resp *http.Response) (requests int, verified bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	requests = c.requests
	if resp == nil {
		return requests, false
	}
	requests = max(requests, 1)
	if c.judged {
		return requests, c.verdict
	}
	sc := c.signed.Security(resp)
	return requests, sc != nil && sc.Verified()
}

// note keeps what the summary tells.
func (c *call) note(e middleware.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch e := e.(type) {
	case middleware.ChallengeEvent:
		c.requests = max(c.requests, e.Requests)
		c.judged = false
	case middleware.SendEvent:
		c.requests = max(c.requests, e.Request)
		c.judged = false
	case middleware.VerdictEvent:
		c.judged, c.verdict = true, e.Verified
	}
}

// trace is the [middleware.Trace] of the call.
func (c *call) trace(e middleware.Event) {
	c.note(e)
	level := slog.LevelDebug
	if wrong(e) {
		level = slog.LevelWarn
	}
	if !c.inside.enabled(c.ctx, level) {
		return
	}
	message, attrs := c.describe(e)
	attrs = append([]slog.Attr{slog.Uint64("call", c.number)}, attrs...)
	c.inside.write(c.ctx, level, message, attrs...)
}

// wrong reports whether e is news of a failure.
func wrong(e middleware.Event) bool {
	switch e := e.(type) {
	case middleware.ExchangeEvent:
		return e.Err != nil
	case middleware.VerdictEvent:
		return e.Err != nil
	case middleware.RefusedEvent, middleware.SanitizedEvent, middleware.WithheldEvent, middleware.ConfigurationEvent:
		return true
	default:
		return false
	}
}

// describe turns e into a message and attributes; those that do not apply have
// no name.
func (c *call) describe(e middleware.Event) (string, []slog.Attr) {
	switch e := e.(type) {
	case middleware.ChallengeEvent:
		return "challenge", []slog.Attr{
			slog.String("host", e.Host), slog.Int("status", e.Status),
			slog.String("schemes", schemes(e.Schemes)), slog.Int("request", e.Requests),
		}
	case middleware.CredentialsEvent:
		message := "credentials of the caller's own"
		if e.Dropped {
			message = "user info of the URL dropped"
		}
		return message, []slog.Attr{slog.String("stage", e.Stage), slog.String("host", e.Host), slog.String("field", e.Field)}
	case middleware.WithheldEvent:
		return "token withheld", []slog.Attr{slog.String("stage", e.Stage), slog.String("host", e.Host), c.failure(e.Err)}
	case middleware.ConfigurationEvent:
		return "krb5.conf", []slog.Attr{optional("where", e.Where), slog.String("warning", e.Text)}
	case middleware.TicketEvent:
		return "ticket", []slog.Attr{
			slog.String("spn", e.SPN), slog.String("client", e.Client), slog.String("source", e.Source),
			slog.Bool("cached", e.Cached), slog.Int("etype", int(e.Etype)),
			until(e.Expires), milliseconds(e.Duration),
		}
	case middleware.ExchangeEvent:
		return "kdc exchange", []slog.Attr{
			slog.String("kind", e.Kind), slog.String("realm", e.Realm), slog.String("kdc", e.Address),
			slog.String("network", e.Network), milliseconds(e.Duration), c.failure(e.Err),
			slog.Int("code", int(e.Code)), optional("armored", e.Armored), optional("preauth", e.Preauth),
		}
	case middleware.CacheEvent:
		return "ticket written", []slog.Attr{
			slog.String("cache", e.Cache), slog.String("spn", e.Server), c.failure(e.Err),
		}
	case middleware.ForeignCacheEvent:
		return "cache of another user", []slog.Attr{slog.String("cache", e.Cache), slog.String("owner", e.Owner)}
	case middleware.TokenEvent:
		return "token", []slog.Attr{
			slog.String("host", e.Host), slog.String("spn", e.SPN),
			slog.String("scheme", challenge.Name(string(cmp.Or(e.Scheme, middleware.Negotiate)))),
			slog.Int("bytes", e.Bytes), slog.Bool("mutual", e.Mutual), slog.Bool("bound", e.Bound),
			optional("delegate", e.Delegate), milliseconds(e.Duration),
		}
	case middleware.SendEvent:
		return "send", []slog.Attr{
			slog.String("stage", e.Stage), slog.String("host", e.Host), slog.Int("request", e.Request),
			slog.Bool("again", e.Again),
		}
	case middleware.RefusedEvent:
		return "token refused", []slog.Attr{
			slog.String("host", e.Host), slog.Int("status", e.Status), reason(e.Reason), optional("bytes", e.Bytes), c.failure(e.Err),
		}
	case middleware.DiscardEvent:
		return "ticket dropped", []slog.Attr{
			slog.String("host", e.Host), optional("spn", e.SPN), slog.Int("code", int(e.Code)),
		}
	case middleware.FallbackEvent:
		return "HTTP/1.1 in place of HTTP/2", []slog.Attr{slog.String("host", e.Host), c.failure(e.Err)}
	case middleware.VerdictEvent:
		return "verdict", []slog.Attr{
			slog.String("host", e.Host), optional("spn", e.SPN), slog.String("mode", string(e.Mode)),
			slog.Int("status", e.Status), slog.Bool("verified", e.Verified), optional("trusted", e.Trusted), reason(e.Reason), c.failure(e.Err),
		}
	case middleware.SanitizedEvent:
		return "sanitized", []slog.Attr{slog.String("host", e.Host), slog.Int("status", e.Status)}
	default:
		return "event", []slog.Attr{slog.String("type", fmt.Sprintf("%T", e))}
	}
}

// optional is an attribute for what is seldom set.
func optional[T comparable](name string, v T) slog.Attr {
	var unset T
	if v == unset {
		return slog.Attr{}
	}
	return slog.Any(name, v)
}

func (c *call) failure(err error) slog.Attr {
	if err == nil {
		return slog.Attr{}
	}
	return slog.String("error", errorText(err, c.r))
}

func reason(r middleware.Reason) slog.Attr {
	if r == middleware.ReasonNone {
		return slog.Attr{}
	}
	return slog.String("reason", r.String())
}

func until(t time.Time) slog.Attr {
	if t.IsZero() {
		return slog.Attr{}
	}
	return slog.String("expires", t.UTC().Format(time.RFC3339))
}

// milliseconds is a duration to the microsecond.
func milliseconds(d time.Duration) slog.Attr {
	return slog.Float64("duration_ms", float64(d.Microseconds())/1000)
}

func schemes(names []string) string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = challenge.Name(name)
	}
	return strings.Join(out, ", ")
}
