package client_test

import (
	"errors"
	"fmt"
	"log"
	"net/http"
	"strings"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/fakekdc/fakewinrm"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/seal"
)

// newWindows is a realm with a WinRM endpoint that answers a poll with a fault and
// echoes all else, for the examples.
func newWindows() (in *intranet, endpoint *fakewinrm.Endpoint) {
	in = newIntranet("HTTP/localhost", fakeweb.Options{})
	endpoint = fakewinrm.New(in.realm, "HTTP/localhost", fakewinrm.Options{Answer: func(_ fakekdc.Caller, soap []byte) (int, []byte) {
		if string(soap) == "<Receive/>" {
			return http.StatusInternalServerError, []byte("<Fault>OperationTimeout</Fault>")
		}
		return http.StatusOK, soap
	}})
	server := fakeweb.Serve(in.realm, endpoint, fakeweb.ServerOptions{})
	in.options.Transport, in.url = server.Transport(), server.URL()+"/wsman"
	return in, endpoint
}

const soapType = "application/soap+xml;charset=UTF-8"

// Messages are encrypted, faults as well.
func ExampleNewWinRM() {
	intranet, endpoint := newWindows() // http://server.example:5985/wsman in earnest
	defer intranet.close()

	c, err := client.NewWinRM(client.WinRMOptions{Options: intranet.options}) // client.WinRMOptions{} in earnest
	if err != nil {
		log.Fatal(err)
	}
	defer c.CloseIdleConnections()
	show(c.Post(intranet.url, soapType, strings.NewReader("<Create/>")))
	show(c.Post(intranet.url, soapType, strings.NewReader("<Receive/>")))
	for _, m := range endpoint.Messages() {
		fmt.Println(m.Caller, m.Sealed)
	}
	// Output:
	// 200 <Create/>
	// 500 <Fault>OperationTimeout</Fault>
	// alice@EXAMPLE.COM true
	// alice@EXAMPLE.COM true
}

// An answer that somebody on the way has changed is none.
func ExampleNewWinRM_tampered() {
	intranet, endpoint := newWindows()
	defer intranet.close()

	c, err := client.NewWinRM(client.WinRMOptions{Options: intranet.options})
	if err != nil {
		log.Fatal(err)
	}
	defer c.CloseIdleConnections()
	endpoint.SetForgery(fakewinrm.Forgeries()["last bit of the data"])
	_, err = c.Post(intranet.url, soapType, strings.NewReader("<Create/>"))
	var e *middleware.Error
	if errors.Is(err, middleware.ErrNotVerified) && errors.As(err, &e) {
		fmt.Println(e.SPN, "-", e.Reason)
	}
	// Output:
	// HTTP/localhost@EXAMPLE.COM - tampered with
}

// Without encryption, Windows refuses messages over plain HTTP unless told
// otherwise.
func ExampleWinRMOptions() {
	intranet, _ := newWindows()
	defer intranet.close()

	o := client.WinRMOptions{Options: intranet.options, Encryption: seal.Never}
	o.Service = "HTTP" // or WSMAN
	c, err := client.NewWinRM(o)
	if err != nil {
		log.Fatal(err)
	}
	defer c.CloseIdleConnections()
	show(c.Post(intranet.url, soapType, strings.NewReader("<Create/>")))
	// Output:
	// 500
}
