package otelkerb

import (
	"context"
	"errors"
	"net/http"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/middleware"
)

// scope names this package to OpenTelemetry.
const scope = "github.com/kerbchain/kerbchain/otelkerb"

// Options are the choices of [New].
type Options struct {
	// TracerProvider makes the spans; nil means the global one.
	TracerProvider trace.TracerProvider
	// MeterProvider makes the metrics; nil means the global one.
	MeterProvider metric.MeterProvider
}

// An Observer reports to OpenTelemetry. It is safe for concurrent use.
type Observer struct {
	tracer  trace.Tracer
	metrics metrics
}

// New returns an observer. What the meter says against an instrument goes to the error
// handler of OpenTelemetry.
func New(o Options) *Observer {
	if o.TracerProvider == nil {
		o.TracerProvider = otel.GetTracerProvider()
	}
	if o.MeterProvider == nil {
		o.MeterProvider = otel.GetMeterProvider()
	}
	return &Observer{
		tracer:  o.TracerProvider.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL)),
		metrics: newMetrics(o.MeterProvider.Meter(scope, metric.WithSchemaURL(semconv.SchemaURL))),
	}
}

// Middleware returns a stage that observes each request and counts those that fail. It
// stands outermost, but for otelhttp. It leaves requests and responses as they are.
func (o *Observer) Middleware() kerbchain.Middleware {
	return func(next kerbchain.Next) kerbchain.Next {
		return func(r *http.Request) (*http.Response, error) {
			if o.observes(r.Context()) {
				return next(r)
			}
			resp, err := next(r.WithContext(o.Observe(r.Context())))
			if e := (*middleware.Error)(nil); errors.As(err, &e) {
				o.metrics.failed(r.Context(), e)
			}
			return resp, err
		}
	}
}

// Observe returns a context whose events are reported, as part of the span that ctx bears.
// It is for what is no request: a login, [kerberos.Source.KeepFresh], a signer. A
// context that this observer observes already is returned as it is, so that nothing is
// counted twice.
func (o *Observer) Observe(ctx context.Context) context.Context {
	if o.observes(ctx) {
		return ctx
	}
	traced := middleware.WithTrace(ctx, func(e middleware.Event) {
		o.metrics.note(ctx, e)
		o.note(ctx, e, time.Now())
	})
	return context.WithValue(traced, observerKey{}, o)
}

type observerKey struct{}

func (o *Observer) observes(ctx context.Context) bool {
	return ctx.Value(observerKey{}) == o
}
