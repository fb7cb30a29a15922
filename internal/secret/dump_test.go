package secret_test

import (
	"testing"

	"github.com/kerbchain/kerbchain/internal/secret"
	"github.com/kerbchain/kerbchain/internal/stagetest"
)

// What follows every pointer by package reflect comes upon no secret, with a positive
// control.
func TestNotDumped(t *testing.T) {
	const password = "correct horse"
	type options struct {
		text  secret.Text
		bytes *secret.Bytes
		all   map[string][]any
	}
	b := secret.New([]byte(password))
	o := options{secret.NewText(password), &b, map[string][]any{"k": {b, b.Part(0, 3), secret.NewText(password)}}}
	if where := stagetest.Dumped(&o, []byte("corre")); where != "" {
		t.Errorf("found in %s", where)
	}
	for _, control := range []any{password, []byte(password)} {
		o.all["k"] = append(o.all["k"], &control)
		if stagetest.Dumped(&o, []byte("corre")) == "" {
			t.Errorf("a pointer to a %T is not followed", control)
		}
		o.all["k"] = nil
	}
	if o.text.Reveal() != password || string(o.bytes.Reveal()) != password {
		t.Error("not what was hidden")
	}
}
