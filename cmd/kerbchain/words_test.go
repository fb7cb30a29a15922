package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// ofGo finds what only a reader of Go code knows: Options.X, mutual.Optional, BindingsAuto.
var ofGo = regexp.MustCompile(`\b[a-z]+\.[A-Z][A-Za-z]+|\bOptions\b|\b[A-Z][a-z]+[A-Z][A-Za-z]+\b`)

// ofOthersToo are words of other products that look so.
var ofOthersToo = regexp.MustCompile(`WinRM|ok_to_auth_as_delegate|TrustedToAuthForDelegation|AllowedToDelegateTo|AllowedToActOnBehalf\w*|MaxTokenSize|` +
	`LimitRequestFieldSize|MaxFieldLength|MaxRequestBytes|DER of the Ticket|SupportedEncryptionTypes`)

// outOfReach are texts that no command line brings about, by their beginnings. The
// command's own bodies can be had anew or are streams, it makes its own transport, and has no
// flag for the rest.
var outOfReach = []string{
	"%w: Request.GetBody",
	"give an *http.Transport", "set Proxy to what the transport uses", "which proxy a %T uses", "send the request again; give New an *http.Transport",
	"the transport does not tell over which connection", "set Options.Proxy to the function that the transport uses",
	"leave out one or the other, or set Credentials", "name a cache, keytab or password, or set CredentialsOwn",
	"call HandshakeContext", "use context.Background", "connect first, and give the connection's state to SignOver",
	"Resend and NoResend contradict each other", "put preemptive or negotiate, and mutual outside them",
	"put the user into the request's context", "give AsCaller the", "no ticket source given", "the ticket source %T cannot delegate",
	"DelegateTo has hosts", "DelegateTo: %w", "ArmorOptional says", "set Password, or leave NewPassword out", "NewPassword takes the place", "leave the cookie jar out", "seal: the request's ContentLength",
	"the proxy sends no mutual token; if that cannot be mended there, use ProofOptional",          // it is what the command does
	"credentials of the proxy's URL or of the caller's header prove nothing",                      // likewise
	"credential cache %s: %w (%w): the %s keyring of another program or thread cannot be reached", // the command has one thread of a keyring
	"{", // what %v prints of options
}

// TestWords: what the library says to programmers reaches users of the command in the
// command's words, whichever text of the stages' it is.
func TestWords(t *testing.T) {
	seen := map[string]bool{}
	for _, dir := range []string{"doctor", "middleware", "tunnel", "kerberos", "client", "internal/policy", "internal/sign", "internal/stage",
		"internal/replay", "internal/messages", "internal/krb5conf", "internal/ccache", "internal/keytab", "internal/kdcclient"} {
		err := filepath.WalkDir(filepath.Join("..", "..", dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "clienttest") {
				return err
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(f, func(n ast.Node) bool {
				l, ok := n.(*ast.BasicLit)
				if !ok || l.Kind != token.STRING {
					return true
				}
				s, err := strconv.Unquote(l.Value)
				if err != nil {
					t.Fatal(err)
				}
				if !strings.Contains(s, " ") { // a name
					return true
				}
				if i := slices.IndexFunc(outOfReach, func(o string) bool { return strings.HasPrefix(s, o) }); i >= 0 {
					seen[outOfReach[i]] = true
					return true
				}
				if words := ofGo.FindAllString(ofOthersToo.ReplaceAllString(inWords.Replace(s), ""), -1); words != nil {
					t.Errorf("%s: %q in %q", path, words, inWords.Replace(s))
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range outOfReach {
		if !seen[o] {
			t.Errorf("no text begins with %q any more", o)
		}
	}
}
