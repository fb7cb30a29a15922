package kcm

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/kerbchain/kerbchain/internal/ccache"
)

// Error is a daemon's refusal. It is [fs.ErrNotExist] where the cache or
// credential is not there, [fs.ErrPermission] where it may not be touched, and
// then [ccache.ErrNotOurs] too if it was to be written to.
type Error struct {
	Name ccache.Name // of the cache that it is about, or the collection
	Op   string      // as in the protocol's definition, such as GET_PRINCIPAL
	Code int32       // com_err code of Kerberos, or number of a system error

	write bool
}

// Error names the cache, what was asked, the code, and what to try.
func (e *Error) Error() string {
	name, known := codes[e.Code]
	if !known {
		name = code{"unknown error", ""}
	}
	s := fmt.Sprintf("credential cache %s: the KCM daemon refused %s: %s (%d)", e.Name, e.Op, name.name, e.Code)
	if name.hint != "" {
		s += ": " + name.hint
	}
	return s
}

// Is makes it one of the errors that [ccache.Store] speaks of.
func (e *Error) Is(target error) bool {
	switch target {
	case fs.ErrNotExist:
		return e.Code == fccNoFile || e.Code == ccNotFound || e.Code == ccEnd || e.Code == sysNoEntry
	case fs.ErrPermission:
		return e.denied()
	case ccache.ErrNotOurs:
		return e.write && e.denied()
	}
	return false
}

func (e *Error) denied() bool {
	return e.Code == fccPerm || e.Code == sysPerm || e.Code == sysAccess
}

// Codes of MIT's krb5_err.et, and system errors that have the same number on
// every system with unix sockets.
const (
	ccBadName   = -1765328245
	ccNotFound  = -1765328243
	ccEnd       = -1765328242
	ccIO        = -1765328191
	fccPerm     = -1765328190
	fccNoFile   = -1765328189
	fccInternal = -1765328188
	ccWrite     = -1765328187
	ccNoMem     = -1765328186
	ccFormat    = -1765328185
	ccReadOnly  = -1765328138
	ccNoSupp    = -1765328137
	sysPerm     = 1
	sysNoEntry  = 2
	sysNoMem    = 12
	sysAccess   = 13
	sysInvalid  = 22
)

type code struct{ name, hint string }

var codes = map[int32]code{
	ccBadName:   {"KRB5_CC_BADNAME", "the name must begin with the user's number, as in KCM:1000 and KCM:1000:work"},
	ccNotFound:  {"KRB5_CC_NOTFOUND", "no such cache or credential; run kinit"},
	ccEnd:       {"KRB5_CC_END", "no such cache or credential; run kinit"},
	ccIO:        {"KRB5_CC_IO", "the request was not understood"},
	fccPerm:     {"KRB5_FCC_PERM", "the cache belongs to somebody else"},
	fccNoFile:   {"KRB5_FCC_NOFILE", "no such cache; run kinit"},
	fccInternal: {"KRB5_FCC_INTERNAL", "it does not know the operation, or failed: see its log"},
	ccWrite:     {"KRB5_CC_WRITE", ""},
	ccNoMem:     {"KRB5_CC_NOMEM", "out of memory"},
	ccFormat:    {"KRB5_CC_FORMAT", ""},
	ccReadOnly:  {"KRB5_CC_READONLY", ""},
	ccNoSupp:    {"KRB5_CC_NOSUPP", "it does not know the operation"},
	sysPerm:     {"EPERM", ""},
	sysNoEntry:  {"ENOENT", ""},
	sysNoMem:    {"ENOMEM", ""},
	sysAccess:   {"EACCES", ""},
	sysInvalid:  {"EINVAL", ""},
}

func refused(err error) bool {
	_, ok := errors.AsType[*Error](err)
	return ok
}

// gone reports whether the daemon says that there is no such thing. A missing
// socket is [fs.ErrNotExist] too.
func gone(err error) bool { return refused(err) && errors.Is(err, fs.ErrNotExist) }

// unsupported reports whether a daemon that does not know an operation would
// say so: Heimdal and sssd with KRB5_FCC_INTERNAL or, later, KRB5_CC_NOSUPP,
// and sssd with KRB5_CC_IO for a number beyond its table.
func unsupported(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && (e.Code == fccInternal || e.Code == ccNoSupp || e.Code == ccIO)
}

// ErrNoDaemon: there is none at the socket. The error around it says what to try.
var ErrNoDaemon = errors.New("no KCM daemon listens")

// errHungUp: the daemon closed the connection in place of an answer.
var errHungUp = errors.New("the daemon hung up without an answer")
