// Command benchpage makes the tables of docs/performance.md out of what make bench and
// make bench-interop print:
//
//	go run ./internal/benchpage -w docs/performance.md bench.txt interop.txt
//
// Of several runs of one benchmark the median counts.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func main() {
	flags := flag.NewFlagSet("benchpage", flag.ExitOnError)
	page := flags.String("w", "", "write the tables into this `PAGE`, between its marks, in place of printing them")
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), "usage: benchpage [-w PAGE] FILE...\n\nEach FILE is what make bench or make bench-interop printed.\n\n")
		flags.PrintDefaults()
	}
	if err := flags.Parse(os.Args[1:]); err != nil || flags.NArg() == 0 {
		flags.Usage()
		os.Exit(2)
	}
	if err := run(*page, flags.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "benchpage:", err)
		os.Exit(1)
	}
}

func run(page string, files []string) error {
	r := make(results)
	for _, name := range files {
		if err := r.readFile(name); err != nil {
			return err
		}
	}
	if page == "" {
		r.page(os.Stdout)
		return nil
	}
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	filled, err := r.fill(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", page, err)
	}
	return os.WriteFile(page, []byte(filled), 0o644)
}

// results are values by benchmark, without "Benchmark" and the number of cores, and by unit.
type results map[string]map[string][]float64

func (r results) readFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return r.read(f)
}

var (
	// A benchmark's line, which may be one of a test's log.
	line  = regexp.MustCompile(`(?:^|^\s*\w+\.go:\d+: )Benchmark(\S+?)(?:-\d+)?\s+\d+\s+(.*)$`)
	value = regexp.MustCompile(`([0-9.e+-]+) (\S+)`)
)

func (r results) read(from io.Reader) error {
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		m := line.FindStringSubmatch(strings.TrimRight(lines.Text(), " \r"))
		if m == nil {
			continue
		}
		if r[m[1]] == nil {
			r[m[1]] = make(map[string][]float64)
		}
		for _, pair := range value.FindAllStringSubmatch(m[2], -1) {
			v, err := strconv.ParseFloat(pair[1], 64)
			if err != nil {
				return fmt.Errorf("%s: %q is no number", m[1], pair[1])
			}
			r[m[1]][pair[2]] = append(r[m[1]][pair[2]], v)
		}
	}
	return lines.Err()
}

// of returns the median of a benchmark in a unit. It reports whether there is one.
func (r results) of(name, unit string) (float64, bool) {
	v := slices.Sorted(slices.Values(r[name][unit]))
	switch n := len(v); {
	case n == 0:
		return 0, false
	case n%2 == 0:
		return (v[n/2-1] + v[n/2]) / 2, true
	default:
		return v[n/2], true
	}
}

const none = "–" // where there was no such benchmark

// text returns a median, divided and with so many digits.
func (r results) text(name, unit string, by float64, digits int) string {
	v, ok := r.of(name, unit)
	if !ok {
		return none
	}
	return thousands(strconv.FormatFloat(v/by, 'f', digits, 64))
}

// times returns how many times b the median a is.
func (r results) times(a, b, unit string, digits int) string {
	x, ok := r.of(a, unit)
	y, and := r.of(b, unit)
	if !ok || !and || y == 0 {
		return none
	}
	return strconv.FormatFloat(x/y, 'f', digits, 64)
}

// thousands puts commas into a number.
func thousands(s string) string {
	whole, rest, dot := strings.Cut(s, ".")
	for i := len(whole) - 3; i > 0 && whole[i-1] != '-'; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if dot {
		return whole + "." + rest
	}
	return whole
}
