//go:build interop

package interop

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/middleware"
)

// whoChild is set in the process that asks the web server for testAnotherUser: it
// must run where the caches are found, and go on while they change.
const whoChild = "KERBCHAIN_INTEROP_WHO"

// who makes a request for each line that it reads, and writes as whom, over which
// connection, and whether the answer was proved.
func who(url string) error {
	tr := &http.Transport{TLSClientConfig: &tls.Config{}}
	c, err := client.New(client.Options{Transport: tr})
	if err != nil {
		return err
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		conn := ""
		ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
			conn = info.Conn.LocalAddr().String()
		}})
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := c.Do(r)
		if err != nil {
			fmt.Println("error", strings.ReplaceAll(err.Error(), "\n", " "))
			continue
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return err
		}
		resp.Body.Close()
		sc := middleware.SecurityOf(resp.Request)
		fmt.Println(middleware.PrincipalOf(resp.Request), conn, resp.StatusCode, sc != nil && sc.Verified())
	}
	return in.Err()
}

// testAnotherUser lets the cache become bob's while a program goes on: what it asks
// for then goes over another connection than alice's requests did, as bob.
func (p *place) testAnotherUser(t *testing.T) {
	p.kinit(t, "alice")
	line := append(slices.Clone(p.within), os.Args[0])
	cmd := exec.CommandContext(t.Context(), line[0], line[1:]...)
	cmd.Env = append(p.env.list(), whoChild+"="+p.lab.url(t, "http", "/auth/hello"))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}()
	lines := bufio.NewScanner(stdout)
	ask := func() (principal, conn string) {
		t.Helper()
		if _, err := io.WriteString(stdin, "next\n"); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() {
			f := strings.Fields(lines.Text())
			if len(f) == 4 && f[2] == "200" && f[3] == "true" {
				return f[0], f[1]
			}
			if len(f) > 0 && f[0] != "session" && f[0] != "Joined" { // keyctl says that it joined one
				t.Fatalf("it said %q", lines.Text())
			}
		}
		t.Fatalf("it ended: %v", lines.Err())
		return "", ""
	}
	alice, hers := ask()
	if alice != "alice@"+p.lab.name {
		t.Fatalf("asked as %s", alice)
	}
	if again, same := ask(); again != alice || same != hers {
		t.Errorf("asked as %s over %s, before as %s over %s", again, same, alice, hers)
	}
	become := func(user string) {
		if !p.collection {
			// kinit makes no second cache beside one cache of a collection.
			p.must(t, "", "kdestroy")
		}
		p.kinit(t, user)
	}
	become("bob")
	defer become("alice")
	// A cache is looked at once a second.
	deadline := time.Now().Add(20 * time.Second)
	for {
		principal, conn := ask()
		if principal == "bob@"+p.lab.name {
			if conn == hers {
				t.Errorf("bob's request went over alice's connection")
			}
			return
		}
		if principal != alice || conn != hers {
			t.Errorf("asked as %s over %s, though alice's connection is there", principal, conn)
		}
		if time.Now().After(deadline) {
			t.Fatalf("asked as %s, long after bob logged in", principal)
		}
		time.Sleep(200 * time.Millisecond)
	}
}
