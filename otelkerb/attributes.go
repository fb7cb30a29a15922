package otelkerb

import (
	"cmp"
	"context"
	"errors"
	"net"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/kerbchain/kerbchain/middleware"
)

// other is what the conventions call that which has no name.
const other = "_OTHER"

func errorType(name string) attribute.KeyValue { return semconv.ErrorTypeKey.String(name) }

// server names a peer.
func server(hostPort string) []attribute.KeyValue {
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return []attribute.KeyValue{semconv.ServerAddress(hostPort)}
	}
	out := []attribute.KeyValue{semconv.ServerAddress(host)}
	if n, err := strconv.ParseUint(port, 10, 16); err == nil {
		out = append(out, semconv.ServerPort(int(n)))
	}
	return out
}

// exchange says whom was asked what, and how that ended.
func exchange(e middleware.ExchangeEvent) []attribute.KeyValue {
	out := append(server(e.Address),
		attribute.String("kerberos.exchange", e.Kind),
		attribute.String("kerberos.realm", e.Realm),
	)
	if e.Network == "https" { // a proxy for KDCs (MS-KKDCP)
		out = append(out, semconv.NetworkTransportTCP, semconv.NetworkProtocolName("kkdcp"))
	} else {
		out = append(out, semconv.NetworkTransportKey.String(e.Network), semconv.NetworkProtocolName("kerberos"))
	}
	if e.Preauth != "" {
		out = append(out, attribute.String("kerberos.preauth", e.Preauth))
	}
	if e.Armored {
		out = append(out, attribute.Bool("kerberos.armored", true))
	}
	if e.Code != 0 {
		out = append(out, attribute.String("kerberos.response.code", code(e.Code)))
	}
	if name := failure(e); name != "" {
		out = append(out, errorType(name))
	}
	return out
}

// The codes of KRB-ERRORs by which a KDC asks for more, and refuses nothing (RFC 4120
// section 7.5.9, RFC 6113 section 5.4.4).
const (
	codePreauthRequired     = 25
	codeResponseTooBig      = 52
	codeMorePreauthRequired = 91
)

// failure is the type of the error by which an exchange ended, "" where it went well.
func failure(e middleware.ExchangeEvent) string {
	switch {
	case middleware.IsTimeout(e.Err):
		return "timeout"
	case errors.Is(e.Err, context.Canceled):
		return "canceled"
	case e.Err != nil:
		return other
	}
	switch e.Code {
	case 0, codePreauthRequired, codeResponseTooBig, codeMorePreauthRequired:
		return ""
	}
	return code(e.Code)
}

// code is the code of a KRB-ERROR. Anybody on the way can send one, so that only those
// that could mean something are told apart.
func code(n int32) string {
	if n < 0 || n > 127 {
		return other
	}
	return strconv.Itoa(int(n))
}

func cached(yes bool) attribute.KeyValue { return attribute.Bool("kerberos.ticket.cached", yes) }

// etype is the number of an encryption type (RFC 3961).
func etype(n int32) attribute.KeyValue { return attribute.Int("kerberos.ticket.etype", int(n)) }

// verdict says how a response was judged.
func verdict(e middleware.VerdictEvent) []attribute.KeyValue {
	result := "unverified"
	switch {
	case e.Err != nil:
		result = "refused"
	case e.Trusted:
		result = "trusted"
	case e.Verified:
		result = "verified"
	}
	return append(server(e.Host),
		attribute.String("kerberos.verdict", result),
		attribute.String("kerberos.mode", string(e.Mode)),
		reason(e.Reason),
	)
}

// refusal says how a token was refused.
func refusal(e middleware.RefusedEvent) []attribute.KeyValue {
	return append(server(e.Host), status(e.Status), reason(e.Reason))
}

// reasons are the names of reasons, which do not change as their texts may.
var reasons = map[middleware.Reason]string{
	middleware.ReasonNone:               "none",
	middleware.ReasonNoToken:            "no_token",
	middleware.ReasonMalformed:          "malformed",
	middleware.ReasonWrongKey:           "wrong_key",
	middleware.ReasonWrongTime:          "wrong_time",
	middleware.ReasonKRBError:           "krb_error",
	middleware.ReasonUnverifiedRedirect: "unverified_redirect",
	middleware.ReasonReusedConnection:   "reused_connection",
	middleware.ReasonWrongMechanism:     "wrong_mechanism",
	middleware.ReasonRefused:            "refused",
	middleware.ReasonUnsealed:           "unsealed",
	middleware.ReasonTampered:           "tampered",
	middleware.ReasonReplayed:           "replayed",
	middleware.ReasonOutOfOrder:         "out_of_order",
	middleware.ReasonReflected:          "reflected",
	middleware.ReasonTokenTooLarge:      "token_too_large",
	middleware.ReasonNotAuthorized:      "not_authorized",
}

func reason(r middleware.Reason) attribute.KeyValue {
	return attribute.String("kerberos.reason", cmp.Or(reasons[r], other))
}

func status(code int) attribute.KeyValue { return semconv.HTTPResponseStatusCode(code) }
