package logging_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"

	"github.com/sirupsen/logrus"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/logging"
)

// call sends one request through next.
func call(next kerbchain.Next) {
	r, err := http.NewRequest(http.MethodGet, "https://user:pass@www.example.com/report?token=secret", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp, err := next(r)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := resp.Body.Close(); err != nil {
		fmt.Println(err)
	}
}

// inside stands for the stages that sign and judge, and a server.
var inside = kerbchain.Chain(emit(
	middleware.ChallengeEvent{Host: "www.example.com:443", Status: 401, Schemes: []string{"Negotiate"}, Requests: 1},
	middleware.SendEvent{Stage: "negotiate", Host: "www.example.com:443", Request: 2},
	middleware.VerdictEvent{Host: "www.example.com:443", Mode: "required", Status: 200, Verified: true},
))(kerbchain.Next(stagetest.Respond(http.StatusOK, "")))

// lines writes what does not change from run to run.
type lines struct{}

func (lines) Format(e *logrus.Entry) ([]byte, error) {
	return fmt.Appendf(nil, "%-7s %v: %s %v\n", e.Level, e.Data["logger"], e.Message, e.Data["url"]), nil
}

// A logrus logger gets a summary of each call, and more at level debug.
func ExampleNew() {
	logger := logrus.New()
	logger.SetOutput(os.Stdout)
	logger.SetFormatter(lines{})

	next := logging.New(logging.Options{Logger: logger})(inside)
	call(next)
	logger.SetLevel(logrus.DebugLevel)
	call(next)
	// Output:
	// info    requests_kerberos: call https://www.example.com/report
	// debug   requests_kerberos.kerberos_: challenge <nil>
	// debug   requests_kerberos.kerberos_: send <nil>
	// debug   requests_kerberos.kerberos_: verdict <nil>
	// info    requests_kerberos: call https://www.example.com/report
}

// A slog handler can be given instead, and a level to each logger name.
func ExampleOptions() {
	handler := slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "duration_ms" {
				return slog.Attr{} // other in each run
			}
			return a
		},
	})
	stage := logging.New(logging.Options{
		Handler: handler,
		Levels:  map[string]slog.Leveler{logging.Root: slog.LevelInfo, logging.Kerberos: logging.Off},
	})
	call(stage(inside))
	// Output:
	// level=INFO msg=call logger=requests_kerberos call=1 method=GET url=https://www.example.com/report status=200 requests=2 verified=true
}
