package kcm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net"
	"syscall"

	"github.com/kerbchain/kerbchain/internal/ccache"
	"github.com/kerbchain/kerbchain/internal/krb"
)

// A session is the talk with a daemon during one call, over one connection as
// long as that holds. It belongs to one goroutine.
type session struct {
	daemon *daemon
	about  ccache.Name
	ctx    context.Context
	conn   net.Conn // nil when there is none
	unhook func()   // of conn: its closing no longer hangs on ctx
}

// talk runs f with a session about n, and hangs up.
func (d *daemon) talk(ctx context.Context, n ccache.Name, f func(*session) error) error {
	s := &session{daemon: d, about: n, ctx: ctx}
	defer s.hangUp()
	return f(s)
}

func (s *session) hangUp() {
	if s.conn != nil {
		s.unhook()
		s.conn.Close()
		s.conn = nil
	}
}

func (s *session) connect() error {
	if s.conn != nil {
		return nil
	}
	conn, err := s.daemon.dial(s.ctx, "unix", s.daemon.socket)
	switch {
	case err != nil && s.ctx.Err() != nil:
		return s.ended()
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("credential cache %s: %w at %s: %w; start sssd-kcm.socket, or choose another type of cache, KRB5CCNAME=FILE:/path", s.about, ErrNoDaemon, s.daemon.socket, err)
	case err != nil:
		return fmt.Errorf("credential cache %s: KCM daemon at %s: %w", s.about, s.daemon.socket, err)
	}
	closed := make(chan struct{})
	stop := context.AfterFunc(s.ctx, func() {
		conn.Close()
		close(closed)
	})
	s.conn, s.unhook = conn, func() {
		if !stop() {
			<-closed
		}
	}
	return nil
}

func (s *session) ended() error {
	return fmt.Errorf("credential cache %s: waiting for the KCM daemon at %s: %w", s.about, s.daemon.socket, s.ctx.Err())
}

// call makes one request and returns the reply without its result. A refusal is
// an [*Error]. The request is made again, once, if the connection was found
// closed: no operation that we use does harm when it is done twice.
func (s *session) call(op opcode, params ...[]byte) ([]byte, error) {
	req := request(op, params...)
	if len(req) > maxMessage {
		return nil, fmt.Errorf("credential cache %s: %v of %d bytes, more than the KCM daemon takes (%d)", s.about, op, len(req), maxMessage)
	}
	body, err := s.exchange(op, req)
	if errors.Is(err, errHungUp) {
		body, err = s.exchange(op, req)
	}
	return body, err
}

func (s *session) exchange(op opcode, req []byte) ([]byte, error) {
	if err := s.connect(); err != nil {
		return nil, err
	}
	var status int32
	var body []byte
	_, err := s.conn.Write(req)
	if err == nil {
		status, body, err = readReply(s.conn)
	}
	if err != nil {
		s.hangUp()
		return nil, s.failure(op, err)
	}
	if status == 0 {
		if len(body) < 4 {
			s.hangUp()
			return nil, s.explain(truncated(len(body), "a result of 4 bytes"))
		}
		status, body = int32(binary.BigEndian.Uint32(body)), body[4:]
	}
	if status != 0 {
		return nil, &Error{Name: s.about, Op: op.String(), Code: status, write: op.writes()}
	}
	return body, nil
}

// failure makes an error of ours of what reading or writing gave.
func (s *session) failure(op opcode, err error) error {
	switch {
	case s.ctx.Err() != nil:
		return s.ended()
	case err == io.EOF || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET):
		return fmt.Errorf("credential cache %s: %v: %w (%w)", s.about, op, errHungUp, err)
	}
	if _, ok := errors.AsType[*ccache.ParseError](err); ok {
		return s.explain(err)
	}
	return fmt.Errorf("credential cache %s: KCM daemon at %s: %v: %w", s.about, s.daemon.socket, op, err)
}

// explain gives errors of parsing the name of the cache.
func (s *session) explain(err error) error {
	if pe, ok := errors.AsType[*ccache.ParseError](err); ok {
		pe.Name = s.about.String()
	}
	return err
}

// name makes a request that is answered by the name of a cache.
func (s *session) name(op opcode, params ...[]byte) (string, error) {
	b, err := s.call(op, params...)
	if err != nil {
		return "", err
	}
	name, err := parseName(b)
	return name, s.explain(err)
}

// uuids makes a request that is answered by identifiers: of caches, or of what
// is in the named one.
func (s *session) uuids(op opcode, name string) ([]uuid, error) {
	var params []byte
	if name != "" {
		params = stringz(name)
	}
	b, err := s.call(op, params)
	if err != nil {
		return nil, err
	}
	out, err := parseUUIDs(b)
	return out, s.explain(err)
}

// principal returns whose the cache is. Daemons keep caches that were never
// initialised, some of which answer with nothing.
func (s *session) principal(name string) (krb.Principal, error) {
	b, err := s.call(opGetPrincipal, stringz(name))
	if err != nil {
		return krb.Principal{}, err
	}
	if len(b) == 0 {
		return krb.Principal{}, &Error{Name: s.about, Op: opGetPrincipal.String(), Code: fccNoFile}
	}
	p, err := ccache.ParsePrincipal(b)
	return p, s.explain(err)
}

// exists reports whether a cache is there for us, and initialised.
func (s *session) exists(name string) (bool, error) {
	_, err := s.principal(name)
	if gone(err) || refused(err) && errors.Is(err, fs.ErrPermission) {
		return false, nil
	}
	return err == nil, err
}

// offset returns the seconds to be added to our clock to get the KDC's. sssd has
// the largest number for one that nobody set. A daemon that does not tell is no
// reason to fail, as with MIT.
func (s *session) offset(name string) (int32, error) {
	b, err := s.call(opGetKDCOffset, stringz(name))
	if refused(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	v, err := parseOffset(b)
	if v == math.MaxInt32 {
		v = 0
	}
	return v, s.explain(err)
}
