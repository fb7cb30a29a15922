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
		"much":        "HTTP/1.1 302 found\r\nLocation: http://" + strings.Repeat("a", 200<<10) + "/\r\nDate: " + strings.Repeat("b", 100<<10) + "\r\nServer: " + strings.Repeat("c", 100<<10) + "\r\nPersistent-Auth: " + strings.Repeat("d", 200<<10) + "\x1b\r\nContent-Length: 0\r\n\r\n",
		"challenges":  "HTTP/1.1 401 no\r\n" + strings.Repeat("WWW-Authenticate: Odd"+strings.Repeat("e", 1000)+"\r\n", 400) + "Content-Length: 0\r\n\r\n",
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
			for _, flags := range [][]string{{"get", "-i"}, {"get", "-v"}, {"get", "-i", "-v", "-L", "--mutual", "optional"}, {"get"}, {"doctor"}, {"doctor", "--mutual", "optional"}} {
				code, out, errs := realm.run("", append(flags, "http://"+l.Addr().String()+"/")...)
				// What was asked for is printed as it is; messages do not fill a screen's memory.
				if shown := len(errs); shown > 64<<10 || flags[0] == "doctor" && len(out) > 128<<10 {
					t.Errorf("%q: %d and %d bytes: %.700s", flags, len(out), shown, errs)
				}
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
