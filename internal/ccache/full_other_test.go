//go:build unix && !linux

package ccache

import "errors"

func addToFull(string) error { return errors.ErrUnsupported }

func replaceFull(string) error { return errors.ErrUnsupported }
