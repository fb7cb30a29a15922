package client

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/middleware"
)

// The memory of origins is bounded, and forgets none while there is room.
func TestHTTP1Origins(t *testing.T) {
	f := &http1Fallback{origins: make(map[string]struct{})}
	for i := range 3 * http1Origins {
		key := fmt.Sprintf("https://host%d:443", i)
		f.remember(key)
		f.remember(key)
		if !f.remembers(key) || len(f.origins) != min(i+1, http1Origins) {
			t.Fatalf("after %d origins: %d are remembered, the last one: %v", i+1, len(f.origins), f.remembers(key))
		}
	}
}

func TestOriginOf(t *testing.T) {
	for raw, want := range map[string]string{
		"https://a.test/path":     "https://a.test:443",
		"HTTPS://A.Test.:443/?q":  "https://a.test:443",
		"https://a.test:8443":     "https://a.test:8443",
		"https://[2001:DB8::1]/x": "https://[2001:db8::1]:443",
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := middleware.TargetOf(u).Origin(); got != want {
			t.Errorf("%s: %s, want %s", raw, got, want)
		}
	}
}

func TestNeedsHTTP1(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want bool
	}{
		"of x/net":        {http2.StreamError{StreamID: 1, Code: http2.ErrCodeHTTP11Required}, true},
		"of x/net, else":  {http2.StreamError{StreamID: 1, Code: http2.ErrCodeCancel}, false},
		"own":             {fmt.Errorf("wrapped: %w", streamError{StreamID: 1, Code: 0xd}), true},
		"another code":    {streamError{StreamID: 1, Code: 0x8}, false},
		"connection":      {goAway("HTTP_1_1_REQUIRED"), true},
		"connection else": {goAway("PROTOCOL_ERROR"), false},
		"another":         {errors.New("connection reset"), false},
	} {
		if got := needsHTTP1(tc.err); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

// goAway is what net/http says when a connection ends.
func goAway(code string) error {
	return errors.New("http2: server sent GOAWAY and closed the connection; LastStreamID=1, ErrCode=" + code + ", debug=\"\"")
}

// scripted is a transport that fails or answers in turn, and reads some of each
// body.
type scripted struct {
	read    int
	replies []error
	seen    []string
}

func (s *scripted) RoundTrip(r *http.Request) (*http.Response, error) {
	got := ""
	if r.Body != nil {
		b, err := io.ReadAll(io.LimitReader(r.Body, int64(s.read)))
		if err != nil {
			return nil, errors.Join(err, r.Body.Close())
		}
		got = string(b)
		if err := r.Body.Close(); err != nil {
			return nil, err
		}
	}
	s.seen = append(s.seen, got)
	err := s.replies[0]
	s.replies = s.replies[1:]
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: 200, ProtoMajor: 2, Body: http.NoBody, Request: r}, nil
}

// What was read of a body that can be had once is not sent twice, nor in part.
func TestHTTP1Bodies(t *testing.T) {
	required := streamError{StreamID: 1, Code: errHTTP11Required}
	for name, tc := range map[string]struct {
		getBody bool
		read    int // by the first transport
		errs    []error
		first   []string
		second  []string
		want    error
	}{
		"GetBody, read":    {true, 3, []error{required}, []string{"the"}, []string{"the body"}, nil},
		"GetBody, unread":  {true, 0, []error{required}, []string{""}, []string{"the body"}, nil},
		"stream, unread":   {false, 0, []error{required}, []string{""}, []string{"the body"}, nil},
		"stream, read":     {false, 3, []error{required}, []string{"the"}, nil, middleware.ErrBodyNotReplayable},
		"stream, answered": {false, 99, []error{nil}, []string{"the body"}, nil, nil},
		"another error":    {true, 3, []error{io.ErrUnexpectedEOF}, []string{"the"}, nil, io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			first, second := &scripted{read: tc.read, replies: tc.errs}, &scripted{read: 99, replies: []error{nil}}
			f := &http1Fallback{any: first, plain: second, origins: make(map[string]struct{})}
			r, err := http.NewRequest(http.MethodPut, "https://a.test/", strings.NewReader("the body"))
			if err != nil {
				t.Fatal(err)
			}
			closes := 0
			if !tc.getBody {
				r.GetBody = nil
				r.Body = counting{r.Body, &closes}
			}
			resp, err := f.RoundTrip(r)
			if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
				t.Errorf("error %v", err)
			}
			if err == nil {
				if c := resp.Request.Context(); c == nil || resp.Request.Body != r.Body && !tc.getBody {
					t.Errorf("the response names another request")
				}
				if !stage.HTTP1Offered(resp) {
					t.Error("HTTP/1.1 is not offered")
				}
			}
			if tc.want == middleware.ErrBodyNotReplayable && !errors.As(err, new(streamError)) {
				t.Errorf("%v does not say why", err)
			}
			if !slices.Equal(first.seen, tc.first) || !slices.Equal(second.seen, tc.second) {
				t.Errorf("sent %q, then %q", first.seen, second.seen)
			}
			if !tc.getBody && closes != 1 {
				t.Errorf("the body was closed %d times", closes)
			}
		})
	}
}

type counting struct {
	io.ReadCloser
	n *int
}

func (c counting) Close() error {
	*c.n++
	return c.ReadCloser.Close()
}
