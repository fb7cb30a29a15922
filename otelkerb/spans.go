package otelkerb

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/kerbchain/kerbchain/middleware"
)

// note makes a span of an exchange that has just ended, and an event of anything else.
func (o *Observer) note(ctx context.Context, e middleware.Event, now time.Time) {
	if e, ok := e.(middleware.ExchangeEvent); ok {
		o.span(ctx, e, now)
		return
	}
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	name, attributes := describe(e)
	span.AddEvent("kerberos."+name, trace.WithTimestamp(now), trace.WithAttributes(attributes...))
}

// span makes the span of an exchange.
func (o *Observer) span(ctx context.Context, e middleware.ExchangeEvent, now time.Time) {
	_, span := o.tracer.Start(ctx, e.Kind+" "+e.Realm,
		trace.WithSpanKind(trace.SpanKindClient),
		trace.WithTimestamp(now.Add(-e.Duration)),
		trace.WithAttributes(exchange(e)...))
	switch name := failure(e); {
	case e.Err != nil:
		span.SetStatus(codes.Error, e.Err.Error())
	case name != "":
		span.SetStatus(codes.Error, "KRB-ERROR "+name)
	}
	span.End(trace.WithTimestamp(now))
}

// describe returns the name of an event and its attributes. Errors are told by their kind:
// their texts may hold what a server said.
func describe(e middleware.Event) (string, []attribute.KeyValue) {
	switch e := e.(type) {
	case middleware.ChallengeEvent:
		return "challenge", append(server(e.Host), status(e.Status), attribute.Int("kerberos.requests", e.Requests))
	case middleware.CredentialsEvent:
		return "credentials", append(server(e.Host), stage(e.Stage),
			attribute.String("kerberos.field", e.Field), attribute.Bool("kerberos.dropped", e.Dropped))
	case middleware.WithheldEvent:
		return "withheld", append(failed(server(e.Host), e.Err), stage(e.Stage))
	case middleware.ConfigurationEvent:
		return "configuration", []attribute.KeyValue{
			attribute.String("kerberos.where", e.Where), attribute.String("kerberos.warning", e.Text)}
	case middleware.TicketEvent:
		out := []attribute.KeyValue{spn(e.SPN), attribute.String("kerberos.client", e.Client),
			attribute.String("kerberos.source", e.Source), cached(e.Cached), etype(e.Etype), duration(e.Duration)}
		if !e.Expires.IsZero() {
			out = append(out, attribute.String("kerberos.ticket.expires", e.Expires.UTC().Format(time.RFC3339)))
		}
		return "ticket", out
	case middleware.CacheEvent:
		return "cache", failed([]attribute.KeyValue{attribute.String("kerberos.cache", e.Cache), spn(e.Server)}, e.Err)
	case middleware.ForeignCacheEvent:
		return "foreign_cache", []attribute.KeyValue{
			attribute.String("kerberos.cache", e.Cache), attribute.String("kerberos.owner", e.Owner)}
	case middleware.TokenEvent:
		return "token", append(server(e.Host), spn(e.SPN), attribute.String("kerberos.scheme", string(e.Scheme)),
			attribute.Int("kerberos.token.size", e.Bytes), attribute.Bool("kerberos.mutual", e.Mutual),
			attribute.Bool("kerberos.bound", e.Bound), attribute.Bool("kerberos.delegate", e.Delegate), duration(e.Duration))
	case middleware.SendEvent:
		return "send", append(server(e.Host), stage(e.Stage),
			attribute.Int("kerberos.requests", e.Request), attribute.Bool("kerberos.again", e.Again))
	case middleware.RefusedEvent:
		return "refused", append(failed(refusal(e), e.Err), attribute.Int("kerberos.token.size", e.Bytes))
	case middleware.DiscardEvent:
		return "discard", append(server(e.Host), spn(e.SPN), attribute.String("kerberos.response.code", code(e.Code)))
	case middleware.FallbackEvent:
		return "fallback", failed(server(e.Host), e.Err)
	case middleware.VerdictEvent:
		return "verdict", append(failed(verdict(e), e.Err), spn(e.SPN), status(e.Status))
	case middleware.SanitizedEvent:
		return "sanitized", append(server(e.Host), status(e.Status))
	}
	return "event", []attribute.KeyValue{attribute.String("kerberos.type", strings.TrimPrefix(fmt.Sprintf("%T", e), "middleware."))}
}

func failed(out []attribute.KeyValue, err error) []attribute.KeyValue {
	if err == nil {
		return out
	}
	return append(out, kind(err))
}

func spn(name string) attribute.KeyValue { return attribute.String("kerberos.spn", name) }

func stage(name string) attribute.KeyValue { return attribute.String("kerberos.stage", name) }

// duration is in seconds, as everywhere in OpenTelemetry.
func duration(d time.Duration) attribute.KeyValue {
	return attribute.Float64("kerberos.duration", d.Seconds())
}
