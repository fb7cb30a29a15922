package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// The encryption types that have a row.
var etypes = []string{"aes128-cts-hmac-sha1-96", "aes256-cts-hmac-sha1-96", "aes128-cts-hmac-sha256-128", "aes256-cts-hmac-sha384-192"}

// A part is one table, by the name that its marks on the page have, and benchmarks without
// which it cannot be made.
type part struct {
	name  string
	needs string
	write func(results, io.Writer)
}

var parts = []part{
	{"headers", "Header/", results.headers},
	{"around", "Chain/", results.around},
	{"memory", "ManyCalls", results.graph},
	{"sealing", "RoundTrip/", results.sealing},
	{"kdc", "KDC/", results.kdcs},
	{"apache", "Apache/", results.calls},
}

// has reports whether there is a benchmark whose name begins with the prefix.
func (r results) has(prefix string) bool {
	for name := range r {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// page writes all tables for which there are benchmarks, between their marks.
func (r results) page(w io.Writer) {
	for _, p := range parts {
		if r.has(p.needs) {
			begin, end := p.marks()
			fmt.Fprint(w, begin)
			p.write(r, w)
			fmt.Fprintln(w, end)
		}
	}
}

func (p part) marks() (begin, end string) {
	return "<!-- benchpage: " + p.name + " -->\n", "<!-- end of " + p.name + " -->\n"
}

// fill returns the page with the tables in the place of those that stand between their
// marks. A table for which there are no benchmarks stays.
func (r results) fill(page string) (string, error) {
	for _, p := range parts {
		begin, end := p.marks()
		head, rest, found := strings.Cut(page, begin)
		_, tail, ended := strings.Cut(rest, end)
		if !found || !ended {
			return "", fmt.Errorf("no place for the table %q: want the lines %q and %q", p.name, strings.TrimSpace(begin), strings.TrimSpace(end))
		}
		if !r.has(p.needs) {
			continue
		}
		var b strings.Builder
		p.write(r, &b)
		page = head + begin + b.String() + end + tail
	}
	return page, nil
}

// table writes rows under their heads.
func table(w io.Writer, heads []string, rows [][]string) {
	row := func(cells []string) { fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | ")) }
	row(heads)
	row(slices.Repeat([]string{"---"}, len(heads)))
	for _, cells := range rows {
		row(cells)
	}
}

func (r results) headers(w io.Writer) {
	var rows [][]string
	for _, e := range etypes {
		ours, floor := "Header/"+e+"/kerbchain", "Header/"+e+"/crypto"
		verify, open := "Verify/"+e+"/kerbchain", "Verify/"+e+"/crypto"
		rows = append(rows, []string{
			e, r.time(ours), r.time(floor), r.times(ours, floor, "ns/op", 1), r.text(ours, "allocs/op", 1, 0), r.times("Header/"+e+"/gokrb5", ours, "ns/op", 0),
			r.time(verify), r.time(open), r.times(verify, open, "ns/op", 1), r.text(verify, "allocs/op", 1, 0),
		})
	}
	table(w, []string{"session key", "header", "floor", "times", "allocations", "gokrb5, times ours", "verification", "floor", "times", "allocations"}, rows)
}

// around is what calls and what they need cost, beside what they are compared with.
func (r results) around(w io.Writer) {
	var rows [][]string
	add := func(what, name, beside, of string) {
		rows = append(rows, []string{what, r.time(name), r.text(name, "allocs/op", 1, 0), r.text(name, "B/op", 1, 0), of, r.time(beside), r.times(name, beside, "ns/op", 2)})
	}
	add("five stages around a request that needs nothing", "Chain/all_five", "Chain/bare", "the same without")
	add("a learned call, over loopback", "Request/learned", "Request/plain", "without authentication")
	add("a challenged call, over loopback", "Request/challenged", "Request/plain", "without authentication")
	add("a ticket at hand among 1,000, one goroutine", "Lookup/one", "Lookup/clock", "the clock read once")
	add("the same, as many goroutines as cores", "Lookup/all", "Lookup/one", "one goroutine")
	add("a credential cache of 1,000 tickets, read", "Parse1000/ccache", "Parse1000/gokrb5", "gokrb5")
	add("one ticket found among 1,000", "Lookup1000", "", none)
	add("a ticket from a KDC over UDP, KDC included", "TGSCold/udp_aes256-cts-hmac-sha1-96", "", none)
	add("a ticket from a KDC over TCP, KDC included", "TGSCold/tcp_aes256-cts-hmac-sha1-96", "", none)
	add("a krb5.conf of a distribution, read", "Load/rhel9", "", none)
	add("the first seal under a new key", "FirstSeal", "", none)
	table(w, []string{"what", "time", "allocations", "bytes", "beside", "its time", "times"}, rows)
}

// time returns a median in the unit that suits it.
func (r results) time(name string) string {
	v, ok := r.of(name, "ns/op")
	unit, by, digits := "ms", 1e6, 2
	switch {
	case !ok:
		return none
	case v < 1e3:
		unit, by, digits = "ns", 1, 0
	case v < 1e4:
		unit, by = "µs", 1e3
	case v < 1e5:
		unit, by, digits = "µs", 1e3, 1
	case v < 1e6:
		unit, by, digits = "µs", 1e3, 0
	}
	return r.text(name, "ns/op", by, digits) + " " + unit
}

// graph draws what was in use after so many calls, a column for each point.
func (r results) graph(w io.Writer) {
	const name, height = "ManyCalls", 8
	type point struct{ calls, kib float64 }
	var points []point
	for unit := range r[name] {
		if calls, is := strings.CutPrefix(unit, "KiB@"); is {
			if n, err := strconv.ParseFloat(calls, 64); err == nil {
				kib, _ := r.of(name, unit)
				points = append(points, point{n, kib})
			}
		}
	}
	if len(points) == 0 {
		fmt.Fprintln(w, none)
		return
	}
	slices.SortFunc(points, func(a, b point) int { return int(a.calls - b.calls) })
	most := 0.0
	for _, p := range points {
		most = max(most, p.kib)
	}
	top := max(1, math.Ceil(most/256)*256)
	fmt.Fprintln(w, "```text")
	for row := height; row > 0; row-- {
		var bars strings.Builder
		for _, p := range points {
			mark := "  "
			if p.kib > top*(float64(row)-0.5)/height {
				mark = "# "
			}
			bars.WriteString(mark)
		}
		label := ""
		if row == height {
			label = thousands(strconv.FormatFloat(top, 'f', 0, 64)) + " KiB"
		}
		fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("%10s |%s", label, bars.String()), " "))
	}
	fmt.Fprintf(w, "%10s +%s\n", "0", strings.Repeat("--", len(points)))
	last := points[len(points)-1]
	left, right := thousands(strconv.FormatFloat(points[0].calls, 'f', 0, 64)), thousands(strconv.FormatFloat(last.calls, 'f', 0, 64))+" calls"
	fmt.Fprintf(w, "%10s  %s%*s\n", "", left, max(len(right)+1, 2*len(points)-len(left)), right)
	fmt.Fprintln(w, "```")
	fmt.Fprintf(w, "\n%s KiB in use after %s calls, %s after %s.\n", thousands(strconv.FormatFloat(points[0].kib, 'f', 0, 64)), left,
		thousands(strconv.FormatFloat(last.kib, 'f', 0, 64)), strings.TrimSuffix(right, " calls"))
}

func (r results) sealing(w io.Writer) {
	var rows [][]string
	for _, e := range append(slices.Clone(etypes), "arcfour-hmac") {
		cells := []string{e}
		for _, n := range []string{"65536", "1024"} {
			name := "RoundTrip/" + e + "/" + n
			cells = append(cells, r.time(name), r.time(name+"/crypto"), r.times(name+"/crypto", name, "ns/op", 2))
		}
		rows = append(rows, cells)
	}
	table(w, []string{"keys", "64 KiB", "encryption alone", "share", "1 KiB", "encryption alone", "share"}, rows)
}

func (r results) kdcs(w io.Writer) {
	const unit = "exchanges/core-s"
	var rows [][]string
	for _, e := range etypes {
		for _, load := range []string{"AS/udp", "TGS/udp", "AS/tcp", "TGS/tcp"} {
			of := func(server string) string { return "KDC/" + e + "/" + load + "/" + server }
			if r[of("fakekdc")] == nil {
				continue
			}
			two := none
			if both, ok := r.of(of("fakekdc-on-two"), unit); ok {
				if one, and := r.of(of("fakekdc"), unit); and {
					two = strconv.FormatFloat(2*both/one, 'f', 2, 64)
				}
			}
			rows = append(rows, []string{e, load, r.text(of("fakekdc"), unit, 1, 0), r.times(of("fakekdc"), of("MIT"), unit, 1), r.times(of("fakekdc"), of("MIT-lean"), unit, 1), two})
		}
	}
	table(w, []string{"keys", "exchange", "fakekdc, per second of a core", "times MIT", "times MIT, lean", "on two cores, times one"}, rows)
}

func (r results) calls(w io.Writer) {
	var rows [][]string
	for _, workers := range []string{"1", "8"} {
		for _, c := range []string{"floor", "kerbchain-learned", "kerbchain-preemptive", "kerbchain-challenged", "gokrb5", "curl", "requests-kerberos"} {
			name, floor := "Apache/"+c+"/"+workers, "Apache/floor/"+workers
			if r[name] == nil {
				continue
			}
			rows = append(rows, []string{strings.ReplaceAll(c, "kerbchain-", "kerbchain, "), workers, r.text(name, "requests/op", 1, 0), r.time(name), r.times(name, floor, "ns/op", 2),
				r.text(name, "cpu-ns/op", 1e3, 0) + " µs", r.times(name, floor, "cpu-ns/op", 2)})
		}
	}
	table(w, []string{"client", "workers", "requests per call", "time per call", "times the floor", "its own processor time", "times the floor"}, rows)
}
