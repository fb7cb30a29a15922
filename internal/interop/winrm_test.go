//go:build interop

package interop

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/fakekdc/fakewinrm"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

func eachEtype(t *testing.T, test func(t *testing.T, etype int32)) {
	for _, etype := range []int32{17, 18, 19, 20, 23} {
		t.Run(krb.EtypeName(etype), func(t *testing.T) { test(t, etype) })
	}
}

// TestWinRMServer has client.NewWinRM talk to an endpoint on libgssapi that unwraps
// and wraps with pywinrm's own code.
func TestWinRMServer(t *testing.T) {
	eachEtype(t, func(t *testing.T, etype int32) {
		path := python(t, "gssapi, winrm", "python3-gssapi and python3-winrm")
		realm := fakekdc.Start(t, fakekdc.WithEtypes(etype), fakekdc.WithUser("alice", "correct horse"), fakekdc.WithService("HTTP/localhost"))
		dir := t.TempDir()
		env := environment{
			"HOME": dir, "PYTHONDONTWRITEBYTECODE": "1",
			"KRB5_CONFIG":   write(t, filepath.Join(dir, "krb5.conf"), realm.Config()),
			"KRB5_KTNAME":   "FILE:" + write(t, filepath.Join(dir, "keytab"), string(realm.Keytab("HTTP/localhost"))),
			"KRB5RCACHEDIR": dir,
		}
		addr := freePorts(t, 1)[0]
		serve(t, env, nil, []string{addr}, path, filepath.Join("testdata", "winrm_server.py"), port(addr))
		c, err := client.NewWinRM(client.WinRMOptions{Resend: true, Options: client.Options{
			Principal: "alice", Password: kerberos.NewSecret("correct horse"), Krb5ConfText: realm.Config(), AllowRC4: etype == 23,
		}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.CloseIdleConnections)
		url := "http://localhost:" + port(addr) + "/wsman"

		for _, n := range []int{1, 15, 16, 17, 31, 32, 82, 83, 84, 100, 255, 256, 5000, 1 << 16, 500_000} {
			winRMEcho(t, c, url, string(text(n)), 200)
		}
		winRMEcho(t, c, url, "fault", 500)
		winRMEcho(t, c, url, "forget", 200)
		winRMEcho(t, c, url, "after it", 200)
		for message, reason := range map[string]middleware.Reason{"again": middleware.ReasonReplayed, "clear": middleware.ReasonUnsealed} {
			winRMEcho(t, c, url, "before", 200)
			_, _, err := winRMPost(t, c, url, message)
			var e *middleware.Error
			if !errors.As(err, &e) || !errors.Is(err, middleware.ErrNotVerified) || e.Reason != reason {
				t.Errorf("%s: %v, want reason %v", message, err, reason)
			}
		}
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() { winRMEcho(t, c, url, fmt.Sprintf("message %d of many", i), 200) })
		}
		all.Wait()
	})
}

func winRMPost(t *testing.T, c *http.Client, url, message string) (*http.Response, string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/soap+xml;charset=UTF-8")
	resp, err := c.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), err
}

func winRMEcho(t *testing.T, c *http.Client, url, message string, status int) {
	t.Helper()
	resp, got, err := winRMPost(t, c, url, message)
	if err != nil || resp.StatusCode != status || got != strings.ToUpper(message) {
		t.Errorf("%d bytes: %v %.200q, %v", len(message), resp, got, err)
	}
}

// TestWinRMClient has pywinrm run a command at the fake endpoint.
func TestWinRMClient(t *testing.T) {
	eachEtype(t, func(t *testing.T, etype int32) {
		path := python(t, "gssapi, winrm, requests_kerberos", "python3-gssapi, python3-winrm and python3-requests-kerberos")
		realm := fakekdc.Start(t, fakekdc.WithEtypes(etype), fakekdc.WithUser("alice", "correct horse"), fakekdc.WithService("HTTP/localhost"))
		windows := new(windowsShell)
		// libgssapi pads messages of RC4.
		endpoint := fakewinrm.New(realm, "HTTP/localhost", fakewinrm.Options{Answer: windows.answer, Padding: true})
		server := fakeweb.Serve(realm, endpoint, fakeweb.ServerOptions{})
		dir := t.TempDir()
		env := environment{
			"HOME": dir, "PYTHONDONTWRITEBYTECODE": "1",
			"KRB5_CONFIG": write(t, filepath.Join(dir, "krb5.conf"), realm.Config()),
			"KRB5CCNAME":  "FILE:" + write(t, filepath.Join(dir, "ccache"), string(realm.CCache("alice"))),
		}
		r := must(t, env, "", path, filepath.Join("testdata", "winrm_client.py"), server.URL()+"/wsman")
		if r.stdout != "alice@"+realm.Name()+" no error 7\n" {
			t.Errorf("%v", r)
		}
		for _, m := range endpoint.Messages() {
			if !m.Sealed || m.Conn != 1 {
				t.Errorf("%+v", m)
			}
		}
		if n := len(endpoint.Messages()); n != 6 { // create, command, receive twice, signal, delete
			t.Errorf("%d messages", n)
		}
	})
}

// A windowsShell answers what a client asks that runs one command: the first time
// it is asked for output, that there is none yet.
type windowsShell struct{ polls atomic.Int32 }

func (w *windowsShell) answer(c fakekdc.Caller, soap []byte) (int, []byte) {
	id := messageID.FindSubmatch(soap)
	if id == nil {
		return http.StatusBadRequest, nil
	}
	envelope := func(status int, body string) (int, []byte) {
		return status, []byte(`<?xml version="1.0"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" ` +
			`xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" ` +
			`xmlns:rsp="http://schemas.microsoft.com/wbem/wsman/1/windows/shell" xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault">` +
			`<s:Header><a:RelatesTo>` + string(id[1]) + `</a:RelatesTo></s:Header><s:Body>` + body + `</s:Body></s:Envelope>`)
	}
	stream := func(name, text string) string {
		return `<rsp:Stream Name="` + name + `" CommandId="C">` + base64.StdEncoding.EncodeToString([]byte(text)) + `</rsp:Stream>`
	}
	action := func(name string) bool { return strings.Contains(string(soap), name+"</a:Action>") }
	switch {
	case action("transfer/Create"):
		return envelope(200, `<w:SelectorSet><w:Selector Name="ShellId">S</w:Selector></w:SelectorSet>`)
	case action("shell/Command"):
		return envelope(200, `<rsp:CommandResponse><rsp:CommandId>C</rsp:CommandId></rsp:CommandResponse>`)
	case action("shell/Receive") && w.polls.Add(1) == 1:
		return envelope(500, `<s:Fault><s:Code><s:Value>s:Receiver</s:Value></s:Code><s:Detail><f:WSManFault Code="2150858793"/></s:Detail></s:Fault>`)
	case action("shell/Receive"):
		return envelope(200, `<rsp:ReceiveResponse>`+stream("stdout", c.Name)+stream("stderr", "no error")+
			`<rsp:CommandState CommandId="C" State="http://schemas.microsoft.com/wbem/wsman/1/windows/shell/CommandState/Done">`+
			`<rsp:ExitCode>7</rsp:ExitCode></rsp:CommandState></rsp:ReceiveResponse>`)
	}
	return envelope(200, "") // signal, delete
}

var messageID = regexp.MustCompile(`<a:MessageID>(.*?)</a:MessageID>`)
