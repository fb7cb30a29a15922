package otelkerb

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/kerbchain/kerbchain/middleware"
)

// metrics are the instruments.
type metrics struct {
	exchanges metric.Float64Histogram
	tickets   metric.Int64Counter
	verdicts  metric.Int64Counter
	refusals  metric.Int64Counter
	errors    metric.Int64Counter
}

// seconds are those of the metric http.client.request.duration, which a KDC is part of.
var seconds = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}

func newMetrics(m metric.Meter) metrics {
	counter := func(name, unit, description string) metric.Int64Counter {
		c, err := m.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
		handle(err)
		return c
	}
	exchanges, err := m.Float64Histogram("kerberos.client.exchange.duration", metric.WithUnit("s"),
		metric.WithDescription("What a KDC takes to answer, or to fail."),
		metric.WithExplicitBucketBoundaries(seconds...))
	handle(err)
	return metrics{
		exchanges: exchanges,
		tickets:   counter("kerberos.client.tickets", "{ticket}", "Service tickets, found at hand or fetched."),
		verdicts:  counter("kerberos.client.verdicts", "{response}", "Responses that were judged, by what they proved."),
		refusals:  counter("kerberos.client.refusals", "{response}", "Responses that refuse a token."),
		errors:    counter("kerberos.client.errors", "{request}", "Requests that failed with an error of a stage."),
	}
}

func handle(err error) {
	if err != nil {
		otel.Handle(err)
	}
}

// note counts what e tells.
func (m *metrics) note(ctx context.Context, e middleware.Event) {
	switch e := e.(type) {
	case middleware.ExchangeEvent:
		m.exchanges.Record(ctx, e.Duration.Seconds(), metric.WithAttributes(exchange(e)...))
	case middleware.TicketEvent:
		m.tickets.Add(ctx, 1, metric.WithAttributes(cached(e.Cached), etype(e.Etype)))
	case middleware.VerdictEvent:
		m.verdicts.Add(ctx, 1, metric.WithAttributes(verdict(e)...))
	case middleware.RefusedEvent:
		m.refusals.Add(ctx, 1, metric.WithAttributes(refusal(e)...))
	}
}

// failed counts a request that failed.
func (m *metrics) failed(ctx context.Context, e *middleware.Error) {
	m.errors.Add(ctx, 1, metric.WithAttributes(
		attribute.String("kerberos.stage", e.Stage), kind(e), attribute.Bool("kerberos.temporary", e.Temporary())))
}

// kinds are the sentinels of errors, by the names of their variables.
var kinds = []struct {
	err  error
	name string
}{
	{middleware.ErrNoBindings, "no_bindings"}, // comes along with ErrToken
	{middleware.ErrCredentials, "credentials"},
	{middleware.ErrKDC, "kdc"},
	{middleware.ErrToken, "token"},
	{middleware.ErrNotVerified, "not_verified"},
	{middleware.ErrBodyNotReplayable, "body_not_replayable"},
	{middleware.ErrConfiguration, "configuration"},
	{middleware.ErrConnection, "connection"},
	{middleware.ErrNotAllowed, "not_allowed"},
	{middleware.ErrHost, "host"},
}

func kind(err error) attribute.KeyValue {
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return errorType(k.name)
		}
	}
	return errorType(other)
}
