package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const sample = `goos: linux
BenchmarkHeader/aes256-cts-hmac-sha1-96/kerbchain-2   	  300	      4500 ns/op	    2608 B/op	       8 allocs/op
BenchmarkHeader/aes256-cts-hmac-sha1-96/kerbchain-2   	  300	      3000 ns/op	    2608 B/op	       8 allocs/op
BenchmarkHeader/aes256-cts-hmac-sha1-96/kerbchain-2   	  300	      2000 ns/op	    2608 B/op	       8 allocs/op
BenchmarkHeader/aes256-cts-hmac-sha1-96/gokrb5-2      	  300	     90000 ns/op
BenchmarkHeader/aes256-cts-hmac-sha1-96/crypto-2      	  300	       900 ns/op
BenchmarkHeader/aes256-cts-hmac-sha1-96/crypto-2      	  300	      1100 ns/op
BenchmarkChain/all_five-2 	  1	  1230000 ns/op	    2176 B/op	       7 allocs/op
BenchmarkRoundTrip/arcfour-hmac/65536 	  1	  200000 ns/op	 1.2e+03 MB/s
BenchmarkRoundTrip/arcfour-hmac/65536/crypto 	  1	  150000 ns/op	 1.6e+03 MB/s
BenchmarkManyCalls-2   	       1	2679347887 ns/op	       300.4 KiB@1000	       310.0 KiB@100000	       200.0 KiB@50000
    bench_test.go:65: BenchmarkKDC/aes256-cts-hmac-sha1-96/AS/udp/MIT-lean 1 10000 exchanges/core-s
    bench_test.go:65: BenchmarkKDC/aes256-cts-hmac-sha1-96/AS/udp/MIT 1 2500 exchanges/core-s
    bench_test.go:65: BenchmarkKDC/aes256-cts-hmac-sha1-96/AS/udp/fakekdc 1 25000 exchanges/core-s
    bench_test.go:65: BenchmarkKDC/aes256-cts-hmac-sha1-96/AS/udp/fakekdc-on-two 1 22500 exchanges/core-s
        benchweb_test.go:82: BenchmarkApache/floor/1 400 500000 ns/op 100000 cpu-ns/op 1.00 requests/op
        benchweb_test.go:82: BenchmarkApache/kerbchain-learned/1 400 540000 ns/op 120000 cpu-ns/op 1.00 requests/op
some text about BenchmarkHeader 7 ns/op
PASS
`

func TestPage(t *testing.T) {
	r := make(results)
	if err := r.read(strings.NewReader(sample)); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	r.page(&b)
	got := b.String()
	for _, want := range []string{
		"| aes256-cts-hmac-sha1-96 | 3.00 µs | 1.00 µs | 3.0 | 8 | 30 | – | – | – | – |\n",
		"| aes128-cts-hmac-sha1-96 | – | – |",
		"| five stages around a request that needs nothing | 1.23 ms | 7 | 2,176 | the same without | – | – |\n",
		"| arcfour-hmac | 200 µs | 150 µs | 0.75 | – | – | – |\n",
		"| aes256-cts-hmac-sha1-96 | AS/udp | 25,000 | 10.0 | 2.5 | 1.80 |\n",
		"| floor | 1 | 1 | 500 µs | 1.00 | 100 µs | 1.00 |\n",
		"| kerbchain, learned | 1 | 1 | 540 µs | 1.08 | 120 µs | 1.20 |\n",
		"   512 KiB |\n",
		"           |#   #\n           |# # #\n",
		"         0 +------\n            1,000 100,000 calls\n",
		"300 KiB in use after 1,000 calls, 310 after 100,000.\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("there is no %q in\n%s", want, got)
		}
	}
}

// Nothing that was measured is nothing on the page, and no row is made up.
func TestPageOfNothing(t *testing.T) {
	var b strings.Builder
	make(results).page(&b)
	if b.Len() > 0 {
		t.Error(b.String())
	}
	for _, p := range parts {
		var b strings.Builder
		p.write(make(results), &b)
		if strings.Contains(b.String(), "NaN") || strings.Contains(b.String(), " 0 ") {
			t.Errorf("%s: %s", p.name, b.String())
		}
	}
}

// Tables take the place of those that there were; what was not measured stays, and so does
// the text around. The page itself has a place for each.
func TestFill(t *testing.T) {
	r := make(results)
	if err := r.read(strings.NewReader(sample)); err != nil {
		t.Fatal(err)
	}
	delete(r, "ManyCalls")
	was, err := os.ReadFile(filepath.Join("..", "..", "docs", "performance.md"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.fill(string(was))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(got, "| aes256-cts-hmac-sha1-96 | 3.00 µs | 1.00 µs | 3.0 | 8 | 30 |") || !strings.HasPrefix(got, "# Performance\n") {
		t.Error(got)
	}
	begin, end := part{name: "memory"}.marks()
	memory := func(page string) string {
		_, rest, _ := strings.Cut(page, begin)
		inner, _, _ := strings.Cut(rest, end)
		return inner
	}
	if before := memory(string(was)); before == "" || memory(got) != before {
		t.Errorf("%q, was %q", memory(got), before)
	}
	if again, err := r.fill(got); err != nil || again != got {
		t.Error("a second time it is another page", err)
	}
	if _, err := r.fill(strings.Replace(got, end, "", 1)); err == nil {
		t.Error("a page without a mark was filled")
	}
}

// The program writes into the page that it is given, or prints.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "performance.md"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"bench.txt": sample, "page.md": string(page), "bad.md": "no marks"} {
		if err := os.WriteFile(in(name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := run(in("page.md"), []string{in("bench.txt")}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(in("page.md")); err != nil || !strings.Contains(string(got), "300 KiB in use after 1,000 calls") {
		t.Errorf("%s, %v", got, err)
	}
	if err := run("", []string{in("bench.txt")}); err != nil {
		t.Error(err)
	}
	for name, tc := range map[string][2]string{"no results": {"page.md", "none.txt"}, "no page": {"none.md", "bench.txt"}, "no marks": {"bad.md", "bench.txt"}} {
		if err := run(in(tc[0]), []string{in(tc[1])}); err == nil {
			t.Error(name)
		}
	}
}

func TestThousands(t *testing.T) {
	for in, want := range map[string]string{"0": "0", "999": "999", "1000": "1,000", "-1000": "-1,000", "-100": "-100", "1234567": "1,234,567", "1234.5678": "1,234.5678"} {
		if got := thousands(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestReadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bench.txt")
	r := make(results)
	if err := r.readFile(path); !os.IsNotExist(err) {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte(sample), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := r.readFile(path); err != nil || len(r) != 13 {
		t.Errorf("%d benchmarks, %v", len(r), err)
	}
	if err := r.read(strings.NewReader("BenchmarkX 1 1e+ ns/op")); err == nil {
		t.Error("1e+ is a number")
	}
}
