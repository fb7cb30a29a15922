// Command kerbchain is the toolkit at a prompt: a demonstration that needs
// nothing installed, a small curl that speaks Kerberos and says what it does, a
// reader of tokens, and a realm for the tests of programs in any language.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/kerbchain/kerbchain/internal/printable"
	"github.com/kerbchain/kerbchain/kerberos"
)

// The exit statuses; statuses tells them to users.
const (
	exitOK            = 0
	exitFailed        = 1 // the demonstration did not go as told, the realm did not start, a token cannot be read
	exitUsage         = 2
	exitCredentials   = 3
	exitKDC           = 4
	exitNotVerified   = 5
	exitNetwork       = 6
	exitConfiguration = 7
	exitStatus        = 22 // as curl's --fail
	exitOutput        = 23 // as curl's
	exitPanic         = 70 // EX_SOFTWARE of sysexits.h; Go's own is 2, which is wrong usage here
	exitInterrupted   = 130
)

// A world is what a command may touch, so that tests can give it another.
type world struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	command        string // the one that runs, for what is said of it
}

// A command is one of the words that may follow kerbchain.
type command struct {
	name, args, about string
	intro             string // of its help, after the line of usage
	// define adds the flags to fs, and returns what runs the command once they are
	// parsed, with the arguments that are no flags.
	define func(fs *pflag.FlagSet) func(ctx context.Context, args []string, w world) int
}

func commands() []command {
	return []command{
		{"demo", "", "see it work: a realm, a web service and a call, all in this process", demoIntro, defineDemo},
		{"get", "URL", "send a request and print the response's body", getIntro, defineGet},
		{"doctor", "URL", "say why a request to a URL works or does not, and what to try", doctorIntro, defineDoctor},
		{"explain", "TOKEN|-", "say what is in a token of HTTP Negotiate", explainIntro, defineExplain},
		{"klist", "[URL]", "list credential caches and keytabs, and which of them a URL takes", klistIntro, defineKlist},
		{"kdc", "", "run a realm for tests, until it is interrupted", kdcIntro, defineKDC},
		{"version", "", "print the version", versionIntro, defineVersion},
		{"completion", "bash|zsh|fish", "print a script that completes commands and flags", completionIntro, defineCompletion},
		{"man", "", "print the manual page", manIntro, defineMan},
	}
}

const statuses = `Exit statuses:

   0  done; of get: a response below 400
   1  of demo, doctor, explain and kdc: it went wrong, as the message says
   2  wrong usage
   3  no usable credentials
   4  the KDC could not be reached, or refused
   5  the server did not prove its identity
   6  no response, or half of one, for another reason
   7  krb5.conf or options cannot be carried out
  22  a response of 400 and above
  23  the output could not be written
  70  a fault in kerbchain itself
 130  interrupted (SIGINT), 143 terminated (SIGTERM); kdc ends with 0
`

func usage() string {
	var b strings.Builder
	b.WriteString("kerbchain gives any HTTP client Kerberos (HTTP Negotiate, RFC 4559).\n\nUsage:\n\n")
	width := 0
	for _, c := range commands() {
		width = max(width, len(c.line()))
	}
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-*s  %s\n", width, c.line(), c.about)
	}
	b.WriteString("\n\"kerbchain COMMAND --help\" has the flags.\n\n" + statuses)
	return b.String()
}

// line is how the command is called.
func (c command) line() string {
	return strings.TrimSpace("kerbchain " + c.name + " [flags] " + c.args)
}

// flags returns the command's flags, and what runs it when they are parsed.
func (c command) flags() (*pflag.FlagSet, func(context.Context, []string, world) int) {
	fs := pflag.NewFlagSet("kerbchain "+c.name, pflag.ContinueOnError)
	fs.SortFlags = false
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	return fs, c.define(fs)
}

// help is what --help prints.
func (c command) help(fs *pflag.FlagSet) string {
	s := "Usage: " + c.line() + "\n\n" + c.intro
	if fs.HasFlags() {
		s += "\nFlags:\n\n" + fs.FlagUsages()
	}
	return s
}

// An interruption is why a context ended: a signal.
type interruption struct{ signal os.Signal }

func (i interruption) Error() string { return i.signal.String() }

// status is how a shell sees the end of a process by the signal.
func (i interruption) status() int {
	if s, ok := i.signal.(syscall.Signal); ok {
		return 128 + int(s)
	}
	return exitInterrupted
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "get" {
		log.SetOutput(io.Discard) // net/http logs what servers say unasked
	}
	signal.Ignore(syscall.SIGPIPE) // what cannot be written is an error, after which there is something to clean up
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		s := <-signals
		signal.Stop(signals) // a second one ends the process at once
		cancel(interruption{s})
	}()
	os.Exit(run(ctx, os.Args[1:], world{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: kerberos.SecureGetenv}))
}

func run(ctx context.Context, args []string, w world) (code int) {
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(w.stderr, "kerbchain: a fault in kerbchain itself: %v\n\n%s", p, debug.Stack())
			code = exitPanic
		}
	}()
	if len(args) == 0 {
		fmt.Fprint(w.stderr, usage())
		return exitUsage
	}
	name, args := args[0], args[1:]
	if name == "-h" || name == "--help" || name == "help" {
		if len(args) == 0 {
			return printed(w, usage())
		}
		name, args = args[0], []string{"--help"}
	}
	if name == "--version" {
		name = "version"
	}
	for _, c := range commands() {
		if c.name == name {
			return c.run(ctx, args, w)
		}
	}
	fmt.Fprintf(w.stderr, "kerbchain: unknown command %q\nRun \"kerbchain help\" for those there are.\n", name)
	return exitUsage
}

func (c command) run(ctx context.Context, args []string, w world) int {
	w.command = c.name
	fs, action := c.flags()
	switch err := fs.Parse(args); {
	case errors.Is(err, pflag.ErrHelp):
		return printed(w, c.help(fs))
	case err != nil:
		return usageError(w, c.inPlace(err))
	}
	return action(ctx, fs.Args(), w)
}

// inPlaceOf says, for a command, what there is in place of flags that others have who take
// the same command line: curl, and MIT's klist.
var inPlaceOf = map[string]map[string]string{"get": ofCurl, "doctor": ofCurl, "klist": ofMIT}

var ofCurl = map[string]string{
	"service-name": "--service has the class of the SPN", "delegation": "--delegate is for that",
	"proxy-negotiate": proxiesAsk, "proxy-anyauth": proxiesAsk, "proxy-user": proxiesAsk, "U": proxiesAsk,
	"g": noGlobs, "globoff": noGlobs, "url-query": "-G puts -d and its like there",
	"anyauth":         "leave it out, since a server that asks for Negotiate gets a token",
	"fail-with-body":  "leave it out, since the status is 22 all the same, and the body is printed",
	"connect-timeout": "-m is for all of the request", "url": "the URL stands by itself",
	"noproxy": "no_proxy in the environment lists hosts", "E": "--cert has the file",
	"dump-header": headersInFront, "D": headersInFront,
	"cookie": aHeader, "b": aHeader, "referer": aHeader, "e": aHeader,
}

var ofMIT = map[string]string{
	"A": listed, "c": listed, "e": listed, "f": listed, "K": "no keys are printed", "l": listed, "n": listed, "t": listed,
}

const (
	proxiesAsk     = "leave it out, since a proxy that asks for Negotiate gets a token"
	headersInFront = "-i prints the header before the body"
	aHeader        = "-H sends that header"
	noGlobs        = "leave it out, since braces and brackets mean nothing here"
	listed         = "leave it out, since that is listed anyway"
)

// inPlace adds to the error of an unknown flag what there is in its place.
func (c command) inPlace(err error) error {
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		if instead := inPlaceOf[c.name][unknown.GetSpecifiedName()]; instead != "" {
			return fmt.Errorf("%w; %s", err, instead)
		}
	}
	return err
}

// checkEmpty refuses an empty value of flags that name something: it would switch the flag
// off, and a script whose variable is empty means something else.
func checkEmpty(fs *pflag.FlagSet, names ...string) error {
	for _, name := range names {
		if v := fs.Lookup(name); v.Changed && (v.Value.String() == "" || v.Value.String() == "[]") {
			what, _ := pflag.UnquoteUsage(v)
			return fmt.Errorf("--%[1]s is empty: want --%[1]s %s", name, what)
		}
	}
	return nil
}

func usageError(w world, err error) int {
	fmt.Fprintf(w.stderr, "kerbchain: %s\nRun \"kerbchain %s --help\" for the flags.\n", printable.Text(err.Error()), w.command)
	return exitUsage
}
