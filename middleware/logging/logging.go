package logging

import (
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/middleware"
)

// The logger names, as they stand in the field "logger" and in Options.Levels.
const (
	// Root is the logger of the summary of each call.
	Root = "requests_kerberos"
	// Kerberos is the logger of what happens within a call. It is a child of
	// Root.
	Kerberos = "requests_kerberos.kerberos_"
)

// Off is a level above all others: it silences a logger name.
const Off slog.Level = 1<<31 - 1

// Options are the choices of [New]. The zero value writes nothing.
type Options struct {
	// Logger, when not nil, gets every record that its own level lets through.
	Logger *logrus.Logger
	// Handler, when not nil, gets every record that it is enabled for, beside
	// Logger.
	Handler slog.Handler
	// Levels sets the least level of a logger name, [Root] or [Kerberos]. A
	// name without one inherits that of Root; Root without one leaves it to
	// Logger and Handler. A value that changes, such as a [slog.LevelVar], is
	// asked each time. The map is copied.
	Levels map[string]slog.Leveler
}

// New returns the stage. A wiring of it counts its calls and has no other state.
// Records are not changed once Logger and Handler have them.
func New(o Options) kerbchain.Middleware {
	if o.Logger == nil && o.Handler == nil {
		return kerbchain.Chain()
	}
	root := sink{Root, o.Levels[Root], o.Logger, o.Handler}
	inside := root
	inside.name = Kerberos
	if level := o.Levels[Kerberos]; level != nil {
		inside.level = level
	}
	return func(next kerbchain.Next) kerbchain.Next {
		var calls atomic.Uint64
		return func(r *http.Request) (*http.Response, error) {
			ctx := r.Context()
			// No record has a higher level than Warn.
			if !root.enabled(ctx, slog.LevelWarn) && !inside.enabled(ctx, slog.LevelWarn) {
				return next(r)
			}
			out, signed := middleware.Begin(r)
			c := &call{ctx: ctx, r: r, number: calls.Add(1), inside: inside, signed: signed}
			start := time.Now()
			resp, err := next(out.WithContext(middleware.WithTrace(out.Context(), c.trace)))
			signed.End(resp)
			c.summary(root, resp, err, time.Since(start))
			return resp, err
		}
	}
}
