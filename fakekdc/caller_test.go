package fakekdc

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/internal/secret"
)

// Delegated credentials do not print, however deep they lie and whatever the verb.
func TestCacheFileDoesNotPrint(t *testing.T) {
	contents := []byte{201, 202, 203, 204, 205, 206}
	file := CacheFile{secret.New(contents)}
	type hidden struct {
		canary string
		file   CacheFile
		caller *Caller
		byName map[string]Caller
	}
	caller := Caller{Name: "alice", Delegated: file}
	for name, v := range map[string]any{
		"file": file, "pointer": &file, "caller": caller, "hidden": hidden{"canary", file, &caller, map[string]Caller{"a": caller}},
		"list": []hidden{{canary: "canary", file: file}}, "pointer to hidden": &hidden{canary: "canary", file: file},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%c", "%t", "%e", "%U"} {
			text := fmt.Sprintf(verb, v)
			for _, bad := range []string{string(contents), hex.EncodeToString(contents[:3]), "201 202", "201, 202", "0xc9, 0xca", "311 312"} {
				if strings.Contains(strings.ToLower(text), bad) {
					t.Errorf("%s of %s tells %q", verb, name, text)
				}
			}
			if strings.Contains(name, "hidden") && verb == "%v" && !strings.Contains(text, "canary") {
				t.Errorf("the canary is missing from %s", text)
			}
		}
		b, err := json.Marshal(v)
		if err == nil && bytes.Contains(b, []byte("ycrLzM3O")) {
			t.Errorf("JSON of %s is %s", name, b)
		}
	}
	if !bytes.Equal(file.Bytes(), contents) || file.IsZero() || !(CacheFile{}).IsZero() || (CacheFile{}).Bytes() != nil {
		t.Error("the contents are not there")
	}
}
