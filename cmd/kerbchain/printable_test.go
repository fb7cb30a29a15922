package main

import (
	"io"
	"net"
	"strings"
	"testing"
	"unicode"

	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
)

// A stranger's status line and header, and what the trace quotes of them, reach the
// terminal as text.
func TestStrangersText(t *testing.T) {
	realm := newLab(t, fakeweb.ServerOptions{})
	for name, answer := range map[string]string{
		"an answer":   "HTTP/1.1 404 \x1b[2Jgone\x07\r\nX-Odd: a\u009b1mb\r\nX-Bytes: \x9b1m\xff\u202e\r\nContent-Length: 0\r\n\r\n",
		"a success":   "HTTP/1.1 200 \x1b[2Jok\r\nContent-Length: 0\r\n\r\n",
		"a challenge": "HTTP/1.1 401 \x1b[31mno\r\nWWW-Authenticate: \u009b31mBasic, Negotiate\u009b\r\nWWW-Authenticate: Negotiate\r\nContent-Length: 0\r\n\r\n",
		"a redirect":  "HTTP/1.1 302 \x1b[31mfound\r\nLocation: http://a\u009b.test/\r\nContent-Length: 0\r\n\r\n",
		"a long body": "HTTP/1.1 200 \x1b[31mok\r\nContent-Length: 9\r\n\r\n",
		"no answer":   "HTTP/1.1 \x1b[31m200 OK\r\n\r\n",
		"no header":   "HTTP/1.1 200 OK\r\n\x1b[31m: x\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					if _, err := c.Read(make([]byte, 4096)); err == nil {
						_, _ = io.WriteString(c, answer) // nobody may be there any more
					}
					c.Close()
				}
			}()
			defer func() {
				l.Close()
				<-done
			}()
			for _, flags := range [][]string{{"-i"}, {"-v"}, {"-i", "-v", "-L", "--mutual", "optional"}, nil} {
				code, out, errs := realm.run("", append(append([]string{"get"}, flags...), "http://"+l.Addr().String()+"/")...)
				for _, text := range []string{out, errs} {
					if i := strings.IndexFunc(text, func(r rune) bool {
						return r == unicode.ReplacementChar || !unicode.IsPrint(r) && r != '\n' && r != '\r'
					}); i >= 0 {
						t.Errorf("%q, exit %d: %q", flags, code, text)
					}
				}
				if out+errs == "" {
					t.Errorf("%q: nothing was said", flags)
				}
			}
		})
	}
}
