// Command winrm runs a command on a Windows host, with the protocol of
// github.com/masterzen/winrm, and Kerberos and message encryption of kerbchain.
//
//	kinit alice@EXAMPLE.COM
//	winrm -host server.example.com whoami /all
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/masterzen/winrm"

	"github.com/kerbchain/kerbchain/client"
)

func main() {
	code, err := run(os.Args[1:], client.WinRMOptions{}, os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "winrm:", err)
	}
	os.Exit(code)
}

// run returns the exit code of the remote command, 1 with an error.
func run(args []string, o client.WinRMOptions, stdout, stderr io.Writer) (code int, err error) {
	flags := flag.NewFlagSet("winrm", flag.ContinueOnError)
	flags.SetOutput(stderr)
	host := flags.String("host", "", "the host, by the `name` that its tickets are for")
	port := flags.Int("port", 0, "the port; 0 means 5985, or 5986 with -https")
	https := flags.Bool("https", false, "use https, which encrypts in place of WinRM itself")
	flags.StringVar(&o.Service, "service", "HTTP", "the `class` of the service principal: HTTP or WSMAN")
	timeout := flags.Duration("timeout", time.Minute, "for one answer of the server")
	if err := flags.Parse(args); err != nil {
		return 1, err
	}
	if *host == "" || flags.NArg() == 0 {
		return 1, errors.New("want a host and a command: winrm -host server.example.com whoami /all")
	}
	if *port == 0 {
		*port = 5985
		if *https {
			*port = 5986
		}
	}
	t := NewTransporter(o)
	defer t.Close()
	params := winrm.NewParameters("PT20S", "en-US", 153600)
	params.TransportDecorator = func() winrm.Transporter { return t }
	endpoint := winrm.NewEndpoint(*host, *port, *https, false, nil, nil, nil, *timeout)
	c, err := winrm.NewClientWithParameters(endpoint, "", "", params)
	if err != nil {
		return 1, err
	}
	return c.Run(strings.Join(flags.Args(), " "), stdout, stderr)
}
