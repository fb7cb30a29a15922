package mutual_test

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
)

// An impostor answers 200 without the token that only the holder of the
// service's key can make.
func ExampleNew() {
	impostor := stagetest.Respond(http.StatusOK, "trust me")
	next := mutual.New(mutual.Options{})(kerbchain.Next(impostor))

	r, _ := http.NewRequest(http.MethodGet, "https://www.example.com/", nil)
	_, err := next(r)

	var e *middleware.Error
	if errors.Is(err, middleware.ErrNotVerified) && errors.As(err, &e) {
		fmt.Println(e.Host, "is not trusted:", e.Reason)
	}
	// Output:
	// www.example.com:443 is not trusted: no token
}

// Over a TLS connection that is trusted, Optional takes what proof there is.
func ExampleOptions() {
	server := stagetest.Respond(http.StatusOK, "hello")
	next := mutual.New(mutual.Options{Mode: mutual.Optional})(kerbchain.Next(server))

	r, _ := http.NewRequest(http.MethodGet, "https://www.example.com/", nil)
	resp, err := next(r)
	fmt.Println(resp.Status, err)
	// Output:
	// 200 OK <nil>
}
