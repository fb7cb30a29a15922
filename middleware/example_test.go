package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/kerbchain/kerbchain/middleware"
)

func ExampleTargetOfURL() {
	u, err := url.Parse("https://www.example.com/index.html")
	if err != nil {
		fmt.Println(err)
		return
	}
	t := middleware.TargetOfURL(u)
	fmt.Println(t.Scheme, t.Host, t.Port, t.Secure)
	// Output:
	// Negotiate www.example.com 443 true
}

func ExampleTarget_HostPort() {
	fmt.Println(middleware.Target{Host: "www.example.com", Port: "80"}.HostPort())
	fmt.Println(middleware.Target{Host: "2001:db8::1", Port: "443"}.HostPort())
	// Output:
	// www.example.com:80
	// [2001:db8::1]:443
}

// A sure context is one that is verified from the start.
type sure struct{ target middleware.Target }

func (sure) Step(context.Context, []byte) ([]byte, error) { return nil, nil }
func (sure) Verified() bool                               { return true }
func (s sure) Target() middleware.Target                  { return s.target }

// Mechanisms other than ours are functions of this form.
func ExampleInitiatorFunc() {
	var i middleware.Initiator = middleware.InitiatorFunc(
		func(ctx context.Context, t middleware.Target) (middleware.SecurityContext, error) {
			return sure{t}, nil
		})
	sc, err := i.Initiate(context.Background(), middleware.Target{Host: "www.example.com", Port: "443"})
	fmt.Println(sc.Target().HostPort(), sc.Verified(), err)
	// Output:
	// www.example.com:443 true <nil>
}

func ExampleInitiatorFunc_Initiate() {
	none := middleware.InitiatorFunc(
		func(ctx context.Context, t middleware.Target) (middleware.SecurityContext, error) {
			return nil, &middleware.Error{Stage: "example", Kind: middleware.ErrCredentials, Host: t.HostPort(), Hint: "run kinit"}
		})
	_, err := none.Initiate(context.Background(), middleware.Target{Host: "www.example.com", Port: "443"})
	fmt.Println(err)
	// Output:
	// example: no usable Kerberos credentials (host www.example.com:443); run kinit
}

// A stage that signs sends a copy of the request that carries the context.
func ExampleWithSecurity() {
	r, _ := http.NewRequest(http.MethodGet, "https://www.example.com/", nil)
	signed := middleware.WithSecurity(r, sure{middleware.TargetOfURL(r.URL)})
	fmt.Println(middleware.SecurityOf(r) != nil, middleware.SecurityOf(signed) != nil)
	// Output:
	// false true
}

// An application asks the response's request who vouches for the response.
func ExampleSecurityOf() {
	r, _ := http.NewRequest(http.MethodGet, "https://www.example.com/", nil)
	resp := &http.Response{Request: middleware.WithSecurity(r, sure{middleware.TargetOfURL(r.URL)})}

	if sc := middleware.SecurityOf(resp.Request); sc != nil && sc.Verified() {
		fmt.Println(sc.Target().Host, "proved its identity")
	}
	// Output:
	// www.example.com proved its identity
}

// The proxy has a context of its own, beside that of the origin server.
func ExampleProxySecurityOf() {
	r, _ := http.NewRequest(http.MethodGet, "http://www.example.com/", nil)
	r = middleware.WithSecurity(r, sure{middleware.Target{Host: "proxy.example.com", Port: "3128", Proxy: true}})
	fmt.Println(middleware.ProxySecurityOf(r).Target().HostPort(), middleware.SecurityOf(r))
	// Output:
	// proxy.example.com:3128 <nil>
}

// Whoever holds the request, or a response to it, sees the new context.
func ExampleReplaceSecurity() {
	r, _ := http.NewRequest(http.MethodGet, "https://www.example.com/", nil)
	fmt.Println(middleware.ReplaceSecurity(r, sure{}))

	signed := middleware.WithSecurity(r, sure{middleware.Target{Host: "first"}})
	resp := &http.Response{Request: signed}
	fmt.Println(middleware.ReplaceSecurity(signed, sure{middleware.Target{Host: "second"}}))
	fmt.Println(middleware.SecurityOf(resp.Request).Target().Host)
	// Output:
	// false
	// true
	// second
}

// Traces see what the stages and the initiator do on behalf of a request.
func ExampleWithTrace() {
	ctx := middleware.WithTrace(context.Background(), func(e middleware.Event) {
		switch e := e.(type) {
		case middleware.TicketEvent:
			fmt.Println("ticket for", e.SPN)
		case middleware.VerdictEvent:
			fmt.Println("verified:", e.Verified)
		default: // there may be new ones
		}
	})
	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "https://www.example.com/", nil)

	// What a stage does with the request it gets:
	middleware.Emit(r.Context(), middleware.TicketEvent{SPN: "HTTP/www.example.com@EXAMPLE.COM"})
	middleware.Emit(r.Context(), middleware.VerdictEvent{Verified: true})
	// Output:
	// ticket for HTTP/www.example.com@EXAMPLE.COM
	// verified: true
}

// All traces of a context hear an event, the oldest first.
func ExampleEmit() {
	ctx := middleware.WithTrace(context.Background(), func(middleware.Event) { fmt.Println("first") })
	ctx = middleware.WithTrace(ctx, func(middleware.Event) { fmt.Println("second") })
	middleware.Emit(ctx, middleware.SendEvent{Stage: "example", Request: 1})
	// Output:
	// first
	// second
}

func ExampleTracing() {
	ctx := context.Background()
	fmt.Println(middleware.Tracing(ctx))
	fmt.Println(middleware.Tracing(middleware.WithTrace(ctx, func(middleware.Event) {})))
	// Output:
	// false
	// true
}

// refuse stands for a call whose server did not prove itself.
func refuse() error {
	return fmt.Errorf("call: %w", &middleware.Error{
		Stage: "mutual", Kind: middleware.ErrNotVerified, Host: "www.example.com:443", Reason: middleware.ReasonWrongKey,
	})
}

// Programs branch on sentinels and fields; the text is for people.
func ExampleError() {
	err := refuse()
	var e *middleware.Error
	if errors.Is(err, middleware.ErrNotVerified) && errors.As(err, &e) {
		fmt.Println(e.Host, e.Reason)
	}
	// Output:
	// www.example.com:443 wrong key
}

func ExampleError_Error() {
	err := &middleware.Error{
		Stage: "kerberos", Kind: middleware.ErrKDC, SPN: "HTTP/www.example.com@EXAMPLE.COM", Principal: "alice@EXAMPLE.COM",
		Code: 7, Err: errors.New("KDC_ERR_S_PRINCIPAL_UNKNOWN"), Hint: "register the SPN, or override the host name",
	}
	fmt.Println(err)
	// Output:
	// kerberos: key distribution centre failed (SPN HTTP/www.example.com@EXAMPLE.COM, principal alice@EXAMPLE.COM, code 7): KDC_ERR_S_PRINCIPAL_UNKNOWN; register the SPN, or override the host name
}

func ExampleError_Unwrap() {
	err := &middleware.Error{Stage: "kerberos", Kind: middleware.ErrKDC, Err: context.DeadlineExceeded}
	fmt.Println(errors.Is(err, middleware.ErrKDC), errors.Is(err, context.DeadlineExceeded), errors.Is(err, middleware.ErrToken))
	// Output:
	// true true false
}

// A retry loop repeats what could succeed later, and nothing else.
func ExampleError_Temporary() {
	for _, err := range []error{
		&middleware.Error{Stage: "kerberos", Kind: middleware.ErrKDC, IsTemporary: true},
		&middleware.Error{Stage: "kerberos", Kind: middleware.ErrCredentials},
	} {
		var t interface{ Temporary() bool }
		fmt.Println(err, "- again:", errors.As(err, &t) && t.Temporary())
	}
	// Output:
	// kerberos: key distribution centre failed - again: true
	// kerberos: no usable Kerberos credentials - again: false
}

func ExampleReason_String() {
	fmt.Println(middleware.ReasonUnverifiedRedirect)
	// Output:
	// unverified redirect
}

func ExampleReason_Hint() {
	for _, r := range []middleware.Reason{middleware.ReasonNone, middleware.ReasonKRBError, middleware.ReasonNoToken} {
		fmt.Printf("%v: something to try: %v\n", r, r.Hint() != "")
	}
	// Output:
	// none: something to try: false
	// KRB-ERROR: something to try: false
	// no token: something to try: true
}
