package negotiate_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain"
	"github.com/kerbchain/kerbchain/internal/stagetest"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
)

// A biscuits is a script of Set-Cookie lines: what earlier answers set, what the
// challenge does, and what the final answer does.
type biscuits struct{ before, challenge, final []string }

func (b biscuits) String() string {
	return fmt.Sprintf("before %q\nchallenge %q\nfinal %q", b.before, b.challenge, b.final)
}

// setting replies with a status and Set-Cookie lines.
func setting(status int, lines []string, fields ...string) stagetest.Reply {
	for _, line := range lines {
		fields = append(fields, "Set-Cookie", line)
	}
	return stagetest.Respond(status, "", fields...)
}

// An eater is an http.Client with a jar, and what its server saw.
type eater struct {
	*http.Client
	server *stagetest.Server
}

func newEater(stage kerbchain.Middleware, replies ...stagetest.Reply) eater {
	server := stagetest.NewServer(replies...)
	jar, err := cookiejar.New(nil)
	if err != nil {
		panic(err)
	}
	return eater{&http.Client{Jar: jar, Transport: kerbchain.Wrap(kerbchain.Next(server.Next), stage)}, server}
}

func (e eater) get(t *testing.T, url string) {
	t.Helper()
	resp, err := e.Do(request(t, http.MethodGet, url, ""))
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// last returns the cookies of the last request but n.
func (e eater) last(n int) []string {
	raw := e.server.Raw()
	var out []string
	for _, c := range raw[len(raw)-1-n].Cookies() {
		out = append(out, c.Name+"="+c.Value)
	}
	return out
}

// kept returns what the jar sends where.
func (e eater) kept(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, at := range []string{"http://a.b.example/", "https://a.b.example/x/y/z", "http://a.b.example/x/y", "http://a.b.example/other", "http://b.example/x/y", "https://c.a.b.example/x/y"} {
		u, err := url.Parse(at)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range e.Jar.Cookies(u) {
			out = append(out, fmt.Sprintf("%s: %s=%s", at, c.Name, c.Value))
		}
	}
	return out
}

var (
	crumbs = []string{"a", "b", "c", "A", "__Host-s", "LB"}
	values = []string{"1", "2", "3", "", `"quoted"`, "with space", "a=b", "a,b", "\u00fc", `back\slash`}
	// where a cookie that concerns the URL of the test can be by attributes that
	// name one cookie only, and attributes of any kind
	own   = []string{"; Path=/", "; Path=/; Domain=a.b.example", "; path=/; HttpOnly; SameSite=Lax"}
	other = []string{
		"", "; Path=/x", "; Path=/x/y", "; Path=/x/y/", "; Path=/x/yy", "; Path=x", "; Path=", "; Domain=b.example; Path=/", "; Domain=.B.Example",
		"; Domain=example", "; Domain=c.a.b.example; Path=/", "; Domain=else.example", "; Secure; Path=/", "; Domain=; Path=/", "; Domain=..; Path=/",
		"; Partitioned; Path=/", "; Nonsense; Path=/",
	}
	ends = []string{
		"", "", "", "; Max-Age=3600", "; Max-Age=0", "; Max-Age=-1", "; Max-Age=x", "; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
		"; Expires=Fri, 31 Dec 2100 23:59:59 GMT", "; Expires=Fri, 31 Dec 2100 23:59:59 GMT; Max-Age=0", "; Max-Age=3600; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
		"; Expires=nonsense",
	}
	junk = []string{"", "=", "novalue", ";", "a b=c", "=x; Path=/", "a\x01=1"}
)

func pick(r *rand.Rand, from []string) string { return from[r.IntN(len(from))] }

// bake makes a script. The names of before are those that have one place only, so
// that what is known of them is all there is: see TestCookiesByName.
func bake(r *rand.Rand) biscuits {
	known := map[string]bool{}
	line := func(first bool) string {
		if !first && r.IntN(12) == 0 {
			return pick(r, junk)
		}
		name, where := pick(r, crumbs), ""
		switch {
		case first:
			known[name] = true
			where = pick(r, own)
		case known[name]:
			where = pick(r, own)
		default:
			where = pick(r, slices.Concat(own, other))
		}
		end := ""
		if !first {
			end = pick(r, ends)
		}
		return name + "=" + pick(r, values) + where + end
	}
	var b biscuits
	for range r.IntN(4) {
		b.before = append(b.before, line(true))
	}
	for range r.IntN(6) {
		b.challenge = append(b.challenge, line(false))
	}
	for range r.IntN(3) {
		b.final = append(b.final, line(false))
	}
	return b
}

// TestCookiesOracle: the attempt that answers a challenge bears the cookies that
// net/http's client would have sent had the challenge been a final answer, and
// the caller's jar ends up the same.
func TestCookiesOracle(t *testing.T) {
	t.Parallel()
	const at = "http://a.b.example/x/y/z"
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	sent, changed := 0, 0
	for range 3000 {
		b := bake(r)
		status, ask := 401, []string{"WWW-Authenticate", "Negotiate"}
		if r.IntN(4) == 0 {
			status, ask = 407, []string{"Proxy-Authenticate", "Negotiate"}
		}
		first, final := setting(200, b.before), setting(200, b.final)
		ours := newEater(negotiate.New(new(stagetest.Initiator), negotiate.Options{Proxy: viaProxy}), first, setting(status, b.challenge, ask...), final)
		theirs := newEater(nil, first, setting(200, b.challenge), final)
		for range 2 {
			ours.get(t, at)
		}
		for range 3 {
			theirs.get(t, at)
		}
		if n := len(ours.server.Requests()); n != 3 {
			t.Fatalf("%d requests\n%v", n, b)
		}
		got, want := ours.last(0), theirs.last(0)
		sent += len(got)
		if !slices.Equal(got, ours.last(1)) {
			changed++
		}
		// What the challenge did not name keeps its order.
		named := func(c string) bool {
			name, _, _ := strings.Cut(c, "=")
			return slices.ContainsFunc(b.challenge, func(line string) bool { return strings.HasPrefix(line, name+"=") })
		}
		kept := slices.DeleteFunc(ours.last(1), named)
		if now := slices.DeleteFunc(slices.Clone(got), named); !slices.Equal(kept, now) {
			t.Errorf("order changed from %q to %q\n%v", kept, now, b)
		}
		slices.Sort(got)
		slices.Sort(want)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("seed %d\n%v\nthe signed leg (-net/http +ours):\n%s", seed, b, d)
		}
		left, theirsLeft := ours.kept(t), theirs.kept(t)
		slices.Sort(left)
		slices.Sort(theirsLeft)
		if d := cmp.Diff(theirsLeft, left); d != "" {
			t.Errorf("seed %d\n%v\nthe jar (-net/http +ours):\n%s", seed, b, d)
		}
		if t.Failed() {
			return
		}
	}
	if sent < 3000 || changed < 1000 {
		t.Errorf("%d cookies sent, %d legs with others than before: the test tests little", sent, changed)
	}
}

// TestCookiesByName: what cannot be known, and how requests look on the wire.
func TestCookiesByName(t *testing.T) {
	const long = 4000
	many := make([]string, long)
	for i := range many {
		many[i] = fmt.Sprintf("n%d=%d; Path=/", i, i)
	}
	for name, tc := range map[string]struct {
		url    string
		host   string
		header []string // Cookie of the caller's request
		lines  []string // of the challenge
		want   []string // Cookie of the signed attempt
	}{
		"none":                     {header: []string{"a=1"}, want: []string{"a=1"}},
		"nothing that concerns":    {header: []string{"a=1;b=2 "}, lines: []string{"a=2; Domain=else.example"}, want: []string{"a=1;b=2 "}},
		"the first":                {lines: []string{"lb=1"}, want: []string{"lb=1"}},
		"one more":                 {header: []string{"a=1"}, lines: []string{"lb=1"}, want: []string{"a=1; lb=1"}},
		"another value":            {header: []string{"a=1; b=2; c=3"}, lines: []string{"b=9"}, want: []string{"a=1; b=9; c=3"}},
		"of whatever path it was":  {header: []string{"b=1; a=0; b=2"}, lines: []string{"b=9; Path=/"}, want: []string{"b=9; a=0"}},
		"deleted":                  {header: []string{"a=1; b=2"}, lines: []string{"a=; Max-Age=0"}, want: []string{"b=2"}},
		"the last one deleted":     {header: []string{"a=1"}, lines: []string{"a=x; Expires=Thu, 01 Jan 1970 00:00:00 GMT"}, want: nil},
		"deleted and set":          {header: []string{"a=1; b=2"}, lines: []string{"a=; Max-Age=0", "a=3"}, want: []string{"a=3; b=2"}},
		"set and deleted":          {header: []string{"a=1; b=2"}, lines: []string{"a=3", "a=; Max-Age=0"}, want: []string{"b=2"}},
		"not mine to delete":       {header: []string{"a=1"}, lines: []string{"a=; Max-Age=0; Path=/else"}, want: []string{"a=1"}},
		"odd bytes stay":           {header: []string{"a=\"x y\"; =; b; c=\xff"}, lines: []string{"d=1"}, want: []string{"a=\"x y\"; =; b; c=\xff; d=1"}},
		"nothing between two":      {header: []string{"a=1;; b=2;"}, lines: []string{"d=1"}, want: []string{"a=1; b=2; d=1"}},
		"two lines become one":     {header: []string{"a=1", "b=2"}, lines: []string{"a=3"}, want: []string{"a=3; b=2"}},
		"secure over http":         {lines: []string{"a=1; Secure"}, want: nil},
		"secure, not mine to set":  {header: []string{"a=0"}, lines: []string{"a=1; Secure"}, want: []string{"a=0"}},
		"set, then secure":         {header: []string{"a=0; b=2"}, lines: []string{"a=1", "a=2; Secure"}, want: []string{"b=2"}},
		"secure over https":        {url: "https://origin.example/", lines: []string{"a=1; Secure"}, want: []string{"a=1"}},
		"the longer path first":    {url: "http://origin.example/x/y", lines: []string{"a=1; Path=/", "b=2; Path=/x/"}, want: []string{"b=2; a=1"}},
		"by the Host header":       {host: "front.example", lines: []string{"a=1; Domain=front.example"}, want: []string{"a=1"}},
		"by the URL":               {lines: []string{"a=1; Domain=origin.example"}, want: []string{"a=1"}},
		"each in its place":        {header: []string{"b=1; x=0; a=1"}, lines: []string{"n=1", "a=2", "b=2"}, want: []string{"b=2; x=0; a=2; n=1"}},
		"not by the URL then":      {host: "front.example", lines: []string{"a=1; Domain=origin.example"}, want: nil},
		"an address":               {url: "http://[::1]:8080/", lines: []string{"a=1; Domain=else.example", "b=1"}, want: []string{"b=1"}},
		"a name in a longer one":   {header: []string{"ab=1; a=2"}, lines: []string{"a=3"}, want: []string{"ab=1; a=3"}},
		"names are told by case":   {header: []string{"A=1"}, lines: []string{"a=3"}, want: []string{"A=1; a=3"}},
		"as many as there may be":  {lines: many[:256], want: []string{join(256)}},
		"no more than there might": {lines: many, want: []string{join(256)}},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.url == "" {
				tc.url = "http://origin.example/"
			}
			server := stagetest.NewServer(setting(401, tc.lines, "WWW-Authenticate", "Negotiate"), setting(200, nil))
			r := request(t, http.MethodPost, tc.url, "body")
			r.Host = tc.host
			if tc.header != nil {
				r.Header["Cookie"] = tc.header
			}
			r.Header.Set("X", "y")
			before := r.Header.Clone()
			resp, err := negotiate.New(new(stagetest.Initiator), negotiate.Options{})(server.Next)(r)
			finish(t, resp, err)
			raw := server.Raw()
			if got := raw[len(raw)-1].Header.Get("X"); got != "y" {
				t.Errorf("another field of the signed leg is %q", got)
			}
			if d := cmp.Diff(tc.want, raw[len(raw)-1].Header["Cookie"]); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(before, r.Header); d != "" {
				t.Errorf("the caller's request changed:\n%s", d)
			}
		})
	}
}

func join(n int) string {
	pairs := make([]string, n)
	for i := range pairs {
		pairs[i] = fmt.Sprintf("n%d=%d", i, i)
	}
	return strings.Join(pairs, "; ")
}

// TestCookiesOfEveryAttempt: each attempt bears what all challenges before it set, and the
// caller gets all of that, the oldest first, before the answer's own.
func TestCookiesOfEveryAttempt(t *testing.T) {
	more := stagetest.Value(middleware.Negotiate, stagetest.ServerMore)
	server := stagetest.NewServer(
		setting(401, []string{"a=1", "b=1"}, "WWW-Authenticate", "Negotiate"),
		setting(401, []string{"a=2", "c=1"}, "WWW-Authenticate", more),
		setting(401, []string{"b=; Max-Age=0"}, "WWW-Authenticate", more),
		setting(200, []string{"c=2", "d=1"}),
	)
	next := negotiate.New(new(stagetest.Initiator), negotiate.Options{})(server.Next)
	resp, err := next(request(t, http.MethodGet, "http://origin.example/", ""))
	finish(t, resp, err)
	var legs []string
	for _, r := range server.Raw() {
		legs = append(legs, r.Header.Get("Cookie"))
	}
	if d := cmp.Diff([]string{"", "a=1; b=1", "a=2; b=1; c=1", "a=2; c=1"}, legs); d != "" {
		t.Error(d)
	}
	want := []string{"a=1", "b=1", "a=2", "c=1", "b=; Max-Age=0", "c=2", "d=1"}
	if d := cmp.Diff(want, resp.Header["Set-Cookie"]); d != "" {
		t.Error(d)
	}
	// Nothing of it is left for the next call.
	resp, err = next(request(t, http.MethodGet, "http://origin.example/", ""))
	finish(t, resp, err)
	if raw := server.Raw(); len(raw) != 5 || raw[4].Header["Cookie"] != nil || len(resp.Header["Set-Cookie"]) != 2 {
		t.Errorf("the next call: %d requests in all, cookies %q, set %q", len(raw), raw[len(raw)-1].Header["Cookie"], resp.Header["Set-Cookie"])
	}
}

// TestCookiesOfTheProbe: what the HEAD is told goes with the body that follows;
// what a HEAD sets that nobody challenged was not asked for.
func TestCookiesOfTheProbe(t *testing.T) {
	for name, tc := range map[string]struct {
		replies []stagetest.Reply
		cookie  string
		set     []string
	}{
		"challenged": {
			[]stagetest.Reply{setting(401, []string{"lb=1"}, "WWW-Authenticate", "Negotiate"), setting(200, []string{"s=1"})},
			"lb=1", []string{"lb=1", "s=1"},
		},
		"not challenged": {
			[]stagetest.Reply{setting(200, []string{"lb=1"}), setting(200, []string{"s=1"})},
			"", []string{"s=1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := stagetest.NewServer(tc.replies...)
			r := request(t, http.MethodPut, "http://origin.example/", "")
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader("payload")), 7
			resp, err := negotiate.New(new(stagetest.Initiator), negotiate.Options{BodyLimit: -1, OneShot: negotiate.Probe})(server.Next)(r)
			finish(t, resp, err)
			raw := server.Raw()
			if len(raw) != 2 || raw[0].Method != http.MethodHead || raw[1].Header.Get("Cookie") != tc.cookie {
				t.Errorf("%d requests, the last with cookies %q", len(raw), raw[len(raw)-1].Header["Cookie"])
			}
			if d := cmp.Diff(tc.set, resp.Header["Set-Cookie"]); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestCookiesSharedHeader: a response's header may be somebody else's, as that of a
// cache.
func TestCookiesSharedHeader(t *testing.T) {
	shared := http.Header{"X-Shared": {"yes"}}
	for range 2 {
		server := stagetest.NewServer(setting(401, []string{"a=1"}, "WWW-Authenticate", "Negotiate"), func(r *http.Request) (*http.Response, error) {
			resp, err := stagetest.Respond(200, "")(r)
			resp.Header = shared
			return resp, err
		})
		resp, err := negotiate.New(new(stagetest.Initiator), negotiate.Options{})(server.Next)(request(t, http.MethodGet, "http://origin.example/", ""))
		finish(t, resp, err)
		if len(shared) != 1 || len(resp.Header["Set-Cookie"]) != 1 {
			t.Errorf("shared header is %v, that of the answer %v", shared, resp.Header)
		}
	}
}

// TestCookiesOfAnswers: an answer gets what challenges set, if it has a header or not,
// and is as it was where they set nothing.
func TestCookiesOfAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		lines  []string
		header http.Header // of the answer
		want   http.Header
	}{
		"no header":    {[]string{"a=1"}, nil, http.Header{"Set-Cookie": {"a=1"}}},
		"one more":     {[]string{"a=1"}, http.Header{"Set-Cookie": {"b=1"}, "X": {"y"}}, http.Header{"Set-Cookie": {"a=1", "b=1"}, "X": {"y"}}},
		"nothing set":  {nil, http.Header{"X": {"y"}}, http.Header{"X": {"y"}}},
		"none of both": {nil, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			server := stagetest.NewServer(setting(401, tc.lines, "WWW-Authenticate", "Negotiate"), func(r *http.Request) (*http.Response, error) {
				resp, err := stagetest.Respond(200, "")(r)
				resp.Header = tc.header
				return resp, err
			})
			resp, err := negotiate.New(new(stagetest.Initiator), negotiate.Options{})(server.Next)(request(t, http.MethodGet, "http://origin.example/", ""))
			finish(t, resp, err)
			if d := cmp.Diff(tc.want, resp.Header); d != "" {
				t.Errorf("header (-want +got):\n%s", d)
			}
		})
	}
}
