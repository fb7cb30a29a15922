//go:build (linux && !android && (386 || amd64 || arm || arm64 || loong64 || ppc64le || riscv64)) || (darwin && !ios && (amd64 || arm64)) || (freebsd && (amd64 || arm64) && (cgo || gssapi_nocgo))

package gssapi

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/ebitengine/purego"
)

// loaded returns a library of this machine.
func loaded(t *testing.T) *cLibrary {
	t.Helper()
	l, err := open("")
	if err != nil {
		t.Skipf("no GSS-API library to test with: %v", err)
	}
	return l.(*cLibrary)
}

// TestLibrariesInOrder: the first library that loads is taken, and the error where none
// does names each.
func TestLibrariesInOrder(t *testing.T) {
	there := loaded(t).String()
	const none, neither = "libnone-of-this-name.so.0", "libnor-of-this.so.0"
	for _, tc := range []struct {
		names []string
		want  string
	}{
		{[]string{there, none}, there},
		{[]string{none, there}, there},
		{[]string{none, neither, there}, there},
	} {
		if l, err := load(tc.names); err != nil || l.String() != tc.want {
			t.Errorf("%q: %v, %v", tc.names, l, err)
		}
	}
	if l, err := load([]string{none, neither}); err == nil || !strings.Contains(err.Error(), none) || !strings.Contains(err.Error(), neither) {
		t.Errorf("none of them: %v, %v", l, err)
	}
	// A file that was named is the only one.
	if l, err := open(none); err == nil {
		t.Errorf("%v in the place of another", l)
	}
	if len(candidates("")) < 2 {
		t.Errorf("by default there are %q", candidates(""))
	}
}

// TestSignedAlone: a library that says that it signed a message, and did not seal it, has
// made none.
func TestSignedAlone(t *testing.T) {
	l := *loaded(t)
	var sealed uint32
	l.wrapIOVFn = purego.NewCallback(func(_, _, _, _ uintptr, conf *uint32, _, _ uintptr) uintptr {
		*conf = sealed
		return 0
	})
	l.releaseIOVFn = purego.NewCallback(func(_, _, _ uintptr) uintptr { return 0 })
	for sealed = range uint32(2) {
		out, header, err := l.wrap(0, []byte("before"), []byte("a message"))
		if (err == nil) != (sealed == 1) || err != nil && (out != nil || !strings.Contains(err.Error(), "not sealed")) {
			t.Errorf("sealed %d: %q, a header of %d bytes, %v", sealed, out, header, err)
		}
	}
}

// TestWhyNotLoaded: the text of an error is kept by thread, so that others who load at the same
// time neither take it nor have it taken.
func TestWhyNotLoaded(t *testing.T) {
	var wg sync.WaitGroup
	for i := range 4 * runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for n := range 500 {
				none := fmt.Sprintf("/nonexistent/libnone.so.%d.%d", i, n)
				if _, err := load([]string{none}); err == nil || !strings.Contains(err.Error(), none) {
					t.Errorf("want one who names %s: %v", none, err)
					return
				}
			}
		})
	}
	wg.Wait()
}
