package fakeweb

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/spnego"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/internal/plainclient"
)

func TestGokrb5SPNEGO(t *testing.T) {
	r := fakekdc.Start(t, fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"))
	h := New(r, "HTTP/localhost", Options{})
	s := Serve(r, h, ServerOptions{})
	conf, err := config.NewFromString(r.Config())
	if err != nil {
		t.Fatal(err)
	}
	c := client.NewWithPassword("alice", r.Name(), "secret", conf, client.DisablePAFXFAST(true))
	defer c.Destroy()
	if err := c.Login(); err != nil {
		t.Fatal(err)
	}
	tr := s.Transport()
	defer tr.CloseIdleConnections()
	resp, err := spnego.NewClient(c, &http.Client{Transport: tr}, "HTTP/localhost").Get(s.URL() + "/page")
	if err != nil {
		t.Fatal(err)
	}
	if got := plainclient.ReadAll(t, resp); resp.StatusCode != 200 || got != "hello alice@"+r.Name()+"\n" {
		t.Errorf("%s: %q", resp.Status, got)
	}
	if d := cmp.Diff([]int{401, 200}, h.Statuses()); d != "" {
		t.Error(d)
	}
}
