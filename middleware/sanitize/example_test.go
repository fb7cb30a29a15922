package sanitize_test

import (
	"fmt"
	"io"
	"net/http"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware/sanitize"
)

// Of an error response that nobody vouches for, the status is left.
func ExampleNew() {
	server := stagetest.Respond(http.StatusNotFound, "<script>...", "Server", "nginx", "Set-Cookie", "sid=planted")
	next := sanitize.New(sanitize.Options{})(kerbchain.Next(server))

	r, _ := http.NewRequest(http.MethodGet, "https://www.example.com/", nil)
	resp, err := next(r)
	if err != nil {
		fmt.Println(err)
		return
	}
	body, err := io.ReadAll(resp.Body)
	fmt.Printf("%s, %d bytes, %v, %v\n", resp.Status, len(body), resp.Header, err)
	// Output:
	// 404 Not Found, 0 bytes, map[Server:[nginx]], <nil>
}

// An application that shows the error pages of one host keeps those.
func ExampleOptions() {
	stage := sanitize.New(sanitize.Options{Keep: func(resp *http.Response) bool {
		return resp.Request != nil && resp.Request.URL.Host == "docs.example.com" && resp.StatusCode == http.StatusNotFound
	}})
	next := stage(kerbchain.Next(stagetest.Respond(http.StatusNotFound, "no such page")))

	for _, host := range []string{"docs.example.com", "www.example.com"} {
		r, _ := http.NewRequest(http.MethodGet, "https://"+host+"/", nil)
		resp, err := next(r)
		if err != nil {
			fmt.Println(err)
			return
		}
		body, err := io.ReadAll(resp.Body)
		fmt.Printf("%s: %q, %v\n", host, body, err)
	}
	// Output:
	// docs.example.com: "no such page", <nil>
	// www.example.com: "", <nil>
}

// WinRM answers a poll that timed out with status 500 and a SOAP fault that the
// client has to read.
func ExampleKeepWSMan() {
	fault := stagetest.Respond(http.StatusInternalServerError, "<s:Fault/>", "Content-Type", "application/soap+xml;charset=UTF-8")
	next := sanitize.New(sanitize.Options{Keep: sanitize.KeepWSMan})(kerbchain.Next(fault))

	r, _ := http.NewRequest(http.MethodPost, "http://server.example.com:5985/wsman", nil)
	resp, err := next(r)
	if err != nil {
		fmt.Println(err)
		return
	}
	body, err := io.ReadAll(resp.Body)
	fmt.Printf("%s, %s, %v\n", resp.Status, body, err)
	// Output:
	// 500 Internal Server Error, <s:Fault/>, <nil>
}
