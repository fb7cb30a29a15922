//go:build unix && !linux

package ccache

import "errors"

func addToFull(string) error { return errors.ErrUnsupported }
