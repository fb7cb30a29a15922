package logging

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/kerbchain/kerbchain/internal/printable"
)

// A sink is one logger name with its level and the places that it writes to.
type sink struct {
	name    string
	level   slog.Leveler // nil: whatever logger and handler allow
	logger  *logrus.Logger
	handler slog.Handler
}

func (s sink) enabled(ctx context.Context, l slog.Level) bool {
	if s.level != nil && l < s.level.Level() {
		return false
	}
	return s.logger != nil && s.logger.IsLevelEnabled(logrusLevel(l)) || s.handler != nil && s.handler.Enabled(ctx, l)
}

// write writes one record. Attributes of the empty name are left out. Text is from
// peers as often as not, and a formatter of one's own may write it as it is. The caller
// has asked whether the level is enabled.
func (s sink) write(ctx context.Context, l slog.Level, message string, attrs ...slog.Attr) {
	attrs = slices.DeleteFunc(attrs, func(a slog.Attr) bool { return a.Key == "" })
	for i, a := range attrs {
		if a.Value.Kind() == slog.KindString {
			attrs[i].Value = slog.StringValue(printable.Text(a.Value.String()))
		}
	}
	if s.logger != nil && s.logger.IsLevelEnabled(logrusLevel(l)) {
		fields := logrus.Fields{"logger": s.name}
		for _, a := range attrs {
			fields[a.Key] = a.Value.Any()
		}
		s.logger.WithContext(ctx).WithFields(fields).Log(logrusLevel(l), message)
	}
	if s.handler != nil && s.handler.Enabled(ctx, l) {
		r := slog.NewRecord(time.Now(), l, message, 0)
		r.AddAttrs(slog.String("logger", s.name))
		r.AddAttrs(attrs...)
		// A log that cannot be written must not fail the request; slog.Logger
		// does the same.
		_ = s.handler.Handle(ctx, r)
	}
}

func logrusLevel(l slog.Level) logrus.Level {
	switch {
	case l >= slog.LevelWarn:
		return logrus.WarnLevel
	case l >= slog.LevelInfo:
		return logrus.InfoLevel
	}
	return logrus.DebugLevel
}
