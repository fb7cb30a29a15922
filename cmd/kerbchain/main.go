// Command kerbchain is the toolkit at a prompt: a demonstration that needs
// nothing installed, a small curl that speaks Kerberos and says what it does, and
// a realm for the tests of programs in any language.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/kerbchain/kerbchain/kerberos"
)

// The exit statuses.
const (
	exitOK          = 0
	exitFailed      = 1  // the demonstration did not go as told, or the realm did not start
	exitUsage       = 2  // wrong arguments
	exitCredentials = 3  // no usable credentials
	exitKDC         = 4  // the KDC could not be reached or refused
	exitNotVerified = 5  // the server did not prove its identity
	exitNetwork     = 6  // no response for another reason
	exitStatus      = 22 // the response's status is 400 or above
)

const usage = `kerbchain gives any HTTP client Kerberos (HTTP Negotiate, RFC 4559).

Usage:

  kerbchain demo [flags]        see it work: a realm, a web service and a call, all in this process
  kerbchain get [flags] URL     send a request and print the response's body
  kerbchain kdc [flags]         run a realm for tests, until it is interrupted

Run "kerbchain get --help" or "kerbchain kdc --help" for the flags. The exit
status of get is 0 for a response below 400, 22 for 400 and above; without a
response it is 2 for wrong usage, 3 for credentials, 4 for the KDC, 5 for a
server that is not verified, and 6 for the network.
`

// A world is what a command may touch, so that tests can give it another.
type world struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], world{os.Stdin, os.Stdout, os.Stderr, kerberos.SecureGetenv})
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, w world) int {
	if len(args) == 0 {
		fmt.Fprint(w.stderr, usage)
		return exitUsage
	}
	switch args[0] {
	case "demo":
		return demo(ctx, args[1:], w)
	case "get":
		return get(ctx, args[1:], w)
	case "kdc":
		return kdc(ctx, args[1:], w)
	case "help", "-h", "--help":
		fmt.Fprint(w.stdout, usage)
		return exitOK
	}
	fmt.Fprintf(w.stderr, "kerbchain: unknown command %q\n\n%s", args[0], usage)
	return exitUsage
}
