package krb5conf

import (
	"fmt"
	"strconv"
)

// A Value is the text of one relation and where it stands.
type Value struct {
	Text string // without quotes and escapes
	File string // as it was named to Load, or by the include that led there
	Line int    // counted from 1; 0 for what no file said
}

// Where returns "file:line", or "built-in default" for a value that no file
// gave.
func (v Value) Where() string {
	if v.Line == 0 {
		return "built-in default"
	}
	return v.File + ":" + strconv.Itoa(v.Line)
}

// A Warning tells of something that was passed over.
type Warning struct {
	File string
	Line int // 0 when it is about the whole file
	Text string
	// About is the relation or the realm that it concerns, "" for others.
	About string
}

// Where returns "file:line", "file" when it is about the whole file, "" when about
// none.
func (w Warning) Where() string {
	if w.Line == 0 {
		return w.File
	}
	return w.File + ":" + strconv.Itoa(w.Line)
}

// String returns "file:line: text".
func (w Warning) String() string {
	if w.File == "" {
		return w.Text
	}
	return w.Where() + ": " + w.Text
}

// A SyntaxError is a line that MIT's parser refuses, or a file beyond the
// limits of this package.
type SyntaxError struct {
	File string
	Line int
	Text string // what was wanted
}

func (e *SyntaxError) Error() string {
	return Warning{File: e.File, Line: e.Line, Text: e.Text}.String()
}

// maxWarnings bounds what a file full of mistakes can make us keep.
const maxWarnings = 100

func addWarning(to []Warning, file string, line int, format string, args ...any) []Warning {
	switch {
	case len(to) > maxWarnings:
		return to
	case len(to) == maxWarnings:
		return append(to, Warning{Text: "further warnings left out"})
	}
	return append(to, Warning{File: file, Line: line, Text: fmt.Sprintf(format, args...)})
}

// clip quotes text for a message, shortened.
func clip(text string) string {
	const most = 60
	if len(text) > most {
		return strconv.QuoteToASCII(text[:most]) + "..."
	}
	return strconv.QuoteToASCII(text)
}
