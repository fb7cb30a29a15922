package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/kerbchain/kerbchain/middleware"
)

// Bounds of what is read to be held in memory. A file that is sent as it is has none.
const (
	maxInput = 1 << 30
	maxLine  = 1 << 16
)

// A fileError says why a file that a flag names cannot be used.
type fileError struct {
	flag, name string
	err        error
}

func (e *fileError) Error() string { return e.flag + ": " + e.err.Error() }
func (e *fileError) Unwrap() error { return e.err }

// wrong returns it as an error of the library's, with what to try.
func (e *fileError) wrong(kind error) error {
	try := "mend the file, or name another in " + e.flag
	switch {
	case errors.Is(e.err, fs.ErrNotExist):
		try = "name a file that exists in " + e.flag
	case errors.Is(e.err, fs.ErrPermission):
		try = "let the user of this process read the file, or name another in " + e.flag
	}
	return &middleware.Error{Stage: "kerbchain", Kind: kind, Err: e, Hint: try}
}

// readInput reads a file of any kind, or standard input for "-".
func readInput(name string, w world) ([]byte, error) {
	if name == "-" {
		return bounded("standard input", w.stdin)
	}
	return readFile(name)
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return bounded(name, f)
}

func bounded(name string, r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err == nil && len(b) > maxInput {
		err = fmt.Errorf("%s has more than %d bytes: send it from a file with --data-binary", name, maxInput)
	}
	return b, err
}

// readPassword reads a password, which is the first line of a file or of standard input.
// That nothing is there, as where a variable was empty, or it is in UTF-16, would be a wrong
// password, and accounts are locked after a few.
func readPassword(name string, w world) (string, error) {
	line, err := readLine(name, w)
	line = strings.TrimPrefix(line, "\ufeff") // which editors of Windows put before it
	switch {
	case err != nil:
		return "", err
	case line == "":
		return "", errors.New("the first line is empty")
	case strings.Contains(line, "\x00"):
		return "", errors.New("the first line is in UTF-16, or no text: write it in UTF-8")
	}
	return line, nil
}

// readLine reads the first line of a file, or of standard input for "-", and no more:
// what follows may be for another flag, or never come.
func readLine(name string, w world) (string, error) {
	r := w.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return "", err
		}
		defer f.Close()
		r = f
	}
	var line []byte
	for b := make([]byte, 1); ; {
		n, err := r.Read(b)
		if n == 1 && b[0] != '\n' {
			line = append(line, b[0])
		}
		switch {
		case n == 1 && b[0] == '\n' || err == io.EOF:
			return strings.TrimSuffix(string(line), "\r"), nil
		case err != nil:
			return "", err
		case len(line) > maxLine:
			return "", fmt.Errorf("the first line has more than %d bytes", maxLine)
		}
	}
}
