package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"github.com/kerbchain/kerbchain/internal/messages"
	"github.com/kerbchain/kerbchain/internal/printable"
	"github.com/kerbchain/kerbchain/middleware"
)

// A message is what went wrong, in up to three lines: what for whom, why, and what to
// try.
type message struct{ what, why, try string }

// write writes a message, whatever strangers put into it.
func (m message) write(w io.Writer) {
	for _, line := range [][2]string{{"kerbchain: ", m.what}, {"  why: ", m.why}, {"  try: ", m.try}} {
		if line[1] != "" {
			fmt.Fprintln(w, line[0]+printable.Line(line[1]))
		}
	}
}

// inWords puts the command's flags in the place of the options that errors and hints
// of the library name.
var inWords = strings.NewReplacer(
	"it has no Request.GetBody and more than the", "it is a stream, and longer than the",
	"it has no Request.GetBody, and cannot", "it is a stream, and cannot",
	"; set Request.GetBody, raise the limit, send Expect: 100-continue, or authenticate preemptively", "", // the hint says so too
	"set Request.GetBody, raise Options.BodyLimit or SpillLimit, choose another Options.OneShot, or sign requests at once with the preemptive stage",
	"send a file, or sign at once (--preemptive always)",
	"set Request.GetBody, or let every CONNECT be signed (Options.Always)", "send a file",
	"set Request.GetBody, or Protocols of the transport", "send a file",
	"Options.AllowDowngrade", "--allow-downgrade", "AllowDowngrade", "--allow-downgrade",
	"mutual.Optional", "--mutual optional", "mutual.Disabled", "--mutual disabled",
	"sign every request (preemptive)", "sign every request (--preemptive always)",
	"sign it at once (preemptive), or apply mutual with kerbchain.When to the hosts that authenticate",
	"sign it at once (--preemptive always), or take it as it is (--mutual optional)",
	"let preemptive or negotiate sign it", "leave its Authorization header out",
	", use https, or set TrustProxy if the proxy may speak for it", " or use https",
	"leave TrustConnection and TrustProxy out", "leave --trust-connection out",
	"add the proxy to AllowedHosts of the options for proxies", "add the proxy to --allowed-hosts",
	"give proxies options of their own (InitiatorOptions.Proxy)", "--cbt auto does without",
	"give proxies options of their own, that do not require it", "--cbt auto does without",
	"leave Mutual at mutual.Required", "leave --mutual at required",
	"raise Options.MaxBody", "the command has no way to raise it",
	"make the service's source with kerberos.FromKeytab", "log in as the service with --keytab",
	"set KRB5CCNAME to a cache that exists", "name a cache that exists in --ccache or KRB5CCNAME",
	"name the cache in KRB5CCNAME", "name the cache in --ccache or KRB5CCNAME",
	"name another in KRB5CCNAME", "name another in --ccache or KRB5CCNAME",
	"name a file in KRB5CCNAME", "name a file in --ccache or KRB5CCNAME",
	"name it as Keytab or in KRB5_CLIENT_KTNAME", "name it in --keytab or KRB5_CLIENT_KTNAME",
	"name it as CCache or in KRB5CCNAME", "name it in --ccache or KRB5CCNAME",
	"armour with what kerberos.FromKeytab makes of it", "name it in --armor-keytab",
	"; this key or password is not sent again for a minute", "", // that is for one process
	"this key or password is not sent again for a minute", "",
	"to the client (CCache)", "in --ccache", "AllowedHosts", "--allowed-hosts",
	"KeepErrorBodies shows it", "--no-sanitize prints it",
	"set Armor", "name its credentials in --armor-ccache or --armor-keytab",
	", or make the armour optional", ", or leave --armor-ccache and --armor-keytab out",
	"Options.Library", "--gssapi-library", "Options.CCache", "--ccache", "DelegationPolicy goes on", "--delegate policy goes on",
	"HostOverride, HostOverrides or Canonicalize", "--host-override or --canonicalize fallback",
	"HostOverride or HostOverrides", "--host-override", "package kerberos", "--credentials own",
	"set Principal and Password", "use --principal and --password-file",
	"TrustConnection", "--trust-connection", "BindingsRequired", "--cbt require", "BindingsOff", "--cbt off", "BindingsAuto", "--cbt auto",
)

// of takes an error apart, in the command's words.
func of(err error) message { return inCommand(messages.Of(err)) }

func inCommand(m messages.Message) message {
	return message{m.What, inWords.Replace(m.Why), inWords.Replace(m.Try)}
}

// statusOf is the exit status for an error in place of a response.
func statusOf(err error) int {
	switch {
	case errors.Is(err, middleware.ErrHost):
		return exitUsage
	case errors.Is(err, middleware.ErrConfiguration):
		return exitConfiguration
	case errors.Is(err, middleware.ErrCredentials):
		return exitCredentials
	case errors.Is(err, middleware.ErrKDC):
		return exitKDC
	case errors.Is(err, middleware.ErrNotVerified):
		return exitNotVerified
	}
	return exitNetwork
}

// failed reports why there is no response.
func failed(ctx context.Context, w world, err error) int {
	if i, ok := errors.AsType[interruption](context.Cause(ctx)); ok {
		complain(w, "%v", i)
		return i.status()
	}
	if o, ok := errors.AsType[*outputError](err); ok {
		return unwritten(w, o.err)
	}
	code := statusOf(err)
	host := ""
	if ue, ok := errors.AsType[*url.Error](err); ok {
		if u, parseErr := url.Parse(ue.URL); parseErr == nil {
			host = u.Host
		}
	}
	err = withoutURL(err)
	m := of(err)
	if _, ours := errors.AsType[*middleware.Error](err); !ours && host != "" {
		m.what += " from " + host
		m.why, m.try = ofOthers(err, m.why)
	}
	m.write(w.stderr)
	return code
}

// unwritten reports that the output could not be written. Who closes a pipe has read what
// he wants, and is told nothing.
func unwritten(w world, err error) int {
	if !errors.Is(err, syscall.EPIPE) {
		complain(w, "%v", &outputError{err})
	}
	return exitOutput
}

// withoutURL returns what is in an error of an http.Client, without URLs: those of
// requests and redirects may hold secrets in their queries.
func withoutURL(err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err
	}
	if strings.HasPrefix(err.Error(), "failed to parse Location header") { // net/http has no other way to tell
		return errors.New("the server redirects to what is no URL")
	}
	return err
}

// ofOthers says why, and what to try, of an error that is not this module's.
func ofOthers(err error, text string) (why, try string) {
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	_, name := errors.AsType[x509.HostnameError](err)
	dns, lookup := errors.AsType[*net.DNSError](err)
	op, ok := errors.AsType[*net.OpError](err)
	switch {
	case ok && op.Op == "proxyconnect":
		return text, "see whether the proxy is up, and whether it is meant: -x, http_proxy or https_proxy names it; -x '' does without"
	case lookup && dns.IsNotFound:
		return text, "look for mistakes in the name; --resolve and --connect-to lead to an address that DNS does not know"
	case lookup:
		return text, "see whether the name servers of this machine answer: its network or VPN, and which ones it asks (/etc/resolv.conf)"
	case unknown:
		return text, "name the certificate of that authority with --cacert; -k checks none"
	case name:
		return text, "use the name in the certificate, with --connect-to or --resolve for the address; -k checks none"
	case errors.Is(err, http.ErrSchemeMismatch):
		return text, "begin the URL with http://, if the network is to be trusted"
	case errors.Is(err, io.EOF):
		return "the connection was closed before there was an answer", ""
	}
	return text, ""
}

// complain writes one line to standard error, whatever strangers put into it.
func complain(w world, format string, args ...any) {
	message{what: fmt.Sprintf(format, args...)}.write(w.stderr)
}
