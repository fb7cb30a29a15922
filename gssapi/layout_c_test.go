//go:build interop

package gssapi

import (
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// structures fills each structure with marks, and prints its bytes.
const structures = `
#include <stdio.h>
#include <string.h>
#include <gssapi/gssapi.h>
#include <gssapi/gssapi_ext.h>

#define P(n) ((void *)(size_t)(n))
#define SHOW(name, type, ...) do { type s; memset(&s, 0, sizeof s); __VA_ARGS__ \
	printf("%s ", name); \
	for (size_t i = 0; i < sizeof s; i++) printf("%02x", ((unsigned char *)&s)[i]); \
	printf("\n"); } while (0)

int main(void) {
	SHOW("oid", gss_OID_desc, s.length = 9; s.elements = P(1););
	SHOW("buffer", gss_buffer_desc, s.length = 9; s.value = P(1););
	SHOW("mechs", gss_OID_set_desc, s.count = 9; s.elements = P(1););
	SHOW("bindings", struct gss_channel_bindings_struct, s.application_data.length = 9; s.application_data.value = P(1););
	SHOW("iov", gss_iov_buffer_desc, s.type = 2; s.buffer.length = 9; s.buffer.value = P(1););
	SHOW("element", gss_key_value_element_desc, s.key = P(9); s.value = P(1););
	SHOW("stores", gss_key_value_set_desc, s.count = 9; s.elements = P(1););
	return 0;
}
`

// TestLayoutOfC has the C compiler lay out the structures of MIT's headers, as they are
// here and as they are on Macs with Intel's processors, where some are packed.
func TestLayoutOfC(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "structures.c")
	if err := os.WriteFile(source, []byte(structures), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		l     layout
		flags []string
	}{
		"here":         {here, nil},
		"macOS, Intel": {layout{word: 8, align: 2}, []string{"-D__APPLE__"}},
	} {
		t.Run(name, func(t *testing.T) {
			program := filepath.Join(dir, strings.ReplaceAll(name, " ", ""))
			if out, err := exec.Command("cc", append(tc.flags, "-o", program, source)...).CombinedOutput(); err != nil {
				t.Fatalf("install the Debian packages gcc and libkrb5-dev (.ci/packages does): %v\n%s", err, out)
			}
			out, err := exec.Command(program).Output()
			if err != nil {
				t.Fatal(err)
			}
			ours := map[string][]byte{
				"oid": tc.l.oid(9, 1), "buffer": tc.l.buffer(9, 1), "mechs": tc.l.buffer(9, 1), "bindings": tc.l.bindings(9, 1),
				"iov": tc.l.iov(2, 9, 1), "element": tc.l.buffer(9, 1), "stores": tc.l.stores(9, 1),
			}
			for line := range strings.Lines(string(out)) {
				name, want, _ := strings.Cut(strings.TrimSpace(line), " ")
				if got := hex.EncodeToString(ours[name]); got != want {
					t.Errorf("%s: %s, and C has %s", name, got, want)
				}
				delete(ours, name)
			}
			for name := range ours {
				t.Errorf("C says nothing of %s", name)
			}
		})
	}
}
