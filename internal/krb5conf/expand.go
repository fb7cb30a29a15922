package krb5conf

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
)

// Options are what a configuration depends on beside its text. The zero value
// is the machine and the process.
type Options struct {
	// Open opens configuration files; nil means the machine's.
	Open Opener
	// Getenv looks up TMPDIR for %{TEMP}; nil means os.Getenv.
	Getenv func(string) string
	// UID and EUID are the real and the effective user id, for %{uid} and
	// %{euid}; nil means the process's.
	UID, EUID func() int
	// Username returns the name of the effective user, for %{username}; nil
	// means the machine's user database.
	Username func() (string, error)
	// AllowRC4 lets arcfour-hmac into the lists of encryption types as
	// allow_rc4 = true does.
	AllowRC4 bool
}

// Default returns the files that make up the configuration: those named in
// KRB5_CONFIG, else /etc/krb5.conf. A nil getenv means os.Getenv.
func Default(getenv func(string) string) []string {
	if getenv == nil {
		getenv = os.Getenv
	}
	var paths []string
	for _, path := range strings.Split(getenv("KRB5_CONFIG"), string(os.PathListSeparator)) {
		if path != "" {
			paths = append(paths, path)
		}
	}
	if paths == nil {
		paths = []string{"/etc/krb5.conf"}
	}
	return paths
}

// Expand replaces the tokens of MIT krb5 in the name of a cache, keytab or
// file: %{uid} and %{USERID}, %{euid}, %{username}, %{TEMP}, %{null}, %{LIBDIR},
// %{BINDIR} and %{SBINDIR}. A token that is none of these is an error.
func (o Options) Expand(text string) (string, error) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "%{")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		name, after, found := strings.Cut(rest, "}")
		if !found {
			return "", fmt.Errorf("%%{ without } in %s", clip(text))
		}
		value, err := o.token(name)
		if err != nil {
			return "", fmt.Errorf("%%{%s}: %w", name, err)
		}
		b.WriteString(value)
		text = after
	}
}

var errToken = errors.New("not a token that MIT krb5 knows")

func (o Options) token(name string) (string, error) {
	switch name {
	case "uid", "USERID":
		if o.UID != nil {
			return strconv.Itoa(o.UID()), nil
		}
		return strconv.Itoa(os.Getuid()), nil
	case "euid":
		if o.EUID != nil {
			return strconv.Itoa(o.EUID()), nil
		}
		return strconv.Itoa(os.Geteuid()), nil
	case "username":
		if o.Username != nil {
			return o.Username()
		}
		euid, err := o.token("euid")
		if err != nil {
			return "", err
		}
		u, err := user.LookupId(euid)
		if err != nil {
			return "", err
		}
		return u.Username, nil
	case "TEMP":
		getenv := o.Getenv
		if getenv == nil {
			getenv = os.Getenv
		}
		if dir := getenv("TMPDIR"); dir != "" {
			return dir, nil
		}
		return "/tmp", nil
	case "null":
		return "", nil
	case "LIBDIR":
		return "/usr/lib", nil
	case "BINDIR":
		return "/usr/bin", nil
	case "SBINDIR":
		return "/usr/sbin", nil
	}
	return "", errToken
}
