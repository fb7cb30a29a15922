package main

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
)

// formOf reads a form by the standard library's reader, and fails where that does.
func formOf(t *testing.T, r *http.Request) (parts []string) {
	t.Helper()
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		t.Fatalf("Content-Type %q, %v", r.Header.Get("Content-Type"), err)
	}
	form := multipart.NewReader(r.Body, params["boundary"])
	for {
		p, err := form.NextRawPart()
		if err == io.EOF {
			return parts
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		_, disposition, err := mime.ParseMediaType(p.Header.Get("Content-Disposition"))
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		if len(text) > 100 {
			text = fmt.Sprint(len(text), " bytes")
		}
		parts = append(parts, fmt.Sprintf("%s|%s|%s|%s", disposition["name"], disposition["filename"], p.Header.Get("Content-Type"), text))
	}
}

// TestGetForm: forms arrive as curl sends them, also where they are sent again after a 401
// or a redirect; TestGetBesideCurl of package interop has curl itself.
func TestGetForm(t *testing.T) {
	l := newLab(t, fakeweb.ServerOptions{})
	var got []string
	var about string
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "/", http.StatusTemporaryRedirect)
			return
		}
		length := r.ContentLength
		count := &countedBody{counted{r.Body, func(n int) { length -= int64(n) }}, r.Body}
		r.Body = count
		got = formOf(t, r)
		if _, err := io.Copy(io.Discard, r.Body); err != nil || length != 0 {
			t.Errorf("%d bytes more than were told, %v", -length, err)
		}
		about = r.Method + " " + r.Header.Get("Expect")
	})
	server := fakeweb.Serve(l.Realm, fakeweb.New(l.Realm, "", fakeweb.Options{Next: next}), fakeweb.ServerOptions{})
	file, big := l.write("file.txt", []byte("a line\n")), l.write("big.bin", bytes.Repeat([]byte("x"), 3<<20))
	odd := l.write("a,b.PNG", []byte("x"))
	t.Chdir(l.dir)
	for _, tc := range []struct {
		args  []string
		stdin string
		path  string
		want  []string
		about string // "" is POST, asking for nothing
	}{
		{args: []string{"-F", "a=b", "--form", "c= d "}, want: []string{"a|||b", "c|||d"}},
		{args: []string{"-F", "a="}, want: []string{"a|||"}},
		{args: []string{"-F", `a=" b;c\"\\ ";type=x/y;charset=utf-8`}, want: []string{`a||x/y;charset=utf-8| b;c"\ `}},
		{args: []string{"-F", "a=b;filename=n.html"}, want: []string{"a|n.html|text/html|b"}},
		{args: []string{"--form-string", "a=@b;type=x"}, want: []string{"a|||@b;type=x"}},
		{args: []string{"-F", "a=@file.txt"}, want: []string{"a|file.txt|text/plain|a line\n"}},
		{args: []string{"-F", "a=@" + file + ";type=x/y ; filename=n"}, want: []string{"a|n|x/y|a line\n"}},
		{args: []string{"-F", "a=<file.txt"}, want: []string{"a|||a line\n"}},
		{args: []string{"-F", `a=@"a,b.PNG"`, "-F", "b=c"}, want: []string{"a|a,b.PNG|image/png|x", "b|||c"}},
		{args: []string{"-F", "a=@-", "-F", "b=c"}, stdin: "of stdin", want: []string{"a|-||of stdin", "b|||c"}},
		{args: []string{"-F", "a=<-;type=x/y"}, stdin: "of stdin", want: []string{"a||x/y|of stdin"}},
		{args: []string{"-F", "a=@big.bin", "-F", "b=@big.bin;type=x/y"}, want: []string{"a|big.bin|application/octet-stream|3145728 bytes", "b|big.bin|x/y|3145728 bytes"}, about: "POST 100-continue"},
		{args: []string{"-X", "PUT", "-F", "a=@" + odd + ";type=x/y", "-H", "Expect:"}, want: nil},
		{args: []string{"-X", "PUT", "-F", "a=b"}, want: []string{"a|||b"}, about: "PUT "},
		{args: []string{"-L", "-F", "a=@file.txt"}, path: "/moved", want: []string{"a|file.txt|text/plain|a line\n"}},
		{args: []string{"-F", "a\"b\r\n=c"}, want: []string{"a%22b%0D%0A|||c"}},
	} {
		got, about = nil, ""
		code, _, stderr := l.run(tc.stdin, append(append([]string{"get"}, tc.args...), server.URL()+tc.path)...)
		if tc.want == nil { // a comma in a name that is not in quotes
			if code != exitUsage || !strings.Contains(stderr, "want one file for each -F") {
				t.Errorf("%q: exit status %d: %s", tc.args, code, stderr)
			}
			continue
		}
		if tc.about == "" {
			tc.about = "POST "
		}
		if d := cmp.Diff(tc.want, got); code != exitOK || d != "" || about != tc.about {
			t.Errorf("%q: exit status %d, %s: (-want +got)\n%s%s", tc.args, code, about, d, stderr)
		}
	}
	for _, name := range []string{file, big, odd} {
		if n := opened(name); n > 0 {
			t.Errorf("%s is still open, %d times", name, n)
		}
	}
}

// What no form can be made of, and what does not go with one, is wrong usage.
func TestGetFormErrors(t *testing.T) {
	l := newLab(t, fakeweb.ServerOptions{})
	for _, tc := range []struct {
		args []string
		says string
	}{
		{[]string{"-F", "a"}, "want name=content"},
		{[]string{"-F", "=b"}, "want name=content"},
		{[]string{"--form-string", "a"}, "--form-string: want name=content"},
		{[]string{"-F", "a=@"}, "-F: want a file after @"},
		{[]string{"-F", "a=<;type=x"}, "-F: want a file after <"},
		{[]string{"-F", "a=@" + filepath.Join(l.dir, "none")}, "none"},
		{[]string{"-F", "a=@" + l.dir}, "-F: "},
		{[]string{"-F", "a=b;c"}, `-F: "c" is no parameter`},
		{[]string{"-F", "a=b;encoder=base64"}, `-F: "encoder" is no parameter`},
		{[]string{"-F", "a=(b"}, "-F: parts within parts"},
		{[]string{"-F", "a=b;type=x/y\r\nX: y"}, "-F: the type holds a line break"},
		{[]string{"-F", "a=b", "-d", "c"}, "-F excludes"},
		{[]string{"-F", "a=b", "-T", "c"}, "-F excludes"},
		{[]string{"-F", "a=b", "-G"}, "-F excludes"},
		{[]string{"-F", "a=b", "-I"}, "-F excludes"},
		{[]string{"-F", "a=b", "-H", "Content-Type: text/plain"}, "-H: Content-Type is for -F to say"},
	} {
		code, stdout, stderr := l.run("", append(append([]string{"get"}, tc.args...), l.server.URL())...)
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, tc.says) {
			t.Errorf("%q: exit status %d: %s%s", tc.args, code, stdout, stderr)
		}
	}
}

// A form's files are read when they are sent, and a body that is closed reads no more.
func TestFormBody(t *testing.T) {
	opens, closes := 0, 0
	file := piece{3, func() (io.ReadCloser, error) {
		opens++
		return &countedBody{counted{strings.NewReader("abc"), func(int) {}}, closerFunc(func() error { closes++; return nil })}, nil
	}}
	b := &formBody{rest: []piece{pieceOf([]byte("1")), file, pieceOf(nil), file}}
	all, err := io.ReadAll(b)
	if err != nil || string(all) != "1abcabc" || opens != 2 || closes != 2 {
		t.Errorf("%q, %v: opened %d times, closed %d times", all, err, opens, closes)
	}
	b = &formBody{rest: []piece{file, file}}
	if _, err := b.Read(make([]byte, 1)); err != nil || opens != 3 {
		t.Error(err, opens)
	}
	if err := b.Close(); err != nil || closes != 3 {
		t.Error(err, closes)
	}
	if n, err := b.Read(make([]byte, 1)); n != 0 || err != io.EOF || opens != 3 {
		t.Errorf("%d bytes, %v of a body that is closed", n, err)
	}
	gone := piece{1, func() (io.ReadCloser, error) { return nil, os.ErrNotExist }}
	if _, err := io.ReadAll(&formBody{rest: []piece{file, gone}}); err != os.ErrNotExist {
		t.Errorf("a file that is gone: %v", err)
	}
}

type closerFunc func() error

func (f closerFunc) Close() error { return f() }
