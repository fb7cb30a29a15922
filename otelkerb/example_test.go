package otelkerb_test

import (
	"context"
	"fmt"
	"log"
	"net/http"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/client/clienttest"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/otelkerb"
)

// otelhttp has the span of the call, and the exchanges with KDCs are its children. A
// realm within the process and exporters to memory stand for the real ones.
func Example() {
	realm, err := fakekdc.New(fakekdc.WithRealm("EXAMPLE.COM"), fakekdc.WithUser("alice", "secret"),
		fakekdc.WithService("HTTP/localhost"))
	if err != nil {
		log.Fatal(err)
	}
	defer realm.Close()
	server := fakeweb.Serve(realm, fakeweb.New(realm, "HTTP/localhost", fakeweb.Options{}), fakeweb.ServerOptions{})
	defer server.Close()
	spans, reader := tracetest.NewInMemoryExporter(), sdkmetric.NewManualReader()
	traces := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))

	rt, err := client.NewTransport(clienttest.Options(nil, realm, "alice", client.Options{}))
	if err != nil {
		log.Fatal(err)
	}
	observer := otelkerb.New(otelkerb.Options{TracerProvider: traces, MeterProvider: meters})
	c := &http.Client{Transport: otelhttp.NewTransport(
		kerbchain.Wrap(rt, observer.Middleware()),
		otelhttp.WithTracerProvider(traces), otelhttp.WithMeterProvider(meters),
	)}
	defer c.CloseIdleConnections()
	resp, err := c.Get(server.URL())
	if err != nil {
		log.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil { // ends the span
		log.Fatal(err)
	}

	for _, s := range spans.GetSpans() {
		fmt.Println(s.SpanKind, s.Name)
		for _, e := range s.Events {
			fmt.Println("  ", e.Name)
		}
	}
	var all metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &all); err != nil {
		log.Fatal(err)
	}
	for _, m := range all.ScopeMetrics {
		if m.Scope.Name == "github.com/kerbchain/kerbchain/otelkerb" {
			for _, m := range m.Metrics {
				fmt.Println(m.Name, m.Unit)
			}
		}
	}
	// Output:
	// client TGS EXAMPLE.COM
	// client HTTP GET
	//    kerberos.challenge
	//    kerberos.cache
	//    kerberos.ticket
	//    kerberos.token
	//    kerberos.send
	//    kerberos.verdict
	// kerberos.client.exchange.duration s
	// kerberos.client.tickets {ticket}
	// kerberos.client.verdicts {response}
}
