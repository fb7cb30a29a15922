//go:build unix

package ccache

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/kerbchain/kerbchain/internal/childtest"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/regularfile"
)

// lastEntry returns where the last entry of one of MIT's files begins.
func lastEntry(tb testing.TB, b []byte) int {
	tb.Helper()
	for n := len(b) - 1; n > 0; n-- {
		if c, err := Parse(b[:n]); err == nil && c.Torn == nil {
			return n
		}
	}
	tb.Fatal("no entry")
	return 0
}

// What MIT's library appended to a file of each version, Add appends byte for
// byte.
func TestAddIsAsMIT(t *testing.T) {
	for version := 1; version <= 4; version++ {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			b := testFile(t, version)
			c := parse(t, b)
			s := OpenFile(file(t, version))
			write(t, s.path, b[:lastEntry(t, b)])
			if err := s.Add(t.Context(), c.Credentials[len(c.Credentials)-1]); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(b, read(t, s.path)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The files at hand of versions 1 and 2 come from a little-endian machine.
func TestAddInTheOrderOfTheFile(t *testing.T) {
	cred := parse(t, testFile(t, 4)).Credentials[1]
	for version := 1; version <= 2; version++ {
		w := &writer{layout: layout{version: version}, b: []byte{5, byte(version)}}
		w.principal(alice)
		s := OpenFile(filepath.Join(t.TempDir(), "cc"))
		write(t, s.path, w.b)
		if err := s.Add(t.Context(), cred, like(cred, "b", 1)); err != nil {
			t.Fatal(err)
		}
		c, err := s.Load(t.Context())
		if err != nil || len(c.Credentials) != 2 || !bytes.Equal(c.Credentials[0].Raw, cred.Raw) || c.Credentials[1].Flags != cred.Flags {
			t.Errorf("version %d: %v %v", version, c, err)
		}
		if got := read(t, s.path)[len(w.b):]; binary.BigEndian.Uint32(got[4*(version-1):]) > 2 {
			t.Errorf("version %d: appended % x", version, got[:8])
		}
	}
}

func TestAdd(t *testing.T) {
	dir := t.TempDir()
	for name, s := range map[string]*FileStore{
		"FILE": OpenFile(filepath.Join(dir, "cc")),
		"DIR":  dirCollection{path: dir}.member("tktA"),
	} {
		write(t, s.path, testFile(t, 4))
		before := parse(t, testFile(t, 4))
		config := Config{Key: "refresh_time", Value: []byte("1")}.Credential(alice)
		web := like(before.Credentials[1], "added", 1)
		if err := s.Add(t.Context(), web, config); err != nil {
			t.Fatal(err)
		}
		if err := s.Add(t.Context()); err != nil {
			t.Errorf("%s: nothing: %v", name, err)
		}
		after, err := s.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		before.Credentials = append(before.Credentials, web)
		before.Config = append(before.Config, Config{Key: "refresh_time", Value: []byte("1")})
		if diff := cmp.Diff(before, after, compare...); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestAddRefused(t *testing.T) {
	whole := testFile(t, 4)
	good := parse(t, whole).Credentials[1]
	bobs, old := good, good
	bobs.Client = krb.NewPrincipal(realm, "bob")
	old.EndTime = time.Unix(-1, 0)
	for name, tc := range map[string]struct {
		file []byte
		cred Credential
		err  error
		says string
	}{
		"another client":    {whole, bobs, ErrOtherClient, "alice@EXAMPLE.TEST"},
		"unfit":             {whole, old, nil, "32 bits"},
		"half a credential": {whole[:len(whole)-3], good, ErrTruncated, "kinit"},
		"one byte of one":   {append(whole[:len(whole):len(whole)], 0), good, ErrTruncated, "kinit"},
		"empty":             {nil, good, ErrTruncated, "kinit"},
		"no cache":          {[]byte("[libdefaults]\n"), good, ErrMalformed, "kinit"},
		"junk at the end":   {append(whole[:len(whole):len(whole)], "junk"...), good, ErrTruncated, "kinit"},
	} {
		t.Run(name, func(t *testing.T) {
			s := OpenFile(file(t, 4))
			write(t, s.path, tc.file)
			err := s.Add(t.Context(), good, tc.cred)
			if err == nil || tc.err != nil && !errors.Is(err, tc.err) || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), s.path) {
				t.Errorf("error %v, want %v about %q", err, tc.err, tc.says)
			}
			if !bytes.Equal(read(t, s.path), tc.file) {
				t.Error("the file was changed")
			}
		})
	}
	none := OpenFile(filepath.Join(t.TempDir(), "cc"))
	if err := none.Add(t.Context(), good); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := os.Stat(none.path); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a cache was made")
	}
}

// What could not be read again is not written.
func TestAddToTheLimit(t *testing.T) {
	good := parse(t, testFile(t, 4)).Credentials[1]
	entry, err := good.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	// A ticket of zeros takes no place on the disk, so that all but its length is
	// written, and the length of a second ticket that is not there is zero.
	b := append(testFile(t, 4), entry[:len(entry)-len(good.Raw)-8]...)
	room := len(entry) - 1
	b = binary.BigEndian.AppendUint32(b, uint32(MaxSize-len(b)-8-room))
	s := OpenFile(file(t, 4))
	write(t, s.path, b)
	if err := os.Truncate(s.path, int64(MaxSize-room)); err != nil {
		t.Fatal(err)
	}
	before, err := s.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Add(t.Context(), good); err == nil || !strings.Contains(err.Error(), "exceed") {
		t.Errorf("error %v", err)
	}
	if after, err := s.State(t.Context()); err != nil || after != before {
		t.Errorf("the file was changed: %v", err)
	}
}

// Nor are more entries than would be read again; those that do not count as
// tickets are among them.
func TestAddToTheLastEntry(t *testing.T) {
	good := parse(t, testFile(t, 4)).Credentials[1]
	config := Config{Key: "k"}.Credential(alice)
	removed := config
	removed.Server.Realm = removedRealm
	s := OpenFile(file(t, 4))
	few := &Cache{Client: alice}
	if err := s.Replace(t.Context(), few); err != nil {
		t.Fatal(err)
	}
	for left := MaxEntries; left > 0; {
		n := min(left, MaxEntries/4)
		if err := s.Add(t.Context(), slices.Concat([]Credential{config, removed}, slices.Repeat([]Credential{good}, n-2))...); err != nil {
			t.Fatal(err)
		}
		left -= n
	}
	if c, err := s.Load(t.Context()); err != nil || len(c.Credentials) != MaxEntries-8 || len(c.Config) != 4 {
		t.Fatalf("%v", err)
	}
	before := read(t, s.path)
	if err := s.Add(t.Context(), good); err == nil || !strings.Contains(err.Error(), "16384 entries") || !strings.Contains(err.Error(), s.path) {
		t.Errorf("error %v", err)
	}
	if !bytes.Equal(before, read(t, s.path)) {
		t.Error("the file was changed")
	}
	many := &Cache{Client: alice, Config: []Config{{Key: "k"}}, Credentials: slices.Repeat([]Credential{good}, MaxEntries)}
	if err := s.Replace(t.Context(), many); err == nil || !strings.Contains(err.Error(), "16385 entries") {
		t.Errorf("error %v", err)
	}
	many.Config = nil
	if err := s.Replace(t.Context(), many); err != nil {
		t.Error(err)
	}
	if c, err := s.Load(t.Context()); err != nil || len(c.Credentials) != MaxEntries {
		t.Errorf("%v", err)
	}
}

// A torn tail is left where it is, and gone when the file is written anew.
func TestTornTailIsMended(t *testing.T) {
	b := testFile(t, 4)
	s := OpenFile(file(t, 4))
	write(t, s.path, b[:len(b)-3])
	torn, err := s.Load(t.Context())
	if err != nil || torn.Torn == nil {
		t.Fatal(torn, err)
	}
	if err := s.Replace(t.Context(), torn); err != nil {
		t.Fatal(err)
	}
	got, err := s.Load(t.Context())
	if err != nil || got.Torn != nil {
		t.Fatal(got, err)
	}
	want := parse(t, b)
	want.Credentials = want.Credentials[:len(want.Credentials)-1]
	if diff := cmp.Diff(want, got, compare...); diff != "" {
		t.Error(diff)
	}
}

// What is put where a cache is expected does not keep us waiting.
func TestNotRegular(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(pipe, link); err != nil {
		t.Fatal(err)
	}
	c := parse(t, testFile(t, 4))
	for _, path := range []string{dir, pipe, link, "/dev/null"} {
		s := OpenFile(path)
		if _, err := s.Load(t.Context()); err == nil || !strings.Contains(err.Error(), "regular") {
			t.Errorf("load %s: %v", path, err)
		}
		if err := s.Add(t.Context(), c.Credentials[0]); err == nil || !strings.Contains(err.Error(), "regular") {
			t.Errorf("add to %s: %v", path, err)
		}
		if path == link || path == "/dev/null" {
			continue // may be replaced; and if this one could be, root would do so
		}
		if err := s.Replace(t.Context(), c); err == nil || !strings.Contains(err.Error(), "regular") {
			t.Errorf("replace %s: %v", path, err)
		}
	}
	// The flags alone must do, should the pipe come between the two looks.
	f, err := os.OpenFile(pipe, os.O_RDONLY|regularfile.OpenFlags, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

func TestNotOurs(t *testing.T) {
	path := "/etc/passwd"
	if os.Geteuid() == 0 {
		path = file(t, 4)
		if err := os.Chown(path, 65534, -1); err != nil {
			t.Fatal(err)
		}
	}
	before := read(t, path)
	c := parse(t, testFile(t, 4))
	s := OpenFile(path)
	for call, err := range map[string]error{"add": s.Add(t.Context(), c.Credentials[0]), "replace": s.Replace(t.Context(), c)} {
		if !errors.Is(err, ErrNotOurs) || !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: %v", call, err)
		}
	}
	if !bytes.Equal(before, read(t, path)) {
		t.Error("the file was changed")
	}
}

func TestReplace(t *testing.T) {
	c := parse(t, testFile(t, 4))
	want, err := c.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	top := t.TempDir()
	for name, tc := range map[string]struct {
		name Name
		prep func() error
		err  error
	}{
		"new":                {name: Name{"FILE", top + "/new"}},
		"old":                {name: Name{"FILE", top + "/old"}, prep: func() error { return os.WriteFile(top+"/old", []byte("what was there"), 0o644) }},
		"link":               {name: Name{"FILE", top + "/link"}, prep: func() error { return os.Symlink(top+"/nowhere", top+"/link") }},
		"no folder":          {name: Name{"FILE", top + "/a/b"}, err: fs.ErrNotExist},
		"DIR, new":           {name: Name{"DIR", top + "/dir"}},
		"DIR, member of new": {name: Name{"DIR", ":" + top + "/dir2/tktB"}},
		"DIR, named primary": {name: Name{"DIR", top + "/dir3"}, prep: func() error {
			return errors.Join(os.Mkdir(top+"/dir3", 0o755), os.WriteFile(top+"/dir3/primary", []byte("tktC\n"), 0o600))
		}},
		"DIR, nothing above": {name: Name{"DIR", top + "/x/y"}, err: fs.ErrNotExist},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.prep != nil {
				if err := tc.prep(); err != nil {
					t.Fatal(err)
				}
			}
			store, err := primary(t, tc.name)
			if err != nil {
				t.Fatal(err)
			}
			if err := store.Replace(t.Context(), c); !errors.Is(err, tc.err) {
				t.Fatalf("error %v, want %v", err, tc.err)
			}
			if tc.err != nil {
				return
			}
			path := store.(*FileStore).path
			if !bytes.Equal(read(t, path), want) {
				t.Error("it is not what was to be written")
			}
			info, err := os.Lstat(path)
			if err != nil || info.Mode() != 0o600 {
				t.Errorf("%v, %v", info.Mode(), err)
			}
			dir, err := os.Stat(filepath.Dir(path))
			if made := tc.prep == nil && tc.name.Type == "DIR"; err != nil || made && dir.Mode().Perm() != 0o700 {
				t.Errorf("folder: %v, %v", dir.Mode(), err)
			}
			if left, err := filepath.Glob(filepath.Dir(path) + "/.krb5cc*"); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v %v", left, err)
			}
			if again := names(t, tc.name); len(again) != 1 {
				t.Errorf("the collection holds %v", again)
			}
		})
	}
	t.Run("folder in its place", func(t *testing.T) {
		if err := os.Mkdir(top+"/folder", 0o700); err != nil {
			t.Fatal(err)
		}
		if err := OpenFile(top+"/folder").Replace(t.Context(), c); err == nil {
			t.Error("a folder was replaced")
		}
		if left, err := filepath.Glob(top + "/.krb5cc*"); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v %v", left, err)
		}
	})
	t.Run("unfit", func(t *testing.T) {
		s := OpenFile(top + "/unfit")
		if err := s.Replace(t.Context(), &Cache{KDCOffset: 1 << 62}); err == nil {
			t.Error("written")
		}
		if _, err := os.Stat(s.path); !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	})
}

// tick waits until the clock of the file system, which may go by steps of some milliseconds, shows
// another time: within one step, a file that has the number of one before it cannot be told from it.
func tick(t *testing.T) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "clock")
	for first := int64(0); ; {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		switch now := info.ModTime().UnixNano(); {
		case first == 0:
			first = now
		case now != first:
			return
		}
		if err := os.Remove(path); err != nil { // since a file that was looked at has a finer clock
			t.Fatal(err)
		}
	}
}

func TestState(t *testing.T) {
	s := OpenFile(file(t, 4))
	c := parse(t, testFile(t, 4))
	seen := make(map[string]string)
	look := func(when string) {
		t.Helper()
		a, err := s.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if b, err := s.State(t.Context()); err != nil || a != b {
			t.Errorf("%s: %q, then %q, %v", when, a, b, err)
		}
		if before, ok := seen[a]; ok {
			t.Errorf("%s: the same state as %s", when, before)
		}
		seen[a] = when
	}
	look("at first")
	if err := s.Add(t.Context(), c.Credentials[0]); err != nil {
		t.Fatal(err)
	}
	look("after Add")
	if err := s.Replace(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	look("after Replace")
	// Of equal length, at the same time, in another file.
	info, err := os.Stat(s.path)
	if err != nil {
		t.Fatal(err)
	}
	tick(t)
	if err := s.Replace(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(s.path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	look("after another Replace")
	if err := os.Remove(s.path); err != nil {
		t.Fatal(err)
	}
	if state, err := s.State(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %q %v", state, err)
	}
}

// Several goroutines and another process append; every reader finds it whole,
// and nothing is lost.
func TestNothingIsLost(t *testing.T) {
	const writers, each = 4, 40
	path := file(t, 4)
	model := parse(t, testFile(t, 4)).Credentials[1]
	other := childtest.Start(t, "add", path, "child", fmt.Sprint(each))
	var adding, loading sync.WaitGroup
	for w := range writers {
		adding.Go(func() {
			s := OpenFile(path)
			for i := range each {
				if err := s.Add(t.Context(), like(model, fmt.Sprint("a", w), i), like(model, fmt.Sprint("b", w), i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var done atomic.Bool
	for range 2 {
		loading.Go(func() {
			s, most := OpenFile(path), 0
			for !done.Load() {
				c, err := s.Load(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				if n := len(c.Credentials); n < most {
					t.Errorf("%d credentials after %d", n, most)
				} else {
					most = n
				}
			}
		})
	}
	adding.Wait()
	other.End()
	done.Store(true)
	loading.Wait()
	c, err := OpenFile(path).Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	count := make(map[string]int)
	for i := range c.Credentials[3:] {
		cred := &c.Credentials[3+i]
		if !bytes.Equal(cred.Raw, model.Raw) || !bytes.Equal(cred.key.Reveal(), model.key.Reveal()) || cred.EndTime != model.EndTime {
			t.Errorf("%v came out changed", cred)
		}
		count[cred.Server.Components[1]]++
	}
	want := make(map[string]int)
	for i := range each {
		want[like(model, "child", i).Server.Components[1]] = 1
		for w := range writers {
			want[like(model, fmt.Sprint("a", w), i).Server.Components[1]] = 1
			want[like(model, fmt.Sprint("b", w), i).Server.Components[1]] = 1
		}
	}
	if diff := cmp.Diff(want, count); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// While the file is replaced as well, every reader still finds a whole one, and
// what is added after the last time is there.
func TestReplacedMeanwhile(t *testing.T) {
	path := file(t, 4)
	fresh := parse(t, testFile(t, 4))
	model := fresh.Credentials[1]
	other := childtest.Start(t, "add", path, "child", "40")
	var replaced, done atomic.Bool
	var replacing, adding, loading sync.WaitGroup
	replacing.Go(func() {
		for range 100 {
			if err := OpenFile(path).Replace(t.Context(), fresh); err != nil {
				t.Error(err)
			}
		}
		replaced.Store(true)
	})
	var mu sync.Mutex
	var late []string
	for w := range 3 {
		adding.Go(func() {
			for i, after := 0, 0; after < 10; i++ {
				cred := like(model, fmt.Sprint("w", w), i)
				last := replaced.Load()
				if err := OpenFile(path).Add(t.Context(), cred); err != nil {
					t.Error(err)
					return
				}
				if last {
					after++
					mu.Lock()
					late = append(late, cred.Server.Components[1])
					mu.Unlock()
				}
			}
		})
	}
	loading.Go(func() {
		for !done.Load() {
			if _, err := OpenFile(path).Load(t.Context()); err != nil {
				t.Error(err)
				return
			}
		}
	})
	replacing.Wait()
	adding.Wait()
	other.End()
	done.Store(true)
	loading.Wait()
	c, err := OpenFile(path).Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	there := make(map[string]int)
	for i := range c.Credentials {
		there[c.Credentials[i].Server.Components[1]]++
	}
	for _, name := range late {
		if there[name] != 1 {
			t.Errorf("%s is there %d times", name, there[name])
		}
	}
	if len(late) < 30 {
		t.Errorf("%d were added at last, want 30", len(late))
	}
}

// What was half written is taken back, and nothing of whoever wrote behind it.
func TestTakeBack(t *testing.T) {
	for wrote, want := range map[string]string{"whole, and ha": "whole", "whole, and half of theirs": "whole, and half of theirs", "who": "who"} {
		f, err := os.OpenFile(filepath.Join(t.TempDir(), "cc"), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(wrote); err != nil {
			t.Fatal(err)
		}
		err = errors.Join(takeBack(f, len("whole"), len(", and ha")), f.Close())
		if b, failed := os.ReadFile(f.Name()); string(b) != want || err != nil || failed != nil {
			t.Errorf("of %q %q is left: %v, %v", wrote, b, err, failed)
		}
	}
}
