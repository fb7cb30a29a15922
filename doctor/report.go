package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kerbchain/kerbchain/internal/printable"
)

// A Status is what came of a check.
type Status string

// What comes of checks.
const (
	// OK: it is as it should be, or a fact that is neither good nor bad.
	OK Status = "ok"
	// Warn: it works all the same, or only for some.
	Warn Status = "warn"
	// Fail: a request fails because of it, or cannot be trusted.
	Fail Status = "fail"
	// Skip: there is nothing to look at, or what it rests on failed before.
	Skip Status = "skip"
)

// A Check is one thing that was looked at. There may be several of one name, one for
// each KDC, say. The page docs/doctor.md lists the names and facts; new ones may be
// added.
type Check struct {
	Name   string         `json:"check"`
	Status Status         `json:"status"`
	Text   string         `json:"text"`            // one line for people, which may change
	Facts  map[string]any `json:"facts,omitempty"` // for programs: strings, numbers, booleans, and lists of strings
}

// A Report is what an examination found, in the order in which a request meets it.
type Report struct {
	URL     string   `json:"url"`     // without user info and query
	Service string   `json:"service"` // the service principal that a ticket is wanted for
	OK      bool     `json:"ok"`      // no check failed
	Checks  []Check  `json:"checks"`
	Try     []string `json:"try"` // what to try, the most promising first; three at most
}

// String returns one line for each check, and what to try after them. Nothing in it
// can be obeyed by a terminal.
func (r *Report) String() string {
	var b strings.Builder
	for _, c := range r.Checks {
		status := string(c.Status)
		if c.Status == Fail {
			status = "FAIL" // to be seen among many lines
		}
		fmt.Fprintf(&b, "%-4s  %-13s  %s\n", status, c.Name, printable.Line(c.Text))
	}
	for i, try := range r.Try {
		if i == 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "try %d: %s\n", i+1, printable.Line(try))
	}
	return b.String()
}

// maxTry is how much there is to try: who is given more tries nothing.
const maxTry = 3

// An advice is what a check says to try.
type advice struct {
	status Status
	text   string
}

// best returns what to try: what failed first, since what comes after may have failed
// for that reason.
func best(all []advice) []string {
	out := []string{}
	for _, status := range []Status{Fail, Warn} {
		for _, a := range all {
			if a.status == status && len(out) < maxTry && !slices.Contains(out, a.text) {
				out = append(out, a.text)
			}
		}
	}
	return out
}
