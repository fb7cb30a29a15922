package sanitize_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware/sanitize"
)

// TestRetryAfter: of Retry-After the value survives, never the bytes.
func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now().UTC()
		in := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
		for name, tc := range map[string]struct {
			status int
			lines  []string
			want   []string
		}{
			"seconds":           {429, []string{"3"}, []string{"3"}},
			"of 503":            {503, []string{"120"}, []string{"120"}},
			"none":              {429, []string{"0"}, []string{"0"}},
			"written anew":      {429, []string{"  0003 "}, []string{"3"}},
			"an hour":           {429, []string{"3600"}, []string{"3600"}},
			"longer":            {429, []string{"3601"}, []string{"3600"}},
			"much longer":       {429, []string{"99999999999999999999999"}, []string{"3600"}},
			"a date":            {503, []string{in(time.Minute)}, []string{in(time.Minute)}},
			"of the past":       {503, []string{"Sun, 06 Nov 1994 08:49:37 GMT"}, []string{"Sun, 06 Nov 1994 08:49:37 GMT"}},
			"as in RFC 850":     {503, []string{"Sunday, 06-Nov-94 08:49:37 GMT"}, []string{"Sun, 06 Nov 1994 08:49:37 GMT"}},
			"as of asctime":     {503, []string{"Sun Nov  6 08:49:37 1994"}, []string{"Sun, 06 Nov 1994 08:49:37 GMT"}},
			"a far date":        {503, []string{in(48 * time.Hour)}, []string{in(time.Hour)}},
			"the end of time":   {503, []string{"Fri, 31 Dec 9999 23:59:59 GMT"}, []string{in(time.Hour)}},
			"other statuses":    {500, []string{"3"}, nil},
			"not even 413":      {413, []string{"3"}, nil},
			"negative":          {429, []string{"-3"}, nil},
			"signed":            {429, []string{"+3"}, nil},
			"a fraction":        {429, []string{"1.5"}, nil},
			"nothing":           {429, []string{""}, nil},
			"two":               {429, []string{"1", "2"}, nil},
			"a list":            {429, []string{"1, 2"}, nil},
			"words":             {429, []string{"soon"}, nil},
			"bytes of theirs":   {429, []string{"3\u202e"}, nil},
			"digits of theirs":  {429, []string{"\u0663"}, nil},
			"hexadecimal":       {429, []string{"0x10"}, nil},
			"more after a date": {503, []string{"Sun, 06 Nov 1994 08:49:37 GMT; x"}, nil},
			"a very long one":   {429, []string{strings.Repeat("1", 1<<20)}, []string{"3600"}},
		} {
			func() {
				fields := []string{"Set-Cookie", "a=b"}
				for _, line := range tc.lines {
					fields = append(fields, "Retry-After", line)
				}
				next := sanitize.New(sanitize.Options{})(stagetest.NewServer(stagetest.Respond(tc.status, "no", fields...)).Next)
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://origin.example/", nil)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := next(r)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				var want http.Header = map[string][]string{}
				if tc.want != nil {
					want["Retry-After"] = tc.want
				}
				if d := cmp.Diff(want, resp.Header); d != "" {
					t.Errorf("%s: %s", name, d)
				}
			}()
		}
	})
}
