package stage

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// connection is the body of a 101 response.
type connection struct {
	io.ReadCloser
	said strings.Builder
}

func (c *connection) Write(b []byte) (int, error) { return c.said.Write(b) }

// halfConnection can close its write side alone.
type halfConnection struct{ *connection }

func (h halfConnection) CloseWrite() error {
	h.said.WriteString("!")
	return nil
}

type closeFails struct{ io.ReadCloser }

var errClose = errors.New("close fails")

func (closeFails) Close() error { return errClose }

// What is to happen at the end of a body happens once it is closed, and at once where
// there is none to be closed; and what else a body can do, it still can.
func TestOnClose(t *testing.T) {
	text := func() io.ReadCloser { return io.NopCloser(strings.NewReader("text")) }
	for name, tc := range map[string]struct {
		body        io.ReadCloser
		busy        bool
		atOnce      bool
		write, half bool
		err         error
	}{
		"none":                        {body: nil, atOnce: true},
		"none, while one is sent":     {body: nil, busy: true, atOnce: true},
		"empty":                       {body: http.NoBody, atOnce: true},
		"empty, while one is sent":    {body: http.NoBody, busy: true},
		"a text":                      {body: text()},
		"a text, while one is sent":   {body: text(), busy: true},
		"a connection":                {body: &connection{ReadCloser: text()}, write: true},
		"one that closes by halves":   {body: halfConnection{&connection{ReadCloser: text()}}, write: true, half: true},
		"one that fails to be closed": {body: closeFails{text()}, err: errClose},
	} {
		t.Run(name, func(t *testing.T) {
			resp := &http.Response{Body: tc.body}
			ended := 0
			OnClose(resp, tc.busy, func() { ended++ })
			if (ended == 1) != tc.atOnce {
				t.Fatalf("ended %d times before it was closed", ended)
			}
			if tc.atOnce {
				if resp.Body != tc.body {
					t.Error("the body is another")
				}
				return
			}
			w, write := resp.Body.(io.Writer)
			h, half := resp.Body.(closeWriter)
			if write != tc.write || half != tc.half {
				t.Fatalf("writes %v, by halves %v", write, half)
			}
			if write {
				if _, err := io.WriteString(w, "said"); err != nil {
					t.Error(err)
				}
			}
			if half {
				if err := h.CloseWrite(); err != nil {
					t.Error(err)
				}
				if got := tc.body.(halfConnection).said.String(); got != "said!" {
					t.Errorf("said %q", got)
				}
			}
			if b, err := io.ReadAll(resp.Body); err != nil || tc.body != http.NoBody && string(b) != "text" {
				t.Errorf("%q, %v", b, err)
			}
			if ended != 0 {
				t.Error("ended with what was read")
			}
			if err := resp.Body.Close(); !errors.Is(err, tc.err) || ended != 1 {
				t.Errorf("closed: %v; ended %d times", err, ended)
			}
		})
	}
}
