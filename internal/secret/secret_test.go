package secret

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/internal/alloctest"
)

func TestBytes(t *testing.T) {
	whole := []byte("hunter2hunter2")
	b := New(whole)
	if !bytes.Equal(b.Reveal(), whole) || b.IsZero() || &b.Reveal()[0] != &whole[0] {
		t.Errorf("%q", b.Reveal())
	}
	part := b.Part(2, 6).Part(1, 3)
	if got := part.Reveal(); string(got) != "te" || cap(got) != 2 {
		t.Errorf("part %q with room for %d", got, cap(got))
	}
	if !(Bytes{}).IsZero() || (Bytes{}).Reveal() != nil || New(nil).IsZero() {
		t.Error("none, and no bytes at all")
	}
	if copied := b; copied != b || b == New(whole) || part == b {
		t.Error("equal are copies alone")
	}
	if n := alloctest.Allocations(100, 0, func() { part = b.Part(1, 2) }); n != 0 {
		t.Errorf("a part costs %v allocations", n)
	}
}

// Nothing prints them, with a positive control.
func TestBytesDoNotPrint(t *testing.T) {
	whole := []byte{201, 202, 203, 204}
	b := New(whole)
	type hidden struct {
		canary string
		b      Bytes
		p      *Bytes
		in     map[string][]Bytes
		sealed any
	}
	h := hidden{"canary", b, &b, map[string][]Bytes{"k": {b}}, b}
	control := struct {
		canary string
		b      *[]byte
	}{"canary", &whole}
	tells := func(text string) bool {
		text = strings.ToLower(text)
		for _, bad := range []string{string(whole), "c9ca", "201 202", "201,202", "0xc9, 0xca", "ycrl", "311 312"} {
			if strings.Contains(text, bad) {
				return true
			}
		}
		return false
	}
	if verbs := []string{"%s"}; !tells(fmt.Sprintf(verbs[0], control)) {
		t.Error("a pointer would do, or the test looks in the wrong place")
	}
	for name, v := range map[string]any{"bytes": b, "pointer": &b, "hidden": h, "pointer to hidden": &h, "list": []hidden{h}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%o", "%b", "%c", "%t", "%e", "%U", "%p", "%w"} {
			if text := fmt.Sprintf(verb, v); tells(text) || strings.Contains(name, "hidden") && verb == "%v" && !strings.Contains(text, "canary") {
				t.Errorf("%s of %s is %s", verb, name, text)
			}
		}
		if text, err := json.Marshal(v); err == nil && tells(string(text)) {
			t.Errorf("JSON of %s is %s", name, text)
		}
		var log strings.Builder
		slog.New(slog.NewJSONHandler(&log, nil)).Info("canary", "v", v)
		slog.New(slog.NewTextHandler(&log, nil)).Info("canary", "v", v)
		if tells(log.String()) {
			t.Errorf("a log of %s is %s", name, &log)
		}
	}
	if got := fmt.Sprint(b, Bytes{}); got != "[secret] [no secret]" {
		t.Errorf("%s", got)
	}
}
