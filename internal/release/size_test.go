package release

import (
	"os"
	"path/filepath"
	"testing"
)

// Programs of one call each, from net/http alone to a client that is ready.
var programs = []struct {
	name, text string
	most       int64 // bytes more than net/http alone
}{
	{"net-http", `package main

import (
	"fmt"
	"net/http"
	"os"
)

func main() {
	resp, err := http.Get(os.Args[1])
	fmt.Println(resp, err)
}
`, 0},
	{"stages", stagesProgram("", ""), 1_150_000},
	{"stages-and-logging", stagesProgram(`
	"github.com/kerbchain/kerbchain/middleware/logging"
	"github.com/sirupsen/logrus"`, "logging.New(logging.Options{Logger: logrus.New()}),"), 2_150_000},
	{"tickets", `package main

import (
	"fmt"
	"net/http"
	"os"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
	"github.com/kerbchain/kerbchain/middleware/sanitize"
)

func main() {
	source, err := kerberos.FromEnvironment(kerberos.SourceOptions{})
	if err != nil {
		panic(err)
	}
	in, err := kerberos.NewInitiator(source, kerberos.InitiatorOptions{})
	if err != nil {
		panic(err)
	}
	c := &http.Client{Transport: kerbchain.Wrap(kerbchain.NewTransport(), sanitize.New(sanitize.Options{}), mutual.New(mutual.Options{}),
		preemptive.New(in, preemptive.Learned(), preemptive.Options{}), negotiate.New(in, negotiate.Options{}))}
	resp, err := c.Get(os.Args[1])
	fmt.Println(resp, err)
}
`, 3_000_000},
	{"client", `package main

import (
	"fmt"
	"os"

	"github.com/kerbchain/kerbchain/client"
)

func main() {
	c, err := client.New(client.Options{})
	if err != nil {
		panic(err)
	}
	resp, err := c.Get(os.Args[1])
	fmt.Println(resp, err)
}
`, 4_150_000},
}

// stagesProgram is one with the stages, and an initiator of its own that has no tickets.
func stagesProgram(imports, stages string) string {
	return `package main

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
	"github.com/kerbchain/kerbchain/middleware/sanitize"` + imports + `
)

type none struct{}

func (none) Initiate(context.Context, middleware.Target) (middleware.SecurityContext, error) {
	return nil, middleware.ErrCredentials
}

func main() {
	in := none{}
	c := &http.Client{Transport: kerbchain.Wrap(kerbchain.NewTransport(), ` + stages + `sanitize.New(sanitize.Options{}), mutual.New(mutual.Options{}),
		preemptive.New(in, preemptive.Learned(), preemptive.Options{}), negotiate.New(in, negotiate.Options{}))}
	resp, err := c.Get(os.Args[1])
	fmt.Println(resp, err)
}
`
}

// What a program grows by is bounded, loosely, for both releases of Go: a library that is linked by accident, or a
// use of reflection that makes the linker keep every method, is found here.
func TestProgramSizes(t *testing.T) {
	dir := strangers(t, ".")
	var alone int64
	for _, p := range programs {
		addProgram(t, dir, p.name, p.text)
		run(t, dir, append(strangersEnv, "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0"), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", "bin-"+p.name, "./"+p.name)
		info, err := os.Stat(filepath.Join(dir, "bin-"+p.name))
		if err != nil {
			t.Fatal(err)
		}
		if alone == 0 {
			alone = info.Size()
		}
		more := info.Size() - alone
		t.Logf("%-20s %.2f MB, %.2f MB more than net/http alone", p.name, float64(info.Size())/1e6, float64(more)/1e6)
		if more > p.most {
			t.Errorf("%s: %d bytes more than net/http alone, want at most %d", p.name, more, p.most)
		}
	}
}
