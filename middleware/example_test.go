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
