//go:build unix

package ccache

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// Who reads is asked for every file, with the owner of what was opened, and not
// for what is only looked at.
func TestOpenFor(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"tkt", "tktA"} {
		if err := os.WriteFile(filepath.Join(dir, name), testFile(t, 4), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	denied := errors.New("denied")
	for _, name := range []string{"FILE:" + filepath.Join(dir, "tkt"), "DIR:" + dir, "DIR::" + filepath.Join(dir, "tktA")} {
		n, err := ParseName(name)
		if err != nil {
			t.Fatal(err)
		}
		var asked []Owner
		var answer error
		c, err := OpenFor(n, func(_ context.Context, o Owner) error {
			asked = append(asked, o)
			return answer
		})
		if err != nil {
			t.Fatal(err)
		}
		stores, err := c.Stores(t.Context())
		if err != nil || len(asked) > 0 {
			t.Fatalf("%s: %v %v", name, asked, err)
		}
		for _, s := range stores {
			asked = nil
			if _, err := s.State(t.Context()); err != nil || len(asked) > 0 {
				t.Errorf("%s: %v %v", s.Name(), asked, err)
			}
			for _, answer = range []error{nil, denied} {
				asked = nil
				if _, err := s.Load(t.Context()); !errors.Is(err, answer) {
					t.Errorf("%s: %v, want %v", s.Name(), err, answer)
				}
				if len(asked) != 1 || asked[0].UID != os.Geteuid() || asked[0].Name != s.Name() || asked[0].Exposed() {
					t.Errorf("%s: asked %+v", s.Name(), asked)
				}
			}
		}
	}
	if _, err := OpenFor(Name{"API", ""}, nil); err == nil {
		t.Error("a type that cannot be read")
	}
	if _, err := OpenFile(filepath.Join(dir, "tkt")).Load(t.Context()); err != nil {
		t.Errorf("nobody is particular: %v", err)
	}
}

// Exposed is what is in a sticky folder that others may write to, by its own name or
// by that of what a link leads to.
func TestExposed(t *testing.T) {
	for name, tc := range map[string]struct {
		mode os.FileMode
		want bool
	}{
		"as /tmp":               {os.ModeSticky | 0o777, true},
		"for a group":           {os.ModeSticky | 0o770, true},
		"sticky and one's own":  {os.ModeSticky | 0o755, false},
		"not sticky":            {0o777, false},
		"one's own, not sticky": {0o700, false},
	} {
		dir, own := t.TempDir(), t.TempDir()
		path, link := filepath.Join(dir, "cc"), filepath.Join(own, "cc")
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Symlink(path, link), os.Chmod(dir, tc.mode)); err != nil {
			t.Fatal(err)
		}
		if got := (Owner{Path: path}).Exposed(); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
		if got := (Owner{Path: link}).Exposed(); got != tc.want {
			t.Errorf("%s, by a link: %v", name, got)
		}
		there, away := filepath.Join(own, "there"), filepath.Join(dir, "away")
		if err := errors.Join(os.WriteFile(there, nil, 0o600), os.Symlink(there, away)); err != nil {
			t.Fatal(err)
		}
		if got := (Owner{Path: away}).Exposed(); got != tc.want {
			t.Errorf("%s, a link that leads out of it: %v", name, got)
		}
	}
}
