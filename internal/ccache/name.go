package ccache

import (
	"errors"
	"fmt"
	"strings"
)

// A Name says where a cache is: a type such as FILE, and a residual whose
// meaning depends on the type.
type Name struct {
	Type     string
	Residual string
}

// ParseName reads TYPE:residual. A name without a type is a path of type FILE,
// and so are a Windows drive letter and anything with a slash before its first
// colon. Types are case-sensitive, as MIT has them; whether one can be loaded
// is for [Open] to say. %{...} must be expanded already. An empty name or
// residual is an error, save for types that have a default cache (KCM, API,
// MSLSA).
func ParseName(s string) (Name, error) {
	if s == "" {
		return Name{}, errors.New("credential cache name is empty: want FILE:path")
	}
	n := Name{Type: "FILE", Residual: s}
	if kind, residual, ok := strings.Cut(s, ":"); ok && len(kind) > 1 && !strings.ContainsAny(kind, `/\`) {
		n = Name{kind, residual}
	}
	if n.Residual == "" {
		switch n.Type {
		case "KCM", "API", "MSLSA":
		default:
			return Name{}, fmt.Errorf("credential cache name %q says nothing after the colon: want FILE:path", s)
		}
	}
	return n, nil
}

// String returns TYPE:residual.
func (n Name) String() string { return n.Type + ":" + n.Residual }

// File returns the path of a cache that is a file: one of type FILE, or of a directory.
func (n Name) File() (path string, ok bool) {
	switch n.Type {
	case "FILE", "WRFILE":
		return n.Residual, true
	case "DIR":
		return strings.CutPrefix(n.Residual, ":")
	}
	return "", false
}

// UnsupportedTypeError is returned for a cache of a type that cannot be read, or
// not on this system.
type UnsupportedTypeError struct{ Name Name }

// Error names the cache and says how to get one that can be read.
func (e *UnsupportedTypeError) Error() string {
	why := ""
	switch e.Name.Type {
	case "API":
		why = "type API is macOS's own store, which only its Kerberos framework opens"
	case "MSLSA":
		why = "type MSLSA is the ticket store of Windows, which does not hand out session keys"
	case "KEYRING":
		why = "type KEYRING is kept by the Linux kernel and can be used there only"
	case "KCM":
		why = "type KCM needs a daemon on a local socket, which cannot be used here"
	case "MEMORY":
		why = "a MEMORY cache lives inside the process that made it"
	default:
		why = fmt.Sprintf("unknown type %q (there are FILE, DIR, KCM and KEYRING, in capitals)", e.Name.Type)
	}
	return fmt.Sprintf("credential cache %s: %s; make a file cache with `kinit -c FILE:/path` and set KRB5CCNAME=FILE:/path", e.Name, why)
}
