package logging_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"

	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/logging"
)

// rawHandler and rawFormatter write text as it is.
type rawHandler struct {
	slog.Handler
	out io.Writer
}

func (h rawHandler) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		_, _ = io.WriteString(h.out, a.Value.String()+"\n") // to memory
		return true
	})
	return nil
}

type rawFormatter struct{}

func (rawFormatter) Format(e *logrus.Entry) ([]byte, error) {
	var b bytes.Buffer
	for _, v := range e.Data {
		if s, ok := v.(string); ok {
			b.WriteString(s + "\n")
		}
	}
	return b.Bytes(), nil
}

// What peers put into names and errors is text in every log, whatever writes it;
// and credentials are hidden under a name in any case.
func TestStrangersText(t *testing.T) {
	var out bytes.Buffer
	logger := logrus.New()
	logger.Out, logger.Formatter, logger.Level = &out, rawFormatter{}, logrus.DebugLevel
	stage := logging.New(logging.Options{Logger: logger, Handler: rawHandler{slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelDebug}), &out}})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://a.example/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header["authorization"] = []string{"Bearer canary-of-the-caller"}
	_, err = stage(func(r *http.Request) (*http.Response, error) {
		middleware.Emit(r.Context(), middleware.RefusedEvent{Host: "a\x1b[31m.example", Err: errors.New("\u009b1m\u202e\r\n\xff")})
		middleware.Emit(r.Context(), middleware.CredentialsEvent{Stage: "negotiate", Host: "a\x1b[31m.example", Field: "Authorization"})
		middleware.Emit(r.Context(), middleware.WithheldEvent{Stage: "preemptive", Host: "a\x1b[31m.example", Err: errors.New("\x1b")})
		return nil, errors.New("\x1b]0;title\x07 after Bearer canary-of-the-caller, canary-of-the-caller")
	})(r)
	if err == nil {
		t.Fatal("no error")
	}
	if n := strings.Count(out.String(), `a\x1b[31m.example`); n != 6 {
		t.Errorf("%d names: %q", n, out.String())
	}
	if strings.ContainsAny(out.String(), "\x1b\x07\r\u009b\u202e") || strings.Contains(out.String(), "\xff") || strings.Contains(out.String(), "canary") {
		t.Errorf("%q", out.String())
	}
}
