package main

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/masterzen/winrm"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/fakekdc/fakewinrm"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// A windows answers what is asked for one command.
type windows struct {
	exit  int
	polls atomic.Int32 // the first finds no output yet
}

// A request is what matters of an envelope.
type request struct {
	Action  string `xml:"Header>Action"`
	Command string `xml:"Body>CommandLine>Command"`
}

const (
	transfer = "http://schemas.xmlsoap.org/ws/2004/09/transfer/"
	shell    = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/"
)

func (w *windows) answer(c fakekdc.Caller, soap []byte) (int, []byte) {
	var r request
	if err := xml.Unmarshal(soap, &r); err != nil {
		return http.StatusBadRequest, []byte(err.Error())
	}
	stream := func(name, text string) string {
		return fmt.Sprintf(`<rsp:Stream Name="%s" CommandId="C">%s</rsp:Stream>`, name, base64.StdEncoding.EncodeToString([]byte(text)))
	}
	status, body := http.StatusOK, ""
	switch r.Action {
	case transfer + "Create":
		body = `<x:ResourceCreated><a:ReferenceParameters><w:SelectorSet><w:Selector Name="ShellId">S</w:Selector></w:SelectorSet></a:ReferenceParameters></x:ResourceCreated>`
	case shell + "Command":
		if r.Command != "whoami /all" {
			return http.StatusBadRequest, []byte(r.Command)
		}
		body = `<rsp:CommandResponse><rsp:CommandId>C</rsp:CommandId></rsp:CommandResponse>`
	case shell + "Receive":
		if w.polls.Add(1) == 1 {
			status, body = http.StatusInternalServerError, `<s:Fault><s:Reason><s:Text>cannot complete the operation within the time specified in OperationTimeout</s:Text></s:Reason></s:Fault>`
			break
		}
		body = "<rsp:ReceiveResponse>" + stream("stdout", c.Name+"\n") + stream("stderr", "a warning\n") +
			fmt.Sprintf(`<rsp:CommandState CommandId="C" State="%sCommandState/Done"><rsp:ExitCode>%d</rsp:ExitCode></rsp:CommandState></rsp:ReceiveResponse>`, shell, w.exit)
	case shell + "Signal", transfer + "Delete":
	default:
		return http.StatusBadRequest, []byte(r.Action)
	}
	return status, []byte(`<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" ` +
		`xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" xmlns:x="http://schemas.xmlsoap.org/ws/2004/09/transfer" ` +
		`xmlns:rsp="http://schemas.microsoft.com/wbem/wsman/1/windows/shell"><s:Header/><s:Body>` + body + `</s:Body></s:Envelope>`)
}

func start(t *testing.T, w *windows, so fakeweb.ServerOptions) (*fakewinrm.Endpoint, *fakeweb.Server, client.WinRMOptions, []string) {
	t.Helper()
	realm := fakekdc.Start(t, fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"))
	endpoint := fakewinrm.New(realm, "HTTP/localhost", fakewinrm.Options{Answer: w.answer})
	server := fakeweb.Serve(realm, endpoint, so)
	_, port, err := net.SplitHostPort(server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	o := client.WinRMOptions{Options: client.Options{
		Principal: "alice", Password: kerberos.NewSecret("secret"), Krb5ConfText: realm.Config(),
		Getenv: func(string) string { return "" }, Transport: server.Transport(),
	}}
	return endpoint, server, o, []string{"-host", "localhost", "-port", port}
}

func TestRun(t *testing.T) {
	for name, tc := range map[string]struct {
		so     fakeweb.ServerOptions
		args   []string
		sealed bool
	}{
		"http":  {fakeweb.ServerOptions{}, nil, true},
		"https": {fakeweb.ServerOptions{TLS: true}, []string{"-https"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			endpoint, server, o, args := start(t, &windows{exit: 3}, tc.so)
			var stdout, stderr bytes.Buffer
			code, err := run(append(append(args, tc.args...), "whoami", "/all"), o, &stdout, &stderr)
			if err != nil || code != 3 || !strings.HasPrefix(stdout.String(), "alice@") || stderr.String() != "a warning\n" {
				t.Errorf("exit code %d, %v, %q, %q", code, err, &stdout, &stderr)
			}
			messages := endpoint.Messages()
			if len(messages) != 6 { // create, command, receive twice, signal, delete
				t.Errorf("%d messages: %+v", len(messages), messages)
			}
			for _, m := range messages {
				if m.Sealed != tc.sealed {
					t.Errorf("%+v", m)
				}
			}
			if n := server.Connections(); n != 1 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// What somebody on the way changes is not taken for the command's output.
func TestRunTampered(t *testing.T) {
	endpoint, _, o, args := start(t, &windows{}, fakeweb.ServerOptions{})
	endpoint.SetForgery(fakewinrm.Forgeries()["last bit of the data"])
	var out bytes.Buffer
	code, err := run(append(args, "whoami", "/all"), o, &out, &out)
	var e *middleware.Error
	if code != 1 || !errors.As(err, &e) || e.Reason != middleware.ReasonTampered || out.Len() > 0 {
		t.Errorf("exit code %d, %v, %q", code, err, &out)
	}
}

func TestArguments(t *testing.T) {
	for _, args := range [][]string{{}, {"-host", "h"}, {"whoami"}, {"-no-such-flag"}} {
		var out bytes.Buffer
		if code, err := run(args, client.WinRMOptions{}, &out, &out); code != 1 || err == nil {
			t.Errorf("%q: exit code %d, %v", args, code, err)
		}
	}
}

func TestEndpoints(t *testing.T) {
	_, _, o, _ := start(t, &windows{}, fakeweb.ServerOptions{})
	o.Transport = nil
	for name, tc := range map[string]struct {
		change func(*winrm.Endpoint)
		ok     bool
	}{
		"http":           {func(*winrm.Endpoint) {}, true},
		"https":          {func(e *winrm.Endpoint) { e.HTTPS, e.TLSServerName = true, "name" }, true},
		"insecure":       {func(e *winrm.Endpoint) { e.Insecure = true }, false},
		"no certificate": {func(e *winrm.Endpoint) { e.CACert = []byte("none") }, false},
		"client's":       {func(e *winrm.Endpoint) { e.Cert = []byte("x") }, false},
	} {
		e := winrm.NewEndpoint("localhost", 5985, false, false, nil, nil, nil, 0)
		tc.change(e)
		tr := NewTransporter(o)
		if err := tr.Transport(e); (err == nil) != tc.ok {
			t.Errorf("%s: %v", name, err)
		}
		tr.Close()
	}
}
