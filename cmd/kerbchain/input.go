package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// Bounds of what is read to be held in memory. A file that is sent as it is has none.
const (
	maxInput = 1 << 30
	maxLine  = 1 << 16
)

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
