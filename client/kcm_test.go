package client_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/kerbchain/kerbchain/internal/testmain"
)

// A kcmDaemon keeps one cache, as sssd-kcm and Heimdal's kcm do, and lets clients
// read it: with the protocol that internal/ccache/kcm holds against captures.
type kcmDaemon struct {
	mu        sync.Mutex
	serial    uint64 // of the credential, and of the cache
	principal []byte // nil for no cache
	cred      []byte
}

// kcmLogin starts a daemon that ends with the test.
func kcmLogin(t *testing.T, cache func(user string) []byte) *login {
	t.Helper()
	socket := filepath.Join(testmain.SocketDir(t), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	d := new(kcmDaemon)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			wg.Go(func() { d.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return &login{
		name: "KCM:", leaves: true, config: "\n[libdefaults]\nkcm_socket = " + socket + "\n",
		become: func(t *testing.T, user string) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.serial++
			if d.principal = nil; user != "" {
				d.principal, d.cred = parts(cache(user))
			}
		},
	}
}

// parts returns the principal and the last credential of a cache in MIT's format 4.
func parts(b []byte) (principal, cred []byte) {
	word := func(b []byte) int { return int(binary.BigEndian.Uint32(b)) }
	b = b[4+binary.BigEndian.Uint16(b[2:]):]
	end := 8
	for range 1 + word(b[4:]) { // realm and components
		end += 4 + word(b[end:])
	}
	principal = b[:end]
	// Each credential begins with the same principal.
	return principal, b[bytes.LastIndex(b, principal):]
}

func (d *kcmDaemon) serve(c net.Conn) {
	defer c.Close()
	for {
		var size [4]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		b := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(c, b); err != nil {
			return
		}
		result, body := d.answer(binary.BigEndian.Uint16(b[2:]))
		reply := binary.BigEndian.AppendUint32(nil, uint32(4+len(body)))
		reply = binary.BigEndian.AppendUint32(reply, 0) // status
		reply = binary.BigEndian.AppendUint32(reply, uint32(result))
		if _, err := c.Write(append(reply, body...)); err != nil {
			return
		}
	}
}

func (d *kcmDaemon) answer(op uint16) (result int32, body []byte) {
	const noFile, internal = -1765328189, -1765328188 // KRB5_FCC_NOFILE, KRB5_FCC_INTERNAL
	d.mu.Lock()
	defer d.mu.Unlock()
	id := binary.BigEndian.AppendUint64(make([]byte, 8), d.serial)
	name := append([]byte(strconv.Itoa(os.Geteuid())), 0)
	switch {
	case op == 20: // GET_DEFAULT_CACHE
		return 0, name
	case op != 4 && op != 6 && d.principal == nil && (op == 8 || op == 9 || op == 10 || op == 18 || op == 19 || op == 22):
		return noFile, nil
	}
	switch op {
	case 8: // GET_PRINCIPAL
		return 0, slices.Clone(d.principal)
	case 9, 18: // GET_CRED_UUID_LIST, GET_CACHE_UUID_LIST
		return 0, id
	case 10: // GET_CRED_BY_UUID
		return 0, slices.Clone(d.cred)
	case 19: // GET_CACHE_BY_UUID
		return 0, name
	case 22: // GET_KDC_OFFSET
		return 0, make([]byte, 4)
	}
	return internal, nil // nothing is written
}
