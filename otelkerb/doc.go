// Package otelkerb turns the trace events of package middleware into OpenTelemetry
// spans and metrics.
//
//	observer := otelkerb.New(otelkerb.Options{})
//	rt, err := client.NewTransport(client.Options{})
//	c := &http.Client{Transport: otelhttp.NewTransport(kerbchain.Wrap(rt, observer.Middleware()))}
//
// It is a module of its own, so that OpenTelemetry is no dependency of who does without
// it. It uses the API of OpenTelemetry alone; the program chooses an SDK.
//
// # Spans
//
// What happens becomes events of the span that the context of the request bears, such as
// otelhttp's: kerberos.challenge, kerberos.ticket, kerberos.token, kerberos.send,
// kerberos.verdict and so on, one for each event of package middleware. Each message to a
// KDC is a span of its own, a child of that one: "AS EXAMPLE.COM" or "TGS EXAMPLE.COM", of
// kind client. A KDC is asked by whoever needs a ticket first, and those who wait for the
// same ticket have no span of it. Nothing is put into messages to KDCs, which have no room for
// a trace's identity; into requests it is put by otelhttp.
//
// # Metrics
//
//	kerberos.client.exchange.duration  s          histogram of what KDCs take to answer, or to fail
//	kerberos.client.tickets            {ticket}   tickets, found at hand or fetched
//	kerberos.client.verdicts           {response} responses that were judged
//	kerberos.client.refusals           {response} responses that refuse a token
//	kerberos.client.errors             {request}  requests that failed with an error of a stage
//
// There are no semantic conventions for Kerberos. The names of general ones are used where
// they fit: server.address, server.port, network.transport, http.response.status_code,
// error.type. The others begin with "kerberos.".
//
// # What is not told
//
// Neither spans nor metrics hold tokens, keys, passwords, header fields, URLs, or texts that a
// server sent. Attributes of metrics hold no principals, whose number has no bound, and of
// numbers that a stranger chooses only those that RFC 4120 and RFC 9110 know. Spans name
// principals and credential caches.
package otelkerb
