package krb5conf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"strings"
)

// Options are what a configuration depends on beside its text. The zero value
// is the machine and the process.
type Options struct {
	// GOOS is the system whose rules hold, as [runtime.GOOS] spells it; "" means
	// that of the machine. Windows has rules of its own, all others have those of
	// Unix.
	GOOS string
	// Open opens configuration files; nil means the machine's.
	Open Opener
	// Getenv looks up KRB5_CONFIG, TMPDIR for %{TEMP}, and the folders of Windows;
	// nil means os.Getenv.
	Getenv func(string) string
	// UID and EUID are the real and the effective user id, for %{uid} and
	// %{euid}; nil means the process's.
	UID, EUID func() int
	// SID is the user's security identifier, which %{uid} and %{euid} are on
	// Windows; nil means the process's.
	SID func() (string, error)
	// Owner is the security identifier of who owns a file, on Windows; nil means
	// what the machine says.
	Owner func(fs.File) (string, error)
	// Username returns the name of the effective user, for %{username}; nil
	// means the machine's user database.
	Username func() (string, error)
	// AllowRC4 lets arcfour-hmac into the lists of encryption types as
	// allow_rc4 = true does.
	AllowRC4 bool
}

// Expand replaces the tokens of MIT krb5 in the name of a cache, keytab or
// file: %{uid} and %{USERID}, %{euid}, %{TEMP} and %{null}; on Unix %{username},
// %{LIBDIR}, %{BINDIR} and %{SBINDIR}; on Windows %{APPDATA}, %{LOCAL_APPDATA},
// %{COMMON_APPDATA}, %{WINDOWS}, %{SYSTEM}, %{USERCONFIG} and %{COMMONCONFIG}. A
// token that is none of these is an error.
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
	if name == "null" {
		return "", nil
	}
	if o.windows() {
		return o.windowsToken(name)
	}
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
		if dir := o.getenv("TMPDIR"); dir != "" {
			return dir, nil
		}
		return "/tmp", nil
	case "LIBDIR":
		return "/usr/lib", nil
	case "BINDIR":
		return "/usr/bin", nil
	case "SBINDIR":
		return "/usr/sbin", nil
	}
	return "", errToken
}
